"""Processes that a benchmark starts."""

import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager


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
