"""TCP ports of the loopback interface, each for one test process only; tests and benchmarks that start servers use it.

A server that can bind port 0 and report it does that. The others get a port from here: below those that the kernel
chooses itself, and claimed by an abstract Unix socket, whose name exists once in a network namespace and only as long
as its process. So neither another xdist worker nor a test run in another checkout gets the same one.
"""

import errno
import os
import socket
from collections.abc import Iterator

FIRST, COUNT = 20_000, 10_000


def free_port() -> int:
    """A port that no program listens on, for this process until it ends."""
    return next(_ports)


def _claimed(port: int) -> bool:
    """Claim a port; false when another process has claimed it or uses it."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0agentic-test-port-{port}")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
    except OSError as error:
        claim.close()
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    claim.detach()  # the file descriptor stays open until the process ends
    return True


def _claimable() -> Iterator[int]:
    start = os.getpid() * 97 % COUNT  # processes that start together look in different places
    for offset in range(COUNT):
        if _claimed(port := FIRST + (start + offset) % COUNT):
            yield port
    raise RuntimeError(f"All ports from {FIRST} to {FIRST + COUNT - 1} are in use: end what holds them")


_ports = _claimable()
