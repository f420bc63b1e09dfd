"""Mappings from a Segment event to an Amazon record: `audience-sync mappings`."""
