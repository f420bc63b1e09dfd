"""Use case of `worker`: turns messages of the change queue into uploads to Amazon, and gives each change an outcome.

`batch` reads and settles the messages of one invocation, `members` finds the outcome of each member, `uploads`
sends to Amazon, `bisect` isolates bad records. `retry_budget` and `circuit_breaker` limit requests while Amazon fails.
"""
