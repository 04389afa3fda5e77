"""Leases while the database says nothing; what becomes of dead replicas' runs is in `test_process_faults`."""

import asyncio
from types import SimpleNamespace
from typing import cast
from uuid import uuid4

import pytest

from agentic_api.runs.lifecycle.driver import Driver
from agentic_api.runs.lifecycle.leases import Leases, LeaseTimes
from agentic_core.db import Database, functions
from tests.support.waiting import PATIENCE

SWEEP = LeaseTimes(lease_seconds=5, interval_seconds=0.01, sweep_seconds=0.05)
EXTENSION = LeaseTimes(lease_seconds=0.05, interval_seconds=0.01, sweep_seconds=5)


@pytest.mark.parametrize(("question", "times"), [("expired_runs", SWEEP), ("extend_leases", EXTENSION)])
async def test_what_is_not_answered_is_given_up_and_asked_again(
    database: Database, monkeypatch: pytest.MonkeyPatch, question: str, times: LeaseTimes
) -> None:
    again = asyncio.Event()
    asked = 0

    async def silent(*_what: object, **_how: object) -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            again.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(functions, question, silent)
    driven = cast("list[Driver]", [SimpleNamespace(live=SimpleNamespace(id=uuid4()))])
    drivers = driven if question == "extend_leases" else []
    keeping = asyncio.create_task(Leases(database, uuid4(), times, lambda: drivers, lambda _status: None).keep())
    try:
        await asyncio.wait_for(again.wait(), PATIENCE)
    finally:
        keeping.cancel()
        await asyncio.wait((keeping,))
