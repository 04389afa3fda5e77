"""ConfigMaps with prompts: each version is got once, however many agents refer to it, and few bytes are kept."""

import asyncio
import tracemalloc
from typing import Any, cast

from agentic_core.cluster.kinds import CONFIG_MAP, Object, Ref
from agentic_operator.controllers.agent.prompt_sources import MAX_BYTES, PromptSources

REF = CONFIG_MAP.ref("prompt", "acme-default")


class Server:
    """An API server that counts how often a ConfigMap was got."""

    def __init__(self) -> None:
        self.calls = 0
        self.found: Object | None = {"data": {"prompt": "first"}}

    async def get(self, ref: Ref) -> Object | None:
        self.calls += 1
        await asyncio.sleep(0)
        return self.found


async def test_agents_of_one_prompt_get_it_once_for_each_version() -> None:
    server, sources = Server(), PromptSources()
    cluster = cast("Any", server)
    found = await asyncio.gather(*(sources.get(REF, 1, cluster) for _ in range(20)))
    assert (found[0], server.calls) == ({"prompt": "first"}, 1)
    assert len({id(one) for one in found}) == 1
    server.found = {"data": {"prompt": "second"}}
    assert await sources.get(REF, 1, cluster) == {"prompt": "first"}
    assert await sources.get(REF, 2, cluster) == {"prompt": "second"}
    server.found = None
    assert await sources.get(REF, 3, cluster) is None
    assert server.calls == 3


async def test_few_bytes_are_kept_of_many_prompts() -> None:
    server, sources = Server(), PromptSources()
    tracemalloc.start()
    try:
        for version in range(100):
            server.found = {"data": {"prompt": f"{version:06}" + "x" * 1_000_000}}
            await sources.get(REF, version, cast("Any", server))
        server.found = None
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < MAX_BYTES + 2**20
