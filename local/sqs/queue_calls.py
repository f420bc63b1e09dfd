"""The operations on queues: create, look up, change, list, purge, delete, tag."""

import re
from base64 import b64decode, b64encode
from typing import Any

from local.sqs.addresses import Addresses
from local.sqs.errors import InvalidAttributeName, InvalidParameterValueException
from local.sqs.parameters import Parameters
from local.sqs.queue import Queue
from local.sqs.queues import SqsQueues
from local.sqs.settings import SETTABLE

_QUEUE_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
_COUNTED = {
    "ApproximateNumberOfMessages": "visible",
    "ApproximateNumberOfMessagesNotVisible": "in_flight",
    "ApproximateNumberOfMessagesDelayed": "delayed",
}
_READABLE = {*SETTABLE, *_COUNTED, "QueueArn", "CreatedTimestamp", "LastModifiedTimestamp"}


def create_queue(queues: SqsQueues, addresses: Addresses, request: Parameters) -> dict[str, Any]:
    """CreateQueue."""
    name = request.text("QueueName")
    if not _QUEUE_NAME.fullmatch(name):
        raise InvalidParameterValueException(
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length. (A standard queue.)"
        )
    queue = queues.create(name, request.text_map("Attributes"))
    queue.tags.update(request.text_map("tags"))
    return {"QueueUrl": addresses.url(name)}


def get_queue_url(queues: SqsQueues, addresses: Addresses, request: Parameters) -> dict[str, Any]:
    """GetQueueUrl."""
    return {"QueueUrl": addresses.url(queues.find(request.text("QueueName")).name)}


def get_queue_attributes(queues: SqsQueues, addresses: Addresses, request: Parameters) -> dict[str, Any]:
    """GetQueueAttributes. Only what is asked for and set; without names, nothing."""
    queue, wanted = queues.find(request.text("QueueUrl")), set(request.texts("AttributeNames"))
    if wanted - _READABLE - {"All"}:
        raise InvalidAttributeName("Unknown Attribute for a standard queue.")
    known = _attributes(queue, queues, addresses) if wanted else {}
    chosen = {name: value for name, value in known.items() if name in wanted or "All" in wanted}
    return {"Attributes": chosen} if chosen else {}


def set_queue_attributes(queues: SqsQueues, _addresses: Addresses, request: Parameters) -> dict[str, Any]:
    """SetQueueAttributes."""
    queues.change(request.text("QueueUrl"), request.text_map("Attributes"))
    return {}


def list_queues(queues: SqsQueues, addresses: Addresses, request: Parameters) -> dict[str, Any]:
    """ListQueues, by page when MaxResults asks for it; the token is the last name of the page before."""
    prefix = request.text_or_none("QueueNamePrefix") or ""
    after = _name_in(request.text_or_none("NextToken"))
    limit = request.whole_or_none("MaxResults", 1, 1_000)
    names = [name for name in queues.names() if name.startswith(prefix) and name > after]
    page = names[: limit or 1_000]
    answer: dict[str, Any] = {"QueueUrls": [addresses.url(name) for name in page]} if page else {}
    if limit is not None and len(names) > limit:
        answer["NextToken"] = b64encode(page[-1].encode()).decode()
    return answer


def list_dead_letter_source_queues(queues: SqsQueues, addresses: Addresses, request: Parameters) -> dict[str, Any]:
    """ListDeadLetterSourceQueues, all on one page."""
    target = queues.find(request.text("QueueUrl")).name
    policies = {name: queues.find(name).settings.redrive for name in queues.names()}
    sources = [name for name, policy in policies.items() if policy is not None and policy.dead_letters == target]
    return {"queueUrls": [addresses.url(name) for name in sources]}


def delete_queue(queues: SqsQueues, _addresses: Addresses, request: Parameters) -> dict[str, Any]:
    """DeleteQueue."""
    queues.remove(request.text("QueueUrl"))
    return {}


def purge_queue(queues: SqsQueues, _addresses: Addresses, request: Parameters) -> dict[str, Any]:
    """PurgeQueue."""
    queues.purge(request.text("QueueUrl"))
    return {}


def tag_queue(queues: SqsQueues, _addresses: Addresses, request: Parameters) -> dict[str, Any]:
    """TagQueue."""
    queues.find(request.text("QueueUrl")).tags.update(request.text_map("Tags"))
    return {}


def untag_queue(queues: SqsQueues, _addresses: Addresses, request: Parameters) -> dict[str, Any]:
    """UntagQueue."""
    tags = queues.find(request.text("QueueUrl")).tags
    for key in request.texts("TagKeys"):
        tags.pop(key, None)
    return {}


def list_queue_tags(queues: SqsQueues, _addresses: Addresses, request: Parameters) -> dict[str, Any]:
    """ListQueueTags."""
    return {"Tags": queues.find(request.text("QueueUrl")).tags}


def _attributes(queue: Queue, queues: SqsQueues, addresses: Addresses) -> dict[str, str]:
    counts = queues.counts(queue.name)
    return {
        **queue.settings.attributes(),
        **{name: str(getattr(counts, count)) for name, count in _COUNTED.items()},
        "QueueArn": addresses.arn(queue.name),
        "CreatedTimestamp": str(int(queue.created_at)),
        "LastModifiedTimestamp": str(int(queue.modified_at)),
    }


def _name_in(token: str | None) -> str:
    try:
        return b64decode(token or "", validate=True).decode()
    except ValueError:
        raise InvalidParameterValueException("Value for parameter NextToken is invalid.") from None
