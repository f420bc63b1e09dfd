"""The status page of the local stack: `GET /status` shows at a glance whether everything flows."""

from local.status.page import status_page

__all__ = ["status_page"]
