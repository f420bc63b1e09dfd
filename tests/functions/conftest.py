"""The handlers as Lambda runs them, with every answer of the API checked."""

from tests.support.cloud import amazon, cloud, described, printed

__all__ = ["amazon", "cloud", "described", "printed"]  # fixtures
