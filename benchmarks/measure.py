"""Measurements that all benchmarks share: latencies, throughput, and the CPU that processes took."""

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """CPU that a process and its descendants have taken, ended ones included, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = sum(int(fields[index]) for index in (11, 12, 13, 14)) / TICKS
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return own + sum(_of_child(int(child)) for child in children)


def _of_child(pid: int) -> float:
    try:
        return cpu_seconds(pid)
    except FileNotFoundError:  # it has just ended; its parent counts it from now on
        return 0.0


def resident_bytes(pid: int) -> int:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Load:
    """What a number of requests took."""

    seconds: float
    latencies: list[float]
    """Seconds of each request, sorted."""
    cpu: dict[str, float]
    """CPU seconds of each process, this one as `client`."""

    @property
    def per_second(self) -> float:
        """Requests a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, percent: float) -> float:
        """Latency in milliseconds below which so many percent of the requests were."""
        return 1000 * self.latencies[min(len(self.latencies) - 1, int(len(self.latencies) * percent / 100))]

    @property
    def p50(self) -> float:
        """Median latency in milliseconds."""
        return 1000 * statistics.median(self.latencies)

    def cpu_ms(self, *names: str) -> float:
        """CPU milliseconds a request, of the named processes or of all."""
        return 1000 * sum(self.cpu[name] for name in names or self.cpu) / len(self.latencies)


async def load(
    request: Callable[[], Awaitable[None]], *, count: int, concurrency: int, processes: dict[str, int]
) -> Load:
    """Do `count` requests, `concurrency` at a time, and measure the named processes meanwhile."""
    latencies: list[float] = []

    async def worker(share: Iterable[int]) -> None:
        for _ in share:
            begun = time.perf_counter()
            await request()
            latencies.append(time.perf_counter() - begun)

    before = {name: cpu_seconds(pid) for name, pid in processes.items()}
    before["client"] = time.process_time()
    started = time.perf_counter()
    shares = [range(start, count, concurrency) for start in range(concurrency)]
    await asyncio.gather(*(worker(share) for share in shares))
    seconds = time.perf_counter() - started
    cpu = {name: cpu_seconds(pid) - before[name] for name, pid in processes.items()}
    cpu["client"] = time.process_time() - before["client"]
    return Load(seconds, sorted(latencies), cpu)


def table(rows: list[tuple[str, ...]]) -> None:
    """Print rows with aligned columns, the first as the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
