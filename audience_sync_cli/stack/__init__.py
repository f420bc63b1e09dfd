"""What a stack holds and does, for several subjects: counts, queues, audiences, mappings, dead letters."""
