"""A small SQS in memory, spoken to by the real boto3: standard queues, flat cost up to a large backlog.

It has the operations that this project calls; any other is refused as an unknown one.
"""
