"""Anthropic's wire: messages. `flow` uses it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from agentic_core.errors import PlatformError
from agentic_crds.model_provider import ProviderType
from agentic_gateway.problems import Unpriced
from agentic_gateway.wires.base import (
    JSON,
    Operation,
    Tokens,
    count,
    expect,
    expect_limit,
    refuse_unknown,
    refuse_unpriced,
    refuse_unpriced_tools,
    reported,
    strings,
    type_name,
)
from agentic_gateway.wires.events import ServerSentEvent

VERSION: Final = "2023-06-01"
"""Version of the API for callers that name none."""
ERROR_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
PRICED: Final[dict[str, tuple[Any, ...]]] = {
    "service_tier": ("auto", "standard_only"),
    "speed": ("standard",),
    "inference_geo": ("global",),
    "container": (),
    "mcp_servers": ([],),
    "context_management": (),
    "compaction": (),
    "fallbacks": (),
    "fallback_credit_token": (),
    "billing_policy": (),
    "thread": (),
}
"""Members of a request that change its price, or its usage beyond what responses report, with the values by which they
do not."""
MEMBERS: Final = frozenset(
    {
        "cache_control",
        "diagnostics",
        "messages",
        "metadata",
        "output_config",
        "output_format",
        "stop_sequences",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
        "user_profile_id",
        "workspace_id",
    }
)
BLOCKS: Final = frozenset(
    {
        "text",
        "image",
        "document",
        "search_result",
        "tool_use",
        "tool_result",
        "tool_reference",
        "thinking",
        "redacted_thinking",
    }
)
"""Types of content blocks: all that they cost is in the request."""
SOURCES: Final = frozenset({"base64", "text", "content"})
"""Types of a document's source by which it is in the request."""
CALLERS_TOOL: Final = re.compile(r"custom|(bash|text_editor|computer|memory)_\d{8}")
"""Types of tools that the caller runs: they cost their tokens and no more."""
LONG_CONTEXT: Final = b"context-1m"
"""The beta by which a long prompt has another price."""
CACHE_WRITE: Final = 0.25
"""What writing a token to the prompt cache for minutes costs on top of reading it."""
CACHE_WRITE_LONG: Final = 1.0
"""The same for an hour, and for a time that is not reported."""
WRITTEN: Final = ("text", "thinking", "partial_json", "input")
"""Members of a content block or delta that the model writes."""


class Messages(Operation):
    """POST /v1/messages."""

    name = "chat"
    path = "/v1/messages"
    upstream_path = "/v1/messages"
    types = frozenset({ProviderType.ANTHROPIC})
    own = frozenset({"model", "max_tokens", "stream"})
    members = MEMBERS | PRICED.keys()
    end_mark = b"message_stop"

    def check(self, body: JSON, headers: Mapping[bytes, bytes]) -> None:
        expect(body, "messages", list)
        expect_limit(body, "max_tokens")
        expect(body, "stream", bool, required=False)
        refuse_unpriced(body, PRICED)
        refuse_unpriced_tools(body, lambda kind: CALLERS_TOOL.fullmatch(kind) is not None)
        refuse_unknown(body, self.own | self.members)
        _check_blocks(body.get("system"), "system")
        for number, message in enumerate(body["messages"]):
            if isinstance(message, dict):
                refuse_unknown(message, frozenset({"role", "content"}), where=f"messages[{number}].")
                _check_blocks(message.get("content"), f"messages[{number}].content")
        if LONG_CONTEXT in headers.get(b"anthropic-beta", b""):
            raise Unpriced("The beta 'context-1m' of 'anthropic-beta' has another price than the list says.")

    def max_output(self, own: JSON, kind: ProviderType) -> int:
        return int(own["max_tokens"])

    def upstream_own(self, own: JSON, model: str, kind: ProviderType, *, max_output: int) -> JSON:
        return own | {"model": model, "max_tokens": min(own["max_tokens"], max_output)}

    def upstream_headers(self, headers: Mapping[bytes, bytes], key: str | None) -> dict[str, str]:
        sent = {"anthropic-version": headers.get(b"anthropic-version", VERSION.encode()).decode("latin-1")}
        if beta := headers.get(b"anthropic-beta"):
            sent["anthropic-beta"] = beta.decode("latin-1")
        return sent | {"x-api-key": key} if key else sent

    def used(self, response: JSON) -> Tokens | None:
        usage = response.get("usage")
        if not isinstance(usage, dict):
            return None
        return reported(_input(usage), count(usage.get("output_tokens")), _surcharge(usage))

    def used_so_far(self, event: JSON, before: Tokens | None) -> Tokens | None:
        """The first event has the input; the counts of later ones are totals."""
        message = event.get("message") if event.get("type") == "message_start" else event
        found = self.used(message) if isinstance(message, dict) else None
        if found is None or before is None:
            return found or before
        return Tokens(
            max(found.input, before.input), max(found.output, before.output), max(found.surcharge, before.surcharge)
        )

    def ends(self, event: ServerSentEvent) -> bool:
        return event.name.strip() == b"message_stop"

    def texts(self, response: JSON) -> Iterator[str]:
        blocks = response.get("content") or (response.get("delta"), response.get("content_block"))
        for block in blocks if isinstance(blocks, list | tuple) else ():
            if isinstance(block, dict):
                for name in WRITTEN:
                    yield from strings(block.get(name))

    def error(self, problem: PlatformError) -> JSON:
        kind = ERROR_TYPES.get(problem.status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": problem.message, "code": problem.code}}


def _check_blocks(content: Any, where: str) -> None:
    """Raises `Unpriced` for a block of an unknown type, or whose content is elsewhere; those inside others too."""
    rest = [content]
    while rest:
        blocks = rest.pop()
        for block in blocks if isinstance(blocks, list) else ():
            if isinstance(block, dict):
                kind, source = block.get("type"), block.get("source")
                if not isinstance(kind, str) or kind not in BLOCKS:
                    raise Unpriced(f"'{where}' has a block {type_name(kind)}, which has no price here.")
                if kind == "document" and not (isinstance(source, dict) and source.get("type") in SOURCES):
                    raise Unpriced(f"'{where}' has a document that is not in the request: its size cannot be counted.")
                rest.append(block.get("content"))
                rest.append(source.get("content") if isinstance(source, dict) else None)


def _input(usage: JSON) -> int:
    """Anthropic counts what it read from and wrote to its prompt cache apart."""
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    return sum(count(usage.get(name)) for name in names)


def _surcharge(usage: JSON) -> float:
    """What it wrote to its prompt cache, by how long it is kept there."""
    written = count(usage.get("cache_creation_input_tokens"))
    kept = usage.get("cache_creation")
    short = min(written, count(kept.get("ephemeral_5m_input_tokens"))) if isinstance(kept, dict) else 0
    return short * CACHE_WRITE + (written - short) * CACHE_WRITE_LONG
