"""The programs under attack."""

from tests.api.conftest import api, world

__all__ = ["api", "world"]
