"""FQL, the language of Segment's triggers: the part that Segment's engine reads as it is written."""
