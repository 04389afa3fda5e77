"""Whose change it is: events before and after the response, of others in between, and of writes that fail."""

import asyncio

import pytest

from agentic_core.cluster import errors
from agentic_core.cluster.kinds import Object
from agentic_operator.engine.index import Change, Index
from agentic_operator.engine.key import ReconcileKey
from agentic_operator.engine.writes import Writes
from tests.operator.engine.tiny import AGENT, agent

REF = AGENT.ref("one", "acme")
TINY, OTHER = ReconcileKey("tiny", REF), ReconcileKey("other", REF)


def at(version: int, prompt: str = "Be brief.") -> Object:
    """The agent at this version."""
    obj = agent("acme", "one", prompt)
    return obj | {"metadata": obj["metadata"] | {"uid": "u", "resourceVersion": str(version), "generation": 1}}


class World:
    """An index whose changes are recorded with their authors, and an API server that responds when a test says so."""

    def __init__(self) -> None:
        self.index = Index()
        self.seen: list[tuple[int, str | None]] = []
        self.writes = Writes(self.index, self._dispatch)

    def _dispatch(self, change: Change, author: ReconcileKey | None) -> None:
        assert change.after
        self.seen.append((change.after.version, author.controller if author else None))

    def event(self, version: int) -> None:
        """The watch delivers a version."""
        if change := self.index.put(at(version)):
            self.writes.changed(change)

    async def begin(self, author: ReconcileKey) -> tuple["asyncio.Task[Object]", "asyncio.Future[Object]"]:
        """A write in flight, and its response to be set."""
        response: asyncio.Future[Object] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self.writes.write(REF, author, response))
        await asyncio.sleep(0)
        return task, response


async def test_the_event_of_a_write_is_its_own_whether_it_arrives_before_or_after_the_response() -> None:
    for event_first in (True, False):
        world = World()
        task, response = await world.begin(TINY)
        if event_first:
            world.event(5)
            assert world.seen == [], "it is held until the response says whose it is"
        response.set_result(at(5))
        await task
        if not event_first:
            world.event(5)
        assert world.seen == [(5, "tiny")]


async def test_a_change_of_another_writer_in_between_is_not_taken_for_the_own_one() -> None:
    world = World()
    task, response = await world.begin(TINY)
    for version in (4, 5, 6):
        world.event(version)
    response.set_result(at(5))
    await task
    assert world.seen == [(5, "tiny"), (4, None), (6, None)]


async def test_a_write_that_fails_hides_no_change() -> None:
    world = World()
    task, response = await world.begin(TINY)
    world.event(4)
    response.set_exception(errors.ObjectConflict("changed"))
    with pytest.raises(errors.ObjectConflict):
        await task
    assert world.seen == [(4, None)]
    world.event(7)
    assert world.seen[1:] == [(7, None)]


async def test_two_writers_of_one_object_each_get_their_own() -> None:
    world = World()
    first, one = await world.begin(TINY)
    second, two = await world.begin(OTHER)
    for version in (5, 6, 7):
        world.event(version)
    one.set_result(at(6))
    await first
    assert world.seen == [(6, "tiny")], "the others wait for the second response"
    two.set_result(at(5))
    await second
    assert world.seen == [(6, "tiny"), (5, "other"), (7, None)]
