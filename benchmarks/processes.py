"""Processes that a benchmark starts, and the CPU time that they and their children use, from /proc."""

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def process(command: Sequence[str], *, env: Mapping[str, str] | None = None) -> Iterator["subprocess.Popen[str]"]:
    """A program that runs inside the block."""
    running = subprocess.Popen(command, env={**os.environ, **(env or {})}, stdout=subprocess.PIPE, text=True)
    try:
        yield running
    finally:
        running.terminate()
        running.wait(timeout=30)


def wait_until_ready(url: str, *, seconds: float = 30) -> None:
    """Returns when the URL answers 200."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, its threads, and its children, dead or alive."""
    return sum(_own(int(stat.parent.name)) for stat in Path("/proc").glob("[0-9]*/stat") if _family(stat, pid))


def _family(stat: Path, pid: int) -> bool:
    if stat.parent.name == str(pid):
        return True
    try:
        return int(_fields(stat)[1]) == pid
    except (OSError, IndexError):
        return False


def _own(pid: int) -> float:
    try:
        fields = _fields(Path(f"/proc/{pid}/stat"))
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / TICKS


def _fields(stat: Path) -> list[str]:
    """The fields from the third one on; the name before them may contain anything."""
    return stat.read_text().rpartition(")")[2].split()
