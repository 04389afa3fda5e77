"""The tiers of the suite: which test is in which, how long each may take, and what a run took; a pytest plugin.

`pytest --tier NAME` runs one tier; `hack/test.sh` runs those that it is given. A test is in exactly one: `e2e` and
`slow` by the marker of this name, otherwise `fast`. `slow` is for what starts and kills programs, or tries thousands of
inputs or objects: chosen by measuring, so that the others stay in their budget.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

BUDGETS = {"fast": 240, "slow": 240, "e2e": 420}
"""Seconds that a tier may take on two quiet cores, everything built; all of them together are a run of CI."""
MAX_SLOWEST = 10
WORTH_SHOWING = 1.0
"""Seconds below which a test is not among the slowest."""


def tier_of(item: pytest.Item) -> str:
    """The one tier that a test is in."""
    return next((name for name in ("e2e", "slow") if item.get_closest_marker(name)), "fast")


def select(items: Iterable[pytest.Item], tiers: list[str]) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """Those in one of the tiers, and the others."""
    chosen: list[pytest.Item] = []
    others: list[pytest.Item] = []
    for item in items:
        (chosen if tier_of(item) in tiers else others).append(item)
    return chosen, others


@dataclass(eq=False)  # a plugin of pytest is hashed
class Timing:
    """What the tests of a run took, by tier and test; in the process that reports, not in xdist's workers."""

    started: float
    seconds: dict[str, dict[str, float]] = field(default_factory=dict)

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add what a phase of a test took."""
        tests = self.seconds.setdefault(str(dict(report.user_properties)["tier"]), {})
        tests[report.nodeid] = tests.get(report.nodeid, 0) + report.duration

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print it."""
        if self.seconds:
            terminalreporter.section("time budget")
            for line in summary(self.seconds, elapsed=time.monotonic() - self.started):
                terminalreporter.write_line(line)


def summary(seconds: dict[str, dict[str, float]], *, elapsed: float) -> Iterator[str]:
    """Lines: each tier, the run as a whole against its budget, the slowest tests."""
    for tier, tests in sorted(seconds.items()):
        yield f"{tier:5}{len(tests):6} tests {sum(tests.values()):7.1f} s of work"
    budget = sum(BUDGETS[tier] for tier in seconds)
    over = "" if elapsed <= budget else ": OVER BUDGET"
    yield f"{' + '.join(sorted(seconds))}: {elapsed:.0f} s of {budget} s{over}"
    every = ((took, tier, test) for tier, tests in seconds.items() for test, took in tests.items())
    for took, tier, test in sorted(every, reverse=True)[:MAX_SLOWEST]:
        if took >= WORTH_SHOWING:
            yield f"{took:7.1f} s  {tier:5} {test}"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--tier`."""
    text = "run the tests of this tier; more than once for several"
    parser.addoption("--tier", action="append", choices=sorted(BUDGETS), help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Time the run."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Timing(time.monotonic()))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import no module that names none of the chosen tiers' markers: importing all of them takes long."""
    tiers = config.getoption("--tier") or ["fast"]
    if "fast" in tiers or collection_path.suffix != ".py":
        return None
    text = collection_path.read_text()
    return None if any(f"mark.{tier}" in text for tier in tiers) else True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the chosen tiers, the slow tests first, so that no worker is left alone with one at the end."""
    for item in items:
        item.user_properties.append(("tier", tier_of(item)))
    if tiers := config.getoption("--tier"):
        items[:], others = select(items, tiers)
        config.hook.pytest_deselected(items=others)
    items.sort(key=lambda item: tier_of(item) != "slow")
