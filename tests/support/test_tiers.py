"""The tiers of the suite: each test is in exactly one, none is left out, and a run says what it took."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import tiers
from tests.support.tiers import BUDGETS

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
COLLECT = """
import json, sys
import pytest

class Collected:
    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        from tests.support import tiers  # not before pytest, which rewrites what it loads
        found = {tier: [item.nodeid for item in tiers.select(items, [tier])[0]] for tier in tiers.BUDGETS}
        print(json.dumps(found | {"all": [item.nodeid for item in items]}), file=sys.stderr)

sys.exit(pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", "tests"], plugins=[Collected()]))
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_test_of_the_suite_is_in_exactly_one_tier() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COLLECT], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:]
    found = json.loads(done.stderr.splitlines()[-1])
    everything = found.pop("all")
    assert all(found.values()), "a tier is empty"
    assert sorted(test for chosen in found.values() for test in chosen) == sorted(everything)
    assert len(everything) > 2000


SUITE = """
import pytest

def test_short(): pass

@pytest.mark.slow
def test_long(): pass

@pytest.mark.e2e
def test_on_a_cluster(): pass

@pytest.mark.slow
@pytest.mark.e2e
def test_long_on_a_cluster(): pass
"""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), ["test_long", "test_short", "test_on_a_cluster", "test_long_on_a_cluster"]),
        (("--tier", "fast"), ["test_short"]),
        (("--tier", "slow"), ["test_long"]),
        (("--tier", "e2e"), ["test_on_a_cluster", "test_long_on_a_cluster"]),
        (("--tier", "fast", "--tier", "slow"), ["test_long", "test_short"]),
    ],
)
def test_a_tier_runs_what_its_marker_says_the_slow_first(
    pytester: pytest.Pytester, arguments: tuple[str, ...], expected: list[str]
) -> None:
    pytester.makeini("[pytest]\nmarkers =\n  slow\n  e2e\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makepyfile(SUITE)
    done = pytester.runpytest_inprocess("-v", "-p", "tests.support.tiers", "-p", "no:cacheprovider", *arguments)
    assert done.ret == 0
    assert [line.split()[0].rpartition("::")[2] for line in done.outlines if " PASSED " in line] == expected
    done.stdout.fnmatch_lines(["*= time budget =*"])


def test_modules_without_tests_of_the_tier_are_not_imported(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmarkers =\n  slow\n  e2e\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makepyfile(test_a=SUITE, test_b="raise RuntimeError('imported')")
    for tier in ("slow", "e2e"):
        done = pytester.runpytest_inprocess("-p", "tests.support.tiers", "-p", "no:cacheprovider", "--tier", tier)
        assert done.ret == 0


def test_a_run_over_its_budget_is_marked() -> None:
    seconds = {"fast": {"test_a": 200.0}, "slow": {"test_b": 300.0}}
    budget = BUDGETS["fast"] + BUDGETS["slow"]
    assert f"fast + slow: {budget} s of {budget} s" in list(tiers.summary(seconds, elapsed=budget))
    assert f"fast + slow: {budget + 1} s of {budget} s: OVER BUDGET" in list(tiers.summary(seconds, elapsed=budget + 1))


def test_the_ten_slowest_are_shown_the_slowest_first() -> None:
    seconds = {"fast": {f"test_{number}": float(number) for number in range(1, 20)}, "e2e": {"test_long": 60.5}}
    lines = list(tiers.summary(seconds, elapsed=100.0))
    assert lines[:2] == ["e2e       1 tests    60.5 s of work", "fast     19 tests   190.0 s of work"]
    shown = [line.split()[-1] for line in lines[3:]]
    assert shown == ["test_long", *(f"test_{number}" for number in range(19, 10, -1))]


def test_short_tests_are_not_among_the_slowest() -> None:
    assert len(list(tiers.summary({"fast": {"test_a": 0.9}}, elapsed=1.0))) == 2


def test_a_run_of_all_tiers_fits_into_fifteen_minutes() -> None:
    assert sum(BUDGETS.values()) <= 15 * 60
    assert BUDGETS["fast"] <= 4 * 60
