"""Programs of tests end with their block, and servers with the test process, however that one ends."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.support import processes
from tests.support.waiting import until_sync

ROOT = Path(__file__).parents[2]
START = """
import sys
from tests.support.postgres import Postgres
with Postgres() as server:
    print(server.pid, flush=True)
    sys.stdin.read()
"""


STUBBORN = """
import os, signal
signal.signal(signal.SIGTERM, lambda *_: print("not yet", flush=True))
print(os.environ["GREETING"], flush=True)
while True:
    signal.pause()
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


def test_a_program_has_its_environment_and_log_and_ends_with_the_block_even_when_it_ignores_the_signal(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    with processes.program([sys.executable, "-c", STUBBORN], {"GREETING": "hello"}, log=log, grace=0.1) as program:
        until_sync(lambda: log.read_text() == "hello\n", "the greeting")
    assert has_ended(program.pid)
    assert log.read_text() == "hello\nnot yet\n"
    assert program.returncode == -signal.SIGKILL


async def test_a_program_that_ends_by_itself_reports_its_exit_code() -> None:
    with processes.program([sys.executable, "-c", "raise SystemExit(3)"], {}) as program:
        assert await processes.ended(program) == 3
