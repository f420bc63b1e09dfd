"""Use case of `worker`: turns messages of the change queue into uploads, and gives each change an outcome.

`batch` reads and settles the messages of one invocation, `member_delivery` finds the outcome of each member, `sending`
sends to Amazon, `bisect` isolates bad records, `returning` puts back what waits, and `gates` limit requests while
Amazon fails.
"""
