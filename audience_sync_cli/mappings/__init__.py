"""How a Segment event becomes an Amazon record: `audience-sync mappings`."""
