"""Kopf closes its connections without waiting for the end of TLS, so that their sockets are collected, not closed.

That is Kopf's affair: these tests collect them where they are left, and no other test has to bear the warnings.
"""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests of this folder leave sockets."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))


@pytest.fixture(autouse=True, scope="module")
def _sockets_collected() -> Iterator[None]:
    yield
    gc.collect()
