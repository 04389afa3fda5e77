"""A control plane that holds nothing but what these tests put there: they count every write."""

from collections.abc import Iterator

import pytest

from tests.support.apiserver import ControlPlane, control_plane


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """The control plane of a module."""
    with control_plane(tmp_path_factory.mktemp("plane")) as running:
        yield running
