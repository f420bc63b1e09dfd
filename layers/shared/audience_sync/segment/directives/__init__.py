"""Segment's mapping directives, each compiled once into a function of the event."""
