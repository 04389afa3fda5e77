"""What names of classes have in common: a public one is defined once, so that it means the same wherever it is read."""

import ast
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ["crds", "core", "operator", "api", "gateway", "runtime_image", "hack", "migrations"]


def product_files() -> list[Path]:
    return sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def defined_twice(sources: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The public classes that stand in more than one place of the sources (name and text), with the places."""
    places: defaultdict[str, list[str]] = defaultdict(list)
    for name, text in sources:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(f"{name}:{node.lineno}")
    return {name: where for name, where in places.items() if len(where) > 1}


def test_the_name_of_a_public_class_is_defined_once() -> None:
    files = product_files()
    assert {path.relative_to(ROOT).parts[0] for path in files} == set(FOLDERS)
    twice = defined_twice((str(path.relative_to(ROOT)), path.read_text()) for path in files)
    assert not twice, "give each class a name of its own"


def test_the_lint_sees_classes_of_one_name_wherever_they_are() -> None:
    sources = [("a.py", "class Place: ...\nclass _Own: ..."), ("b.py", "def f():\n class Place: ...\nclass _Own: ...")]
    assert defined_twice(sources) == {"Place": ["a.py:1", "b.py:2"]}
