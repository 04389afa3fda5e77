"""Short transactions on the one pool of a process; the baseline is a pool of the bare driver, as the gateway has one.

Each transaction sets its tenant and makes three small queries, as the beginning and the end of a run do. And what a
lookup of a key takes while slow reads use all connections that are not reserved.
"""

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from uuid import UUID, uuid4

import asyncpg
import sqlalchemy as sa
import uvloop

from agentic_api.composition import RESERVED
from agentic_core import tasks
from agentic_core.db import ConnectionPurpose, Database, direct, functions, tables
from benchmarks import measure
from benchmarks.measure import Load
from tests.support.postgres import Postgres

COUNT = int(os.environ.get("BENCH_COUNT", "1000"))
ROUNDS = 5
CONNECTIONS = 10
QUERIES = 3
SLOW_READS = 64
SLOW_READ = sa.text("select pg_sleep(0.1)")
LOOKUPS = 100
STATEMENT = "select count(*) as found from runs where tenant_id = $1 and id = $2::uuid"
TENANT, RUN = uuid4(), uuid4()

Request = Callable[[], Awaitable[None]]


def bare(pool: asyncpg.Pool) -> Request:
    """A transaction on the driver's own pool."""

    async def request() -> None:
        async with pool.acquire() as connection:
            await connection.execute(direct.begin(TENANT))
            for _ in range(QUERIES):
                await connection.fetchrow(STATEMENT, TENANT, RUN)
            await connection.execute("commit")

    return request


def borrowed(database: Database) -> Request:
    """A transaction on a connection that is borrowed from the engine."""

    async def request() -> None:
        async with database.transaction(TENANT) as transaction:
            for _ in range(QUERIES):
                await transaction.fetch_one(STATEMENT, RUN)

    return request


def session(database: Database) -> Request:
    """A session of SQLAlchemy."""

    async def request() -> None:
        async with database.session(TENANT) as opened:
            for _ in range(QUERIES):
                await opened.execute(_count(TENANT, RUN))

    return request


def _count(tenant_id: UUID, run_id: UUID) -> sa.Select[int]:
    runs = tables.runs.c
    return sa.select(sa.func.count()).where(runs.tenant_id == tenant_id, runs.id == run_id)


async def measured(dsn: str) -> None:
    """Measure all in turn, several times, and print the medians: a busy machine is then busy for each."""
    database = Database(dsn, connections=CONNECTIONS)
    pool = direct.pool(dsn, connections=CONNECTIONS, connect_timeout=5, statement_timeout=30)
    async with pool:
        requests = {"bare pool": bare(pool), "transaction": borrowed(database), "session": session(database)}
        for concurrency in (1, 16):
            loads: dict[str, list[Load]] = {name: [] for name in requests}
            for _ in range(ROUNDS):
                for name, request in requests.items():
                    await measure.load(request, count=concurrency, concurrency=concurrency, processes={})
                    count = COUNT // ROUNDS
                    loads[name].append(await measure.load(request, count=count, concurrency=concurrency, processes={}))
            _print(concurrency, loads)
    await database.close()


async def looked_up(dsn: str, reserved: Mapping[ConnectionPurpose, int]) -> list[float]:
    """Milliseconds of lookups of keys, sorted, while slow reads use all connections that are not reserved."""
    database, taken = Database(dsn, connections=16, reserved=reserved), list[float]()
    under_way = asyncio.Event()

    async def read() -> None:
        while True:
            async with database.session(TENANT) as opened:
                await opened.execute(SLOW_READ)
            under_way.set()

    async with tasks.background(*(read() for _ in range(SLOW_READS))):
        await under_way.wait()
        for _ in range(LOOKUPS):
            started = time.perf_counter()
            await functions.find_api_key(database, "unknown")
            taken.append(1000 * (time.perf_counter() - started))
    await database.close()
    return sorted(taken)


async def lookups(dsn: str) -> None:
    """Measure lookups with reserved connections and without, in turn."""
    kinds: dict[str, Mapping[ConnectionPurpose, int]] = {"all are shared": {}, "3 of 16 are reserved": RESERVED}
    found = {name: await looked_up(dsn, reserved) for name, reserved in kinds.items()}
    rows = [(f"p{part} ms", *(f"{of[len(of) * part // 100]:.1f}" for of in found.values())) for part in (50, 99)]
    measure.table([(f"a lookup beside {SLOW_READS} reads of 100 ms", *found), *rows])


def _print(concurrency: int, loads: dict[str, list[Load]]) -> None:
    figures = {
        "CPU µs of the process": [1000 * _median(load.cpu_ms() for load in of) for of in loads.values()],
        "p50 µs": [1000 * _median(load.p50 for load in of) for of in loads.values()],
    }
    rows = [
        (what, *(f"{value:.0f} ({value / values[0]:.2f} x)" for value in values)) for what, values in figures.items()
    ]
    measure.table([(f"{concurrency} at a time", *loads), *rows])


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


def main() -> None:
    """Run the benchmark."""
    with Postgres(durable=True) as postgres:
        dsn = asyncio.run(postgres.fresh()).programs
        uvloop.run(measured(dsn))
        uvloop.run(lookups(dsn))
