"""OpenAI's wire: chat completions and embeddings, also as compatible servers speak it. The application uses it."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Final

from agentic_api.gateway.wires.base import JSON, Operation, Tokens, count, expect, strings, told
from agentic_core.errors import PlatformError
from agentic_crds.model_provider import ProviderType

ERROR_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}


class OpenAI(Operation):
    """What both endpoints share."""

    types = frozenset({ProviderType.OPENAI, ProviderType.OPENAI_COMPATIBLE})
    end_mark = b"[DONE]"

    def upstream_body(self, body: JSON, model: str) -> JSON:
        return body | {"model": model}

    def upstream_headers(self, headers: Mapping[bytes, bytes], key: str | None) -> dict[str, str]:
        return {"Authorization": f"Bearer {key}"} if key else {}

    def used(self, answer: JSON) -> Tokens | None:
        usage = answer.get("usage")
        if not isinstance(usage, dict):
            return None
        return told(count(usage.get("prompt_tokens")), count(usage.get("completion_tokens")))

    def used_so_far(self, event: JSON, before: Tokens | None) -> Tokens | None:
        return self.used(event) or before

    def ends(self, event: bytes) -> bool:
        return event.startswith(b"data:") and event[5:].strip() == b"[DONE]"

    def texts(self, answer: JSON) -> Iterator[str]:
        for choice in answer.get("choices") or ():
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

    def check(self, body: JSON) -> None:
        expect(body, "messages", list)
        expect(body, "stream", bool, required=False)
        expect(body, "stream_options", dict, required=False)

    def upstream_body(self, body: JSON, model: str) -> JSON:
        changed = body | {"model": model}
        if body.get("stream"):
            changed["stream_options"] = (body.get("stream_options") or {}) | {"include_usage": True}
        return changed

    def hides(self, event: JSON, request: JSON) -> bool:
        asked = (request.get("stream_options") or {}).get("include_usage")
        return not asked and event.get("choices") == []


class Embeddings(OpenAI):
    """POST /v1/embeddings. Vectors of two models cannot be compared, so there is no fallback."""

    name = "embeddings"
    path = "/v1/embeddings"
    upstream_path = "/embeddings"
    falls_back: ClassVar[bool] = False

    def check(self, body: JSON) -> None:
        expect(body, "input", str, list)
        body.pop("stream", None)
