"""The stack in memory, as template.yaml declares it: queues, tables, secrets and each function's environment."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

from audience_sync.aws.audience_table import row_of
from audience_sync.members.membership import Audience
from local.resources import MANAGER_ACCOUNT, create_queues
from local.sqs.operations import Operations
from local.sqs.queues import SqsQueues
from local.template import QueueSource, Template
from tests.soak.clock import SimulatedClock
from tests.soak.dynamodb import DynamoDbClient, Table
from tests.soak.secrets_manager import SecretsManagerClient
from tests.soak.sqs import URL, Queue, SqsClient
from tests.support.aws_fixtures import CREDENTIALS, EVENT_KEY


class Stack:
    """AWS, as the functions see it."""

    def __init__(
        self,
        clock: SimulatedClock,
        random: Random,
        fails_partly: Callable[[], bool],
        token: dict[str, Any],
        recursive_loop: str | None = None,
        audiences: Sequence[Audience] = (),
    ) -> None:
        """Build it.

        Args:
            clock: of the simulation.
            random: chooses.
            fails_partly: asked for each part of a batch.
            token: held by the token secret at first.
            recursive_loop: replaces the template's RecursiveLoop of every function.
            audiences: that are listed.
        """
        # A window of a minute would gather changes that are to meet in the table.
        self._template = Template.load(
            {"DataManagerAccountId": MANAGER_ACCOUNT, "BatchWindow": 10, "EventQueue": "yes"}
        )
        self._recursive_loop = recursive_loop
        self.queues = SqsQueues(lambda: clock.now, partial(Queue, random=random))
        self._tables: dict[str, Table] = {}
        self._random, self._fails_partly = random, fails_partly
        creation = Operations(self.queues, URL)
        create_queues(self._template, lambda **request: creation.answer("CreateQueue", request))
        self._add_tables(clock)
        self.secrets = self._add_secrets(
            {"IngestSecret": {"eventKey": EVENT_KEY}, "CredentialsSecret": CREDENTIALS, "TokenSecret": token}
        )
        for logical_id in self._template.resources("AWS::Serverless::Function"):
            self._template.name(logical_id, logical_id)
        self._functions = self._template.functions()  # asked before each invocation
        table = self._tables["AudienceTable"]
        for audience in audiences:
            row = row_of(audience, 0)
            table.rows[table.key_of(row)] = row  # since long ago

    @property
    def tables(self) -> list[Table]:
        return [*self._tables.values()]

    @property
    def members(self) -> Table:
        """The membership table."""
        return self._tables["MembershipTable"]

    def copy_members(self, name: str) -> None:
        """Add a table with the rows that the membership table has now, as DynamoDB restores one."""
        self._tables[name] = self.members.copy(name)

    def queue(self, logical_id: str) -> Queue:
        """Return a queue of the template."""
        queue = self.queues.find(self.ref(logical_id))
        assert isinstance(queue, Queue)
        return queue

    def send(self, logical_id: str, body: str) -> None:
        """Put a message into a queue that comes from outside of the functions."""
        self.queues.send(self.ref(logical_id), body)

    def ref(self, logical_id: str) -> str:
        """Return the URL of a queue, or the name of a table."""
        return str(self._template.resolve({"Ref": logical_id}))

    def arn(self, logical_id: str) -> str:
        """Return the ARN of a queue."""
        return str(self._template.resolve({"Fn::GetAtt": [logical_id, "Arn"]}))

    def sources(self, worker_batch_size: int = 0) -> list[QueueSource]:
        """Return which queue triggers which function, with a batch size of its own for the worker where it is given."""
        sources = self._template.queue_sources()
        if self._recursive_loop:
            sources = [replace(source, may_loop=self._recursive_loop == "Allow") for source in sources]
        return [
            replace(source, batch_size=worker_batch_size, window=0.0)
            if worker_batch_size and source.function == "WorkerFunction"
            else source
            for source in sources
        ]

    def timeout(self, function: str) -> float:
        """Return a function's timeout in seconds."""
        return self._functions[function].timeout

    def environment(self) -> dict[str, str]:
        """Return the environment variables of all functions: a name has the same value in each of them."""
        merged: dict[str, str] = {}
        for function in self._functions.values():
            for name, value in self._template.resolve(dict(function.environment)).items():
                assert merged.setdefault(name, str(value)) == str(value), f"{name} differs between functions"
        return merged

    def client(self, service: str, *, config: Any = None, **_: Any) -> Any:
        """Replaces boto3.client."""
        timeout = float(config.read_timeout) if config else 60.0
        attempts = int((getattr(config, "retries", None) or {}).get("total_max_attempts", 1)) if config else 1
        match service:
            case "sqs":
                return SqsClient(self.queues, self._fails_partly, timeout, attempts)
            case "dynamodb":
                tables = self._tables.values()
                return DynamoDbClient(tables, self._random, self._fails_partly, timeout, attempts)
            case "secretsmanager":
                return SecretsManagerClient(self.secrets, timeout, attempts)
        raise AssertionError(f"{service} is not known here")

    def _add_tables(self, clock: SimulatedClock) -> None:
        for logical_id, properties in self._template.resources("AWS::DynamoDB::Table").items():
            keys = tuple(key["AttributeName"] for key in properties["KeySchema"])
            self._tables[logical_id] = Table(logical_id, keys, clock, self._random)
            arn = f"arn:aws:dynamodb:us-east-1:123456789012:table/{logical_id}"
            self._template.name(logical_id, logical_id, Arn=arn)

    def _add_secrets(self, values: dict[str, dict[str, Any]]) -> dict[str, str]:
        """Name the secrets; their ARNs are their logical ids."""
        for logical_id in self._template.resources("AWS::SecretsManager::Secret"):
            self._template.name(logical_id, logical_id)
        return {logical_id: json.dumps(value) for logical_id, value in values.items()}
