"""The cost models are compared with what the functions do in their cloud."""

from tests.support.cloud import amazon, cloud, printed

__all__ = ["amazon", "cloud", "printed"]  # fixtures
