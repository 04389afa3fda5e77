"""Ports of tests: no two processes get the same one."""

import socket
import subprocess
import sys
from pathlib import Path

from tests.support import ports

ROOT = Path(__file__).parents[2]
TAKE = """
import os, sys
from tests.support.ports import free_port
os.getpid = lambda: 1  # all look in the same place
print(*(free_port() for _ in range(100)), flush=True)
sys.stdin.read()
"""


def test_processes_that_look_at_the_same_time_get_different_ports() -> None:
    command = [sys.executable, "-c", TAKE]
    takers = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    try:
        taken = [int(port) for taker in takers if taker.stdout for port in taker.stdout.readline().split()]
    finally:
        for taker in takers:
            taker.communicate("")
    assert len(taken) == 300
    assert len(set(taken)) == 300


def test_a_port_that_another_program_uses_is_skipped() -> None:
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        port = used.getsockname()[1]
        assert not ports._claimed(port)
    assert ports._claimed(port)
    assert not ports._claimed(port)
