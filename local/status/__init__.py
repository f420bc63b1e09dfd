"""The status page of the local stack, at `GET /status`."""
