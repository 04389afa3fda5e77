"""Servers of tests end with the test process, however it ends."""

import subprocess
import sys
from pathlib import Path

from tests.support.waiting import until_sync

ROOT = Path(__file__).parents[2]
START = """
import sys
from tests.support.postgres import Postgres
with Postgres() as server:
    print(server.pid, flush=True)
    sys.stdin.read()
"""


def has_ended(pid: int) -> bool:
    """Whether it is gone, or only its exit code has not been read."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_killed_test_process_leaves_no_postgres_behind() -> None:
    command = [sys.executable, "-c", START]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout
        pid = int(starter.stdout.readline())
        assert not has_ended(pid)
        starter.kill()
    until_sync(lambda: has_ended(pid), "the end of the server")
