"""What keeps tests quick and steady: they wait for conditions, and constants are given to what they test."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted([*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")])
MAX_SLEEP = 0.05
"""Seconds between two looks at a condition."""
SLEEPS = {
    "benchmarks/execute.py::tenant_key": "waits until the tenant is known",
    "benchmarks/gateway.py::steady": "a steady rate",
    "benchmarks/operator.py::edit": "a steady rate",
    "benchmarks/operator.py::quiet": "that nothing happens can only be seen over a time",
    "benchmarks/operator.py::until": "waits for a condition",
    "benchmarks/runtime.py::settle": "that nothing happens can only be seen over a time",
    "tests/operator/engine/test_metrics.py::test_a_blocked_event_loop_shows_as_lag": "the blocked time is the input",
    "tests/runtime/provider.py::_stream": "the pace of a scripted model",
    "tests/support/faults.py::fault": "a slow API server",
    "tests/support/waiting.py::until_sync": "waits for a condition",
}
"""By function, why it may sleep."""


def calls(tree: ast.AST, inside: str = "") -> Iterator[tuple[str, ast.Call]]:
    """Every call with the name of the function that it is in."""
    for node in ast.iter_child_nodes(tree):
        within = node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else inside
        if isinstance(node, ast.Call):
            yield within, node
        yield from calls(node, within)


def is_long_sleep(call: ast.Call) -> bool:
    """Whether it sleeps for more than a moment, or for a time that cannot be read off."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name != "sleep" or not call.args:
        return False
    seconds = call.args[0]
    return not (isinstance(seconds, ast.Constant) and float(str(seconds.value)) <= MAX_SLEEP)


def patched_constant(call: ast.Call) -> str | None:
    """The upper-case name of a module or class that it sets."""
    if not (isinstance(call.func, ast.Attribute) and call.func.attr == "setattr"):
        return None
    texts = [arg.value for arg in call.args[:2] if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    names = [text.rpartition(".")[2] for text in texts]
    return next((name for name in names if name.isupper()), None)


def found(path: Path) -> tuple[set[str], set[str]]:
    """The functions of a file that sleep, and the constants that it patches."""
    every = list(calls(ast.parse(path.read_text())))
    where = path.relative_to(ROOT)
    sleeping = {f"{where}::{inside}" for inside, call in every if is_long_sleep(call)}
    patching = {f"{where}: {name}" for _, call in every if (name := patched_constant(call))}
    return sleeping, patching


def test_tests_wait_for_conditions_and_patch_no_constants() -> None:
    sleeping: set[str] = set()
    patching: set[str] = set()
    for path in FILES:
        sleeps, patches = found(path)
        sleeping |= sleeps
        patching |= patches
    assert sleeping == set(SLEEPS), "wait for a condition with tests/support/waiting.py, or say here why not"
    assert patching == set(), "give the constant to what is tested as a parameter"


@pytest.mark.parametrize(
    ("code", "long"),
    [
        ("await asyncio.sleep(0.05)", False),
        ("time.sleep(0)", False),
        ("asyncio.sleep(0.06)", True),
        ("sleep(10)", True),
        ("time.sleep(SECONDS)", True),
        ("time.sleep(deadline - now)", True),
    ],
)
def test_the_lint_sees_sleeps(code: str, *, long: bool) -> None:
    assert any(is_long_sleep(call) for _, call in calls(ast.parse(code))) is long


@pytest.mark.parametrize(
    ("code", "constant"),
    [
        ('monkeypatch.setattr(queue, "FIRST_PAUSE", 1)', "FIRST_PAUSE"),
        ('patch.setattr("package.module.PAGE", 3)', "PAGE"),
        ('monkeypatch.setattr(registry, "installed", none)', None),
    ],
)
def test_the_lint_sees_patched_constants(code: str, constant: str | None) -> None:
    assert next((patched_constant(call) for _, call in calls(ast.parse(code))), None) == constant
