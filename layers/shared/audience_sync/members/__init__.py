"""What a change is, the state of one member, what changes do to it, erasure, and the messages that carry changes. No I/O."""
