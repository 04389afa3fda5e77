"""Nothing connects to a URL but by the guarded client; what calls programs of ours by settings is named here."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lints.test_shape import PACKAGES, ROOT

CONNECTS = frozenset(
    {
        *("TCPConnector", "ClientSession", "ThreadedResolver", "AsyncResolver"),  # aiohttp
        *("DNSResolver", "Channel"),  # c-ares
        *("AsyncClient", "Client", "DefaultAioHttpClient", "DefaultAsyncHttpxClient"),  # httpx and the SDKs on it
        *("open_connection", "create_connection", "sock_connect", "getaddrinfo", "gethostbyname"),  # asyncio, socket
        *("urlopen", "HTTPConnection", "HTTPSConnection"),
    }
)
"""Names of calls that open a connection, or something that opens connections."""
PERMITTED = {
    "core/agentic_core/egress/client.py": {"TCPConnector", "ClientSession"},
    "core/agentic_core/egress/lookups.py": {"DNSResolver", "getaddrinfo"},
    "core/agentic_core/cluster/transport.py": {"TCPConnector", "ClientSession"},
    "runtime_image/agentic_runtime/chat_models.py": {"DefaultAioHttpClient"},
}
"""Where: the guarded client, the client of the API server, and the runtime's clients of the gateway."""


def opened(tree: ast.AST) -> Iterator[str]:
    """Names of calls that open connections, and of imports of what makes such calls possible under another name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in CONNECTS:
                yield name
        if isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names if alias.name in CONNECTS)


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_guarded_client_connects_to_urls(path: Path) -> None:
    where = str(path.relative_to(ROOT))
    assert set(opened(ast.parse(path.read_text()))) <= PERMITTED.get(where, set())


@pytest.mark.parametrize(
    "text",
    [
        "aiohttp.ClientSession()",
        "aiohttp.TCPConnector(limit=1)",
        "httpx2.AsyncClient()",
        "from aiohttp import ClientSession as S",
        "await asyncio.open_connection('a', 1)",
        "loop.getaddrinfo('a', 1)",
    ],
)
def test_what_connects_is_found(text: str) -> None:
    assert list(opened(ast.parse(text)))
