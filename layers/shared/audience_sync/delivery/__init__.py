"""Use case of `worker`: from messages of the change queue to uploads at Amazon, and back to an outcome for each change.

`batch` reads the messages of one invocation and settles them, `members` finds the outcome of each member, `uploads`
sends to Amazon, `bisect` isolates bad records. `retry_budget` and `circuit_breaker` limit requests while Amazon fails.
"""
