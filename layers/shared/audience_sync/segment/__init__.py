"""Everything that knows Segment: its events, signature, mappings and triggers. Pure: no I/O."""
