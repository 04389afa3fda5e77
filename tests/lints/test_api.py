"""What every endpoint and every query of the api has to keep to, read from the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.routing import APIRoute, APIRouter

from agentic_api.agents import endpoints as agents
from agentic_api.conversations import endpoints as conversations
from agentic_api.docs import endpoints as docs
from agentic_api.health import endpoints as health
from agentic_api.keys import endpoints as keys
from agentic_api.runs import endpoints as runs
from agentic_api.tenants import endpoints as tenants
from agentic_api.web.auth import Authenticated
from tests.requirements import requirement

API = Path(__file__).parents[2] / "api" / "agentic_api"
REPOSITORIES = {"repository.py", "statements.py", "journal.py"}
QUERIES = {
    "execute",
    "exec_driver_sql",
    "scalar",
    "scalars",
    "stream",
    "fetch",
    "fetch_one",
    "fetchrow",
    "fetchval",
    "executemany",
}
SESSIONS = {"session", "transaction", "connection", "database"}
PUBLIC = {"/healthz", "/readyz", "/docs", "/docs/start.js", "/docs/{asset}"}
DOMAINS: tuple[APIRouter, ...] = tuple(
    module.router for module in (agents, conversations, docs, health, keys, runs, tenants)
)


def modules() -> list[Path]:
    return sorted(path for path in API.rglob("*.py") if path.name not in REPOSITORIES)


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield f"{node.module}"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def queries(tree: ast.Module) -> Iterator[str]:
    """Calls such as `session.execute(...)` or `self.session.execute(...)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in QUERIES:
            owner = node.func.value
            name = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
            if name.lstrip("_") in SESSIONS:
                yield f"{name}.{node.func.attr} in line {node.lineno}"


@requirement("data-isolation")
@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(API)))
def test_queries_live_in_repositories(path: Path) -> None:
    tree = ast.parse(path.read_text())
    drivers = ("sqlalchemy", "asyncpg", "agentic_core.db.tables")
    assert [name for name in imported(tree) if name.startswith(drivers)] == []
    assert list(queries(tree)) == []


@pytest.mark.parametrize(
    "code",
    ["session.execute('x')", "self._session.scalar('x')", "(await f()).x\nself.connection.exec_driver_sql('x')"],
)
def test_the_lint_sees_queries(code: str) -> None:
    assert list(queries(ast.parse(f"async def f():\n  {code.splitlines()[-1]}")))


def authenticated(route: APIRoute) -> bool:
    return any(isinstance(dependency.call, Authenticated) for dependency in route.dependant.dependencies)


@requirement("api-auth-key")
def test_every_endpoint_asks_who_calls() -> None:
    routes = [route for router in DOMAINS for route in router.routes if isinstance(route, APIRoute)]
    assert {route.path for route in routes if not authenticated(route)} == PUBLIC
    assert len(routes) > len(PUBLIC) + 15


def test_every_domain_is_looked_at() -> None:
    found = {path.parent.name for path in API.glob("*/endpoints.py")}
    assert found == {"agents", "conversations", "docs", "health", "keys", "runs", "tenants"}
