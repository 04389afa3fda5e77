"""Processes that tests start: none outlives the test process that started it, however that one ends."""

import ctypes
import signal
from collections.abc import Callable

PR_SET_PDEATHSIG = 1


def die_with_parent(number: signal.Signals = signal.SIGKILL) -> Callable[[], None]:
    """A `preexec_fn` for `Popen`: the kernel sends the signal when the thread that started the process has ended."""

    def prepare() -> None:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)

    return prepare
