"""What a membership change is, the state of one member, and the messages that carry both. No I/O."""
