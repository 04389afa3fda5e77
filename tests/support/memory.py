"""Resident memory of a process as the kernel counts it, for tests of what a program may take."""

from pathlib import Path

MIB = 2**20


def resident(pid: int) -> int:
    """Bytes that a process holds now."""
    return _field(pid, "VmRSS")


def peak(pid: int) -> int:
    """Bytes that a process has held at most, since it started or `reset_peak`."""
    return _field(pid, "VmHWM")


def reset_peak(pid: int) -> None:
    """Measure the peak from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _field(pid: int, name: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
