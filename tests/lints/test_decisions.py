"""What decides in the operator is pure: import-linter forbids it modules, this forbids it calls and awaits."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

OPERATOR = Path(__file__).parents[2] / "operator/agentic_operator"
PURE = ("desired", "observed", "status", "runtime")
"""Names of the pure modules of a controller's package."""
ENGINE = ("decision", "drift", "ownership", "status")
"""Names of the pure modules of the engine."""
CLOCKS = {"now", "utcnow", "today", "monotonic", "perf_counter", "time_ns"}
FILES = {"open", "read_text", "write_text", "read_bytes", "write_bytes"}


def pure_modules() -> list[Path]:
    controllers = [path for name in PURE for path in OPERATOR.glob(f"controllers/*/{name}.py")]
    engine = [OPERATOR / "engine" / f"{name}.py" for name in ENGINE]
    return sorted([*controllers, *engine, *OPERATOR.glob("desired/*.py")])


def impurities(tree: ast.AST) -> Iterator[str]:
    """Awaits, coroutines, and calls that read a clock or a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            yield f"line {node.lineno}: it awaits"
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in CLOCKS | FILES:
                yield f"line {node.lineno}: it calls {name}"


@pytest.mark.parametrize("path", pure_modules(), ids=lambda path: str(path.relative_to(OPERATOR)))
def test_modules_that_decide_are_pure(path: Path) -> None:
    assert list(impurities(ast.parse(path.read_text()))) == []


def test_functions_that_decide_are_pure_in_controllers_of_one_module_too() -> None:
    found = {}
    for path in OPERATOR.glob("controllers/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in ("desired", "assess"):
                found[f"{path.name}: {node.name}"] = list(impurities(node))
    assert {"shared_runtime.py: desired", "handlers.py: assess"} <= found.keys()
    assert not [place for place, impure in found.items() if impure]


@pytest.mark.parametrize(
    "text", ["async def f(): ...", "datetime.now(UTC)", "time.monotonic()", "open('x')", "Path('x').read_text()"]
)
def test_what_is_not_pure_is_found(text: str) -> None:
    assert list(impurities(ast.parse(text)))
