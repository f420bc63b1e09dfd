"""Changes, the state of a member, the effect of changes on it, erasure, and the messages of the queues. No I/O."""
