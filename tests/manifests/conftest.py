"""The API server with the charts, one for a test process."""

from collections.abc import Iterator

import pytest

from tests.manifests.cluster import Cluster, installed


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Both charts, applied to a real API server."""
    with installed(tmp_path_factory.mktemp("charts")) as running:
        yield running
