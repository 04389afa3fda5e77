"""One platform on a real cluster for all end-to-end tests."""

from collections.abc import Iterator

import pytest

from tests.support import platform as support
from tests.support.platform import Platform


@pytest.fixture(scope="session")
def platform() -> Platform:
    """The platform that the quickstart brought up."""
    return support.start("test")


@pytest.fixture(scope="session")
def rival(platform: Platform) -> Iterator[str]:
    """The key of a second tenant that has an agent of its own."""
    platform.apply(support.tenant("rival"))
    platform.wait_ready("tenant", "rival")
    platform.apply(support.provider("rival-default"), support.agent("spy", "rival-default"))
    platform.wait_ready("agent", "spy", "rival-default")
    yield platform.new_key("rival")
    platform.kubectl("delete", "tenant", "rival", "--wait=false")
