"""OpenAI's wire: chat completions and embeddings, also as compatible servers speak it. `flow` uses it."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

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

ERROR_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}

PRICED: Final[dict[str, tuple[Any, ...]]] = {
    "n": (1,),
    "best_of": (1,),
    "service_tier": ("auto", "default"),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "web_search_options": (),
    # Of compatible servers:
    "search_parameters": (),
    "plugins": (),
    "models": (),
    "n_predict": (),
    "max_new_tokens": (),
}
"""Members of a request that change its price, or come before its limit, with the values by which they do not."""
OUTPUT_LIMITS: Final = ("max_completion_tokens", "max_tokens")
CHAT_MEMBERS: Final = frozenset(
    {
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "messages",
        "metadata",
        "moderation",
        "parallel_tool_calls",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "stop",
        "store",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        # Of compatible servers:
        "chat_template_kwargs",
        "enable_thinking",
        "guided_choice",
        "guided_grammar",
        "guided_json",
        "guided_regex",
        "ignore_eos",
        "include_reasoning",
        "length_penalty",
        "min_p",
        "min_tokens",
        "random_seed",
        "reasoning",
        "repetition_penalty",
        "safe_prompt",
        "skip_special_tokens",
        "stop_token_ids",
        "structured_outputs",
        "thinking",
        "top_k",
    }
)
EMBEDDING_MEMBERS: Final = frozenset(
    {"input", "encoding_format", "dimensions", "user", "input_type", "task", "truncate", "truncation"}
)
STREAM_OPTIONS: Final = frozenset({"include_usage", "include_obfuscation", "continuous_usage_stats"})
MESSAGE_MEMBERS: Final = frozenset(
    {
        "annotations",
        "cache_control",
        "content",
        "function_call",
        "name",
        "partial",
        "prefix",
        "reasoning",
        "reasoning_content",
        "reasoning_details",
        "refusal",
        "role",
        "thinking",
        "tool_call_id",
        "tool_calls",
    }
)
"""Members of a message; `audio` refers to something that is stored at the provider."""
PARTS: Final = frozenset({"text", "image_url", "refusal", "file"})
"""Types of a message's parts."""
USUAL_OUTPUT: Final = {
    ProviderType.OPENAI: ("max_completion_tokens", 16_384),
    ProviderType.OPENAI_COMPATIBLE: ("max_tokens", 4_096),
}
"""For a request without a limit, the one that it gets: small enough for what these servers usually serve."""
CACHE_WRITE: Final = 0.25
"""What writing a token to the prompt cache costs on top of reading it; models for which it is free do not report it."""


class OpenAI(Operation):
    """What both endpoints share."""

    types = frozenset({ProviderType.OPENAI, ProviderType.OPENAI_COMPATIBLE})
    own = frozenset({"model"})
    end_mark = b"[DONE]"

    def max_output(self, own: JSON, kind: ProviderType) -> int:
        return 0

    def upstream_own(self, own: JSON, model: str, kind: ProviderType, *, max_output: int) -> JSON:
        return own | {"model": model}

    def upstream_headers(self, headers: Mapping[bytes, bytes], key: str | None) -> dict[str, str]:
        return {"Authorization": f"Bearer {key}"} if key else {}

    def used(self, response: JSON) -> Tokens | None:
        usage = response.get("usage")
        if not isinstance(usage, dict):
            return None
        details = usage.get("prompt_tokens_details")
        cached = count(details.get("cache_write_tokens")) if isinstance(details, dict) else 0
        read = count(usage.get("prompt_tokens"))
        # Some servers count what a model thought in the total only.
        written = max(count(usage.get("completion_tokens")), count(usage.get("total_tokens")) - read)
        return reported(read, written, cached * CACHE_WRITE)

    def used_so_far(self, event: JSON, before: Tokens | None) -> Tokens | None:
        return self.used(event) or before

    def ends(self, event: ServerSentEvent) -> bool:
        return event.data.strip() == b"[DONE]"

    def texts(self, response: JSON) -> Iterator[str]:
        for choice in response.get("choices") or ():
            if isinstance(choice, dict):
                message = choice.get("delta") or choice.get("message") or {}
                if isinstance(message, dict):
                    for name, value in message.items():
                        if name != "role":
                            yield from strings(value)

    def error(self, problem: PlatformError) -> JSON:
        kind = ERROR_TYPES.get(problem.status, "server_error")
        return {"error": {"message": problem.message, "type": kind, "param": None, "code": problem.code}}


class ChatCompletions(OpenAI):
    """POST /v1/chat/completions."""

    name = "chat"
    path = "/v1/chat/completions"
    upstream_path = "/chat/completions"
    own = frozenset({"model", "stream", "stream_options", *OUTPUT_LIMITS})
    members = CHAT_MEMBERS | PRICED.keys()

    def check(self, body: JSON, headers: Mapping[bytes, bytes]) -> None:
        expect(body, "messages", list)
        expect(body, "stream", bool, required=False)
        expect(body, "stream_options", dict, required=False)
        for name in OUTPUT_LIMITS:
            expect_limit(body, name, required=False)
        refuse_unpriced(body, PRICED)
        refuse_unpriced_tools(body, lambda kind: kind in ("function", "custom"))
        refuse_unknown(body, self.own | self.members)
        _check_stream_options(body.get("stream_options") or {})
        for number, message in enumerate(body["messages"]):
            if isinstance(message, dict):
                _check_message(message, f"messages[{number}]")

    def max_output(self, own: JSON, kind: ProviderType) -> int:
        limits = [own[name] for name in OUTPUT_LIMITS if own.get(name) is not None]
        return min(limits) if limits else USUAL_OUTPUT[kind][1]

    def upstream_own(self, own: JSON, model: str, kind: ProviderType, *, max_output: int) -> JSON:
        given = [name for name in OUTPUT_LIMITS if own.get(name) is not None]
        limits = {name: min(own[name], max_output) for name in given} or {USUAL_OUTPUT[kind][0]: max_output}
        changed = own | {"model": model} | limits
        if own.get("stream"):
            changed["stream_options"] = (own.get("stream_options") or {}) | {"include_usage": True}
        return changed

    def hides(self, event: JSON, own: JSON) -> bool:
        requested = (own.get("stream_options") or {}).get("include_usage")
        return not requested and event.get("choices") == []


class Embeddings(OpenAI):
    """POST /v1/embeddings. Vectors of two models cannot be compared, so there is no fallback."""

    name = "embeddings"
    path = "/v1/embeddings"
    upstream_path = "/embeddings"
    members = EMBEDDING_MEMBERS | PRICED.keys()
    falls_back: ClassVar[bool] = False

    def check(self, body: JSON, headers: Mapping[bytes, bytes]) -> None:
        body.pop("stream", None)
        expect(body, "input", str, list)
        refuse_unpriced(body, PRICED)
        refuse_unknown(body, self.own | self.members)


def _check_stream_options(options: JSON) -> None:
    refuse_unknown(options, STREAM_OPTIONS, where="stream_options.")
    for name in options:
        expect(options, name, bool, required=False)


def _check_message(message: JSON, where: str) -> None:
    """Raises for what refers to content elsewhere, and for spoken input: its tokens cost more than those of text."""
    refuse_unknown(message, MESSAGE_MEMBERS, where=f"{where}.")
    content = message.get("content")
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict):
            kind = part.get("type")
            if not isinstance(kind, str) or kind not in PARTS:
                raise Unpriced(f"'{where}.content' has a part {type_name(kind)}, which has no price here.")
            if kind == "file" and _is_elsewhere(part.get("file")):
                raise Unpriced(f"'{where}.content' has a file that is not in the request: its size cannot be counted.")


def _is_elsewhere(file: Any) -> bool:
    return not isinstance(file, dict) or not isinstance(file.get("file_data"), str) or file.get("file_id") is not None
