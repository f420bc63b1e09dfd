"""Segment's mapping directives, each read once into a function of the event."""
