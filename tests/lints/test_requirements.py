"""The manifest of requirements and the tests agree, in both directions."""

import ast
from pathlib import Path

from tests.requirements import REQUIREMENTS

TESTS = Path(__file__).parents[1]


def marked() -> set[str]:
    """Every id that a `@requirement(...)` decorator in the tests names."""
    found: set[str] = set()
    for path in TESTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "requirement":
                found |= {
                    arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
                }
    return found


def test_every_requirement_has_a_test() -> None:
    assert set(REQUIREMENTS) - marked() == set()


def test_every_mark_is_a_requirement() -> None:
    assert marked() - set(REQUIREMENTS) == set()
