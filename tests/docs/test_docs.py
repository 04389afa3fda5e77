"""The documentation agrees with the tree: links lead somewhere, paths exist, the source map names every package."""

import re
from pathlib import Path

import pytest

from agentic_crds import KINDS

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "manifests").rglob("*.md")])
DECISIONS = sorted((ROOT / "docs/adr").glob("*.md"))
ARCHITECTURE = ROOT / "docs/architecture.md"
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\s]+)`")
FOLDERS = tuple(
    f"{folder}/"
    for folder in (
        *("api", "benchmarks", "core", "crds", "docs", "hack", "manifests", "migrations", "operator", "runtime_image"),
        "tests",
    )
)


def relative(path: Path) -> str:
    """The path as messages show it."""
    return str(path.relative_to(ROOT))


def packages() -> list[Path]:
    """The folder of every package that is shipped."""
    return sorted(path.parent for path in ROOT.glob("*/agentic_*/__init__.py"))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_paths_in_texts_exist(page: Path) -> None:
    for path in CODE.findall(page.read_text()):
        if path.startswith(FOLDERS) and not re.search(r"[<>*…{}]", path):
            assert (ROOT / path).exists(), path


def test_architecture_is_short_and_ends_in_a_source_map() -> None:
    text = ARCHITECTURE.read_text()
    assert text.count("\n") <= 250
    assert re.findall(r"^## (.+)$", text, re.MULTILINE)[-1] == "Source map"


def test_the_source_map_names_every_package_and_only_what_exists() -> None:
    rows = [
        line for line in ARCHITECTURE.read_text().partition("## Source map")[2].splitlines() if line.startswith("| `")
    ]
    mapped = {row.split("`")[1] for row in rows}
    assert [path for path in mapped if not (ROOT / path).exists()] == []
    assert {relative(package) for package in packages()} <= mapped
    assert len(packages()) >= 6


def test_architecture_names_every_kind_with_its_scope() -> None:
    table = ARCHITECTURE.read_text().partition("## Custom resources")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", table, re.MULTILINE)
    scopes = {"Cluster": "cluster", "Namespaced": "namespace"}
    assert rows == [(kind.name, scopes[kind.model.scope]) for kind in KINDS]


@pytest.mark.parametrize("page", DECISIONS, ids=relative)
def test_decisions_have_a_number_and_three_parts(page: Path) -> None:
    text = page.read_text()
    number = int(page.name[:4])
    assert text.startswith(f"# {number}. ")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
    assert text.count("\n") <= 60


def test_decisions_are_numbered_without_gaps() -> None:
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))
