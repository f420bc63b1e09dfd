"""The status page of the local stack: `GET /status` shows whether everything flows."""
