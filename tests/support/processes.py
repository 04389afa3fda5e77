"""Programs that tests start as processes: none outlives the test process that started it, however that one ends.

Tests of each program use `program`; servers that a test restarts take `die_with_parent` alone.
"""

import asyncio
import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tests.support.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
PR_SET_PDEATHSIG = 1

Program = subprocess.Popen[bytes]


@contextmanager
def program(
    command: Sequence[str | Path], environ: Mapping[str, str], *, log: Path | None = None, grace: float = 0
) -> Iterator[Program]:
    """A program that runs inside the block, with `environ` added to the environment; its output goes to `log`, if any.

    At the end of the block it is killed; with `grace` it first gets SIGTERM and that many seconds to end.
    """
    with ExitStack() as stack:
        output = stack.enter_context(log.open("ab")) if log else None
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | environ,
            stdout=output,
            stderr=output,
            preexec_fn=die_with_parent(),  # noqa: PLW1509
        )
        try:
            yield process
        finally:
            _end(process, grace)


async def ended(process: Program) -> int:
    """Waits until the program has ended by itself; its exit code."""
    return await asyncio.to_thread(process.wait, PATIENCE)


def die_with_parent(number: signal.Signals = signal.SIGKILL) -> Callable[[], None]:
    """A `preexec_fn` for `Popen`: the kernel sends the signal when the thread that started the process has ended."""

    def prepare() -> None:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)

    return prepare


def _end(process: Program, grace: float) -> None:
    if grace:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    process.kill()
    process.wait()
