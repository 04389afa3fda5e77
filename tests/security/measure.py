"""What a process takes, as the kernel counts it; the tests of memory and of the event loop read it."""

from pathlib import Path

MIB = 2**20


def peak(pid: int) -> float:
    """The most memory that a process has held so far, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024
