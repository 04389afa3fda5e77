"""What an upgrade of the operator writes: agents converged by the operator of an earlier commit, then by this tree's.

The commit is `AGENTIC_UPGRADE_FROM`, by default the last tag, else the first parent.
"""

import asyncio
import os
import subprocess
import tempfile
from pathlib import Path

from agentic_core.cluster import Cluster
from benchmarks.measure import table
from benchmarks.operator import agent, all_of, operator, prepare, settle
from tests.support.apiserver import ControlPlane, control_plane

ROOT = Path(__file__).parents[1]
COUNT = int(os.environ.get("AGENTIC_UPGRADE_AGENTS", "2000"))


def archive(folder: Path) -> tuple[str, Path]:
    """The earlier commit and its source tree."""
    described = subprocess.run(
        ["git", "describe", "--tags", "--abbrev=0"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    commit = os.environ.get("AGENTIC_UPGRADE_FROM") or described.stdout.strip() or "HEAD~1"
    tarball = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(folder)], input=tarball, check=True)
    return commit, folder


async def measure(plane: ControlPlane, tree: Path) -> list[tuple[str, int]]:
    """Writes of the earlier operator, of this one after it, and of this one at its second start."""
    found = []
    plane.install_kinds(tree)
    async with Cluster(plane.credentials) as user:
        async with operator(plane, tree=tree):
            await prepare(user, tools=False)  # an earlier commit may spell them in another way
        await all_of(user.apply(agent(number, "Shared", tools=False), "bench") for number in range(COUNT))
        for what, source in (("earlier", tree), ("earlier, restarted", tree), ("upgraded", None), ("restarted", None)):
            if source is None:
                plane.install_kinds()
            async with operator(plane, tree=source) as running:
                await settle(running, COUNT)
                found.append((what, running.scrape().writes))
    return found


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder, control_plane(Path(folder) / "plane") as plane:
        (Path(folder) / "tree").mkdir()
        commit, tree = archive(Path(folder) / "tree")
        found = asyncio.run(measure(plane, tree))
    table([(f"{COUNT} agents, from {commit}", "writes"), *((what, str(writes)) for what, writes in found)])


if __name__ == "__main__":
    main()
