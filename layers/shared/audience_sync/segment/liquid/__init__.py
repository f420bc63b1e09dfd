"""@liquid: the part of Liquid that Segment's mappings use, with the results of Segment's engine, LiquidJS."""
