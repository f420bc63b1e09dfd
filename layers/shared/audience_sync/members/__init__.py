"""What a change is, the state of a member, what changes do to it, erasure, and the messages of the queues. No I/O."""
