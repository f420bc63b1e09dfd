"""@liquid: the subset of Liquid in Segment's mappings, with the results of Segment's engine, LiquidJS."""
