"""The chat models: one client object and one connection pool to the gateway per SDK, shared by all agents.

The loop takes them from here. What differs between runs (model, token, temperature) goes along with each call, so that
nothing of a run stays here. The SDKs are heavy: each is imported with the first run that needs it, or by `warm`.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import httpx2
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, AnyMessage, ai

from agentic_crds.model_provider import ProviderType
from agentic_runtime import failures
from agentic_runtime.streamed import PROMPT_TOKENS

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from openai import AsyncOpenAI, AsyncStream

CONNECT_SECONDS = 5.0
BUSY_ATTEMPTS = 4
"""How often a call is sent that the gateway refuses for lack of room."""
UNCHOSEN = "chosen-by-each-call"
UNUSED = object()
"""In the place of a synchronous client, which would be built otherwise."""
PLACEHOLDER = "run-token-goes-with-each-call"
"""The SDKs require a key when they are built; the real credential is a header of each call."""


def _unparsed(_arguments: str) -> dict[str, Any]:
    """In the place of LangChain's parser of partial JSON: each chunk of a tool call would go through it on the event
    loop, in time that grows with the square of its length. `streamed` parses arguments, once and when they are whole.
    """
    return {}


setattr(ai, "parse_partial_json", _unparsed)  # noqa: B010 - a name that the module imports, not one of its own


async def stream(
    chat: BaseChatModel, prompt: Sequence[AnyMessage], /, **settings: Any
) -> AsyncGenerator[AIMessageChunk]:
    """The model's response, chunk by chunk, sent again while the gateway has no room for it.

    LangChain's `astream` would keep every chunk for its callbacks, some kilobytes each, until the stream has ended.
    """
    for attempt in range(BUSY_ATTEMPTS):
        started = False
        # What implementations of models define, and `astream` calls.
        generations: Any = chat._astream(list(prompt), **settings)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        try:
            async with aclosing(generations):
                async for generation in generations:
                    started = True
                    message = cast("AIMessageChunk", generation.message)
                    message.response_metadata = (generation.generation_info or {}) | message.response_metadata
                    yield message
                return
        except Exception as error:
            wait = failures.busy_seconds(error)
            if started or wait is None or attempt + 1 == BUSY_ATTEMPTS:
                raise
        await asyncio.sleep(wait)


class PlainCompletions:
    """The SDK's chat completions without its models of requests and chunks.

    LangChain builds the request as a dict and turns each chunk into one again; leaving out the models in between takes
    a third off the CPU of a run.
    """

    def __init__(self, client: "AsyncOpenAI") -> None:
        self._client = client

    async def create(self, *, extra_headers: dict[str, str], **body: Any) -> "AsyncStream[object]":
        """A stream of chunks as dicts."""
        from openai import AsyncStream  # noqa: PLC0415 - heavy

        return await self._client.post(
            "/chat/completions",
            cast_to=object,
            body=body,
            options={"headers": extra_headers},
            stream=True,
            stream_cls=AsyncStream[object],
        )


class ChatModels:
    """Builds the chat model of each wire once."""

    def __init__(self, gateway_url: str, max_connections: int) -> None:
        self._gateway = gateway_url.rstrip("/")
        self._max_connections = max_connections
        self._pools: dict[type[httpx2.AsyncClient], httpx2.AsyncClient] = {}

    async def close(self) -> None:
        """Release connections."""
        for pool in self._pools.values():
            await pool.aclose()

    def _pool(self, client: type[httpx2.AsyncClient]) -> httpx2.AsyncClient:
        """A pool of connections to the gateway, by the client on aiohttp that each SDK brings: it takes a third less
        CPU than httpx's own transport. How long a response may take is the run's deadline, not a socket's."""
        if client not in self._pools:
            most = self._max_connections
            self._pools[client] = client(
                timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
                limits=httpx2.Limits(max_connections=most, max_keepalive_connections=most),
                trust_env=False,
                follow_redirects=False,
            )
        return self._pools[client]

    def get(self, wire: ProviderType) -> BaseChatModel:
        """The shared model of a wire."""
        factories: dict[ProviderType, Callable[[], BaseChatModel]] = {
            ProviderType.OPENAI: lambda: self._openai,
            ProviderType.OPENAI_COMPATIBLE: lambda: self._compatible,
            ProviderType.ANTHROPIC: lambda: self._anthropic,
        }
        return factories[wire]()

    @cached_property
    def _openai(self) -> BaseChatModel:
        from langchain_openai import ChatOpenAI  # noqa: PLC0415 - heavy

        return ChatOpenAI(use_responses_api=False, **self._openai_settings())

    @cached_property
    def _compatible(self) -> BaseChatModel:
        """Servers that follow OpenAI's older wire: they read `max_tokens`, not `max_completion_tokens`."""
        from langchain_openai.chat_models.base import BaseChatOpenAI  # noqa: PLC0415 - heavy

        return BaseChatOpenAI(**self._openai_settings())

    def _openai_settings(self) -> dict[str, Any]:
        from openai import AsyncOpenAI, DefaultAioHttpClient  # noqa: PLC0415 - heavy

        http = self._pool(DefaultAioHttpClient)
        client = AsyncOpenAI(
            api_key=PLACEHOLDER,
            base_url=f"{self._gateway}/v1",
            http_client=http,
            max_retries=0,
            timeout=http.timeout,
        )
        return {
            "model": UNCHOSEN,
            "async_client": PlainCompletions(client),
            "root_async_client": client,
            "client": UNUSED,
            "root_client": UNUSED,
            "stream_usage": True,
            "stream_chunk_timeout": None,
        }

    @cached_property
    def _anthropic(self) -> BaseChatModel:
        from anthropic import AsyncAnthropic, DefaultAioHttpClient  # noqa: PLC0415 - heavy
        from langchain_anthropic import ChatAnthropic  # noqa: PLC0415 - heavy

        http, gateway = self._pool(DefaultAioHttpClient), self._gateway

        class PooledChatAnthropic(ChatAnthropic):
            """ChatAnthropic on our pool; its own constructor takes no HTTP client."""

            @cached_property
            def _async_client(self) -> "AsyncAnthropic":
                return AsyncAnthropic(
                    api_key=PLACEHOLDER,
                    base_url=gateway,
                    http_client=http,
                    max_retries=0,
                    timeout=http.timeout,
                    open_telemetry=False,  # our span covers each call, and an environment cannot make it record text
                )

            def _make_message_chunk_from_anthropic_event(self, event: Any, **options: Any) -> tuple[Any, Any]:
                """Keeps the size of the prompt, which some servers report only first, where LangChain drops it."""
                chunk, block = super()._make_message_chunk_from_anthropic_event(event, **options)
                if chunk is not None and event.type == "message_start":
                    chunk.response_metadata[PROMPT_TOKENS] = event.message.usage.input_tokens
                return chunk, block

        settings: dict[str, Any] = {
            "model": UNCHOSEN,
            "api_key": PLACEHOLDER,
            "base_url": gateway,
            "max_retries": 0,
        }
        return PooledChatAnthropic(**settings)
