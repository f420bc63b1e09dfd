"""Builds the boto3 clients of all functions, with short timeouts and at most one retry by default."""

import logging
from typing import Any

import boto3
from botocore.config import Config

# When Lambda sets the root logger's level, botocore logs every client it builds, and at DEBUG its requests.
logging.getLogger("botocore").setLevel(logging.WARNING)


def client(
    service: str, *, read_timeout: float, attempts: int = 2, connections: int = 10, validate: bool = True
) -> Any:
    """Return a client of `service` for the region and credentials of the environment.

    Args:
        service: boto3's name.
        read_timeout: seconds to wait for an answer; a connection gets one second.
        attempts: in all; the second one is for a connection that was closed while the function was frozen.
        connections: kept open at the same time.
        validate: whether botocore checks every parameter before sending. Without, batches of writes need a fifth less
            CPU time.
    """
    config = Config(
        connect_timeout=1,
        read_timeout=read_timeout,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=connections,
        parameter_validation=validate,
    )
    return boto3.client(service, config=config)  # type: ignore[call-overload]
