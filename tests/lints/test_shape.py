"""The shape of the code: short files, short functions, a docstring on each module, nothing left over."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = [
    "crds/agentic_crds",
    "core/agentic_core",
    "operator/agentic_operator",
    "api/agentic_api",
    "gateway/agentic_gateway",
    "runtime_image/agentic_runtime",
]
MOST_LINES = 400
MOST_BODY_LINES = 50


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if path.stat().st_size)


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_say_what_they_know_and_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a module opens with what it knows and who calls it"
    assert text.count("\n") <= MOST_LINES
    for function in functions(tree):
        body = (function.end_lineno or 0) - function.body[0].lineno + 1
        assert body <= MOST_BODY_LINES, f"{function.name} has {body} lines"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_unfinished_work_is_marked_in_the_code(path: Path) -> None:
    for number, line in enumerate(path.read_text().splitlines(), 1):
        assert not any(word in line for word in ("TODO", "FIXME", "XXX", "NotImplementedError")), f"line {number}"


def test_operator_folder_is_not_a_package() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists(), "it would shadow the standard library's operator module"
