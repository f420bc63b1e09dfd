"""FQL, the language of Segment's triggers: the subset that Segment's engine reads as written."""
