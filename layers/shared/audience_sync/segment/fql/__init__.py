"""FQL, the language of Segment's triggers: as much of it as Segment's engine reads the way it is written."""
