"""How Lambda counts hops: each message carries how often each function ran in the chain that has led to it.

Lambda hands a function its chain in the trace id; the SDK sends it on with every request (botocore's
`add_recursion_detection_header`: `X-Amzn-Trace-Id: ...;Lineage=...`), and SQS keeps it with the message. A function
that has run 16 times in one chain is not invoked again, unless its `RecursiveLoop` is `Allow`: "Use Lambda recursive
loop detection to prevent infinite loops" in Lambda's guide, and boto/boto3#3899. The refused message stays invisible
for its visibility timeout, and SQS's redrive policy decides what becomes of it.

AWS does not document batches. Here a batch has the longest chain of its messages, and is refused as a whole: the worse
of the possible answers.
"""

from collections.abc import Iterable, Mapping

LONGEST = 16  # invocations of one function in one chain

type Lineage = Mapping[str, int]  # invocations by function; empty for what comes from outside


def lineage_of_invocation(function: str, messages: Iterable[Lineage]) -> Lineage:
    """Return the chain of an invocation by these messages, the invocation included."""
    counts: dict[str, int] = {}
    for lineage in messages:
        for name, count in lineage.items():
            counts[name] = max(count, counts.get(name, 0))
    return counts | {function: counts.get(function, 0) + 1}
