"""The page on installing says what the code does: the database's roles, and commands on files that exist."""

import re
from collections.abc import Sequence
from pathlib import Path

import yaml

from agentic_core.db import roles

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/installing.md").read_text()


class Quoting:
    """A connection that only quotes, as PostgreSQL would."""

    async def fetch(self, _query: str, *texts: str) -> Sequence[Sequence[str]]:
        """One row: the texts as literals, and the name of the database."""
        return [[*(f"'{text}'" for text in texts), "agentic"]]


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


async def test_the_statements_are_those_that_make_the_roles() -> None:
    wanted = await roles._statements(Quoting(), "MIGRATOR", "API", "GATEWAY")
    created = [f"create role {role}" for role in (roles.OWNER, roles.MIGRATOR, *roles.PROGRAMS, roles.APP)]
    assert [line.removesuffix(";") for line in blocks("sql")[0].splitlines()] == [*created, *wanted]


def test_commands_name_files_that_exist() -> None:
    paths = re.findall(r"\bmanifests/[\w./-]+", "\n".join(blocks("sh")))
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_values_are_those_of_the_chart() -> None:
    values = yaml.safe_load((ROOT / "manifests/helm/agentic-platform/values.yaml").read_text())
    for row in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE):
        for path in re.findall(r"`([\w.*]+)`", row):
            node = values
            for key in path.split("."):
                assert isinstance(node, dict), path
                assert key == "*" or key in node, path
                node = node["api"] if key == "*" else node[key]
