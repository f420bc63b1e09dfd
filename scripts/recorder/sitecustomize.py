"""Records the AWS calls of a Python program: with this folder on PYTHONPATH, Python imports this module first.

RECORD_AWS_CALLS names a file. It gets one line for each call, such as `cloudformation:CreateChangeSet`.
"""

import os
from pathlib import Path
from typing import Any

import botocore.client

_CLIENT: Any = botocore.client.BaseClient
_call = _CLIENT._make_api_call  # noqa: SLF001 - the one place that every call passes, even from s3transfer


def _recorded(client: Any, operation: str, arguments: Any) -> Any:
    with Path(os.environ["RECORD_AWS_CALLS"]).open("a", encoding="utf-8") as calls:
        calls.write(f"{client.meta.service_model.service_name}:{operation}\n")
    return _call(client, operation, arguments)


_CLIENT._make_api_call = _recorded  # noqa: SLF001
