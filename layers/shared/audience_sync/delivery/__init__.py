"""Use case of `worker`: from messages of the change queue to uploads at Amazon, and back to an outcome for each."""
