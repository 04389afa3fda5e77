"""What CI runs: all tiers of the suite by the README's command, one call at a time on a machine."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.tiers import BUDGETS

ROOT = Path(__file__).parents[2]
CALL = """#!/bin/sh
echo "{name} $*" >>"$RECORD"
"""
MAKE = """#!/bin/sh
echo "$RUN begins $*" >>"$RECORD"
if [ "$1" = check ]; then echo "$RUN is inside" && read -r _; fi
echo "$RUN ends $*" >>"$RECORD"
"""


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The scripts as they are, but what they call is recorded only."""
    for name in (".ci/run", "hack/test.sh", "hack/lib.sh"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("hack/deps.sh", "hack/cluster/build.sh", "hack/cluster-down.sh", "bin/pytest"):
        program(tmp_path / name, CALL.format(name=Path(name).name))
    program(tmp_path / "bin" / "make", MAKE)
    return tmp_path


def environ(tree: Path, **more: str) -> dict[str, str]:
    path = f"{tree}/bin:{os.environ['PATH']}"
    own = {"PATH": path, "AGENTIC_CACHE": str(tree / "cache"), "RECORD": str(tree / "record")}
    outside = {name: value for name, value in os.environ.items() if name not in ("locks", "lock_names")}
    return outside | own | more


def recorded(tree: Path) -> list[str]:
    return (tree / "record").read_text().splitlines()


def run_tests(tree: Path, *arguments: str) -> tuple[int, list[str]]:
    """The exit code of hack/test.sh, and with what it called pytest."""
    done = subprocess.run([tree / "hack" / "test.sh", *arguments], env=environ(tree), timeout=60, check=False)
    return done.returncode, [line for line in recorded(tree) if line.startswith("pytest")]


def tiers(calls: list[str]) -> list[str]:
    words = " ".join(calls).split()
    return sorted(words[position + 1] for position, word in enumerate(words) if word == "--tier")


def test_all_tiers_run_unless_one_is_named(tree: Path) -> None:
    code, calls = run_tests(tree)
    assert code == 0
    assert tiers(calls) == sorted(BUDGETS)


@pytest.mark.parametrize("tier", BUDGETS)
def test_a_named_tier_runs_alone_with_arguments_for_pytest(tree: Path, tier: str) -> None:
    code, calls = run_tests(tree, tier, "tests/core", "-x")
    assert code == 0
    assert tiers(calls) == [tier]
    assert [call for call in calls if not call.endswith(f"--tier {tier} tests/core -x")] == []


def test_only_tests_on_the_cluster_run_one_at_a_time(tree: Path) -> None:
    _, calls = run_tests(tree)
    assert [tiers([call]) for call in calls if " -n " not in call] == [["e2e"]]


@pytest.mark.parametrize(
    ("codes", "expected"),
    [((0, 0), 0), ((1, 0), 1), ((0, 1), 1), ((5, 0), 0), ((0, 5), 0), ((5, 5), 5), ((5, 1), 1)],
)
def test_a_tier_without_tests_fails_only_when_no_tier_has_any(
    tree: Path, codes: tuple[int, int], expected: int
) -> None:
    in_parallel, on_cluster = codes
    program(
        tree / "bin" / "pytest",
        f'#!/bin/sh\necho pytest >>"$RECORD"\n[ "$1" = -n ] && exit {in_parallel}\nexit {on_cluster}\n',
    )
    code, calls = run_tests(tree)
    assert (code, len(calls)) == (expected, 2)


def test_ci_runs_the_checks_and_the_test_command_of_the_readme(tree: Path) -> None:
    command = (ROOT / "README.md").read_text().partition("## Test it\n\n```\n")[2].partition("\n")[0]
    done = subprocess.run(
        [tree / ".ci" / "run"], env=environ(tree, RUN="ci"), input="\n", text=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert [line for line in recorded(tree) if " begins " in line] == ["ci begins check", "ci begins test"]
    assert command == "make test"


def test_a_second_ci_run_on_a_machine_waits_for_the_first(tree: Path) -> None:
    def started(run: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [tree / ".ci" / "run"],
            env=environ(tree, RUN=run),
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    with started("first") as first:
        assert first.stdout
        assert first.stdout.readline() == "first is inside\n"
        with started("second") as second:
            assert second.stderr
            assert second.stderr.readline() == "waiting for another call that works on test-cluster\n"
            first.communicate("\n", timeout=30)
            second.communicate("\n", timeout=30)
    down, first_calls, second_calls = "cluster-down.sh test", _calls("first"), _calls("second")
    assert recorded(tree) == [down, *first_calls, down, down, *second_calls, down]
    assert (first.returncode, second.returncode) == (0, 0)


def _calls(run: str) -> list[str]:
    return [f"{run} {what} {target}" for target in ("check", "test") for what in ("begins", "ends")]


def test_the_tests_of_a_ci_run_do_not_wait_for_its_own_lock(tree: Path) -> None:
    program(tree / "bin" / "make", f'#!/bin/sh\n[ "$1" = check ] || exec {tree}/hack/test.sh\n')
    done = subprocess.run(
        [tree / ".ci" / "run"], env=environ(tree), capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert tiers(recorded(tree)) == sorted(BUDGETS)


def test_tests_on_the_cluster_wait_for_those_of_another_call(tree: Path) -> None:
    hold = f". {tree}/hack/lib.sh; only_one test-cluster; echo held; read -r _"
    with subprocess.Popen(
        ["bash", "-c", hold], env=environ(tree), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with subprocess.Popen(
            [tree / "hack" / "test.sh", "e2e"], env=environ(tree), text=True, stderr=subprocess.PIPE
        ) as waiting:
            assert waiting.stderr
            assert waiting.stderr.readline() == "waiting for another call that works on test-cluster\n"
            assert not any(line.startswith("pytest") for line in recorded(tree))
            holder.communicate("\n", timeout=30)
            assert waiting.wait(30) == 0
    assert tiers(recorded(tree)) == ["e2e"]
