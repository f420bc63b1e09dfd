"""Turns Segment's requests into membership changes."""
