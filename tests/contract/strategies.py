"""Requests and events as any version may write them, as JSON values that use only what version 1 had."""

import json
from typing import Any

from hypothesis import strategies as st

TEXT = st.text(max_size=20)
NAME = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
CODES = st.sampled_from(
    (
        *("max_tokens_exceeded", "max_execution_time_exceeded", "max_iterations_exceeded", "model_failed"),
        *("model_not_allowed", "tool_not_installed", "runtime_draining", "runtime_unreachable", "runtime_protocol"),
        *("memory_exceeded", "cancelled", "interrupted", "internal"),
    )
)


def _fields(required: dict[str, Any], **optional: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional=optional)


CALLS = _fields({"id": TEXT, "name": TEXT}, arguments=st.dictionaries(TEXT, JSON, max_size=3))
MESSAGES = _fields(
    {"role": st.sampled_from(("user", "assistant", "tool"))},
    content=TEXT,
    tool_calls=st.lists(CALLS, max_size=2),
    tool_call_id=st.none() | TEXT,
    is_error=st.booleans(),
)
USAGE = _fields({}, input_tokens=st.integers(0, 2**31), output_tokens=st.integers(0, 2**31))
EVENTS = st.one_of(
    _fields({"type": st.just("message.delta"), "text": TEXT}),
    _fields({"type": st.just("message"), "message": MESSAGES}),
    _fields({"type": st.just("tool.call"), "call": CALLS}),
    _fields(
        {"type": st.just("tool.result"), "id": TEXT, "name": TEXT, "content": TEXT},
        is_error=st.booleans(),
        duration_ms=st.integers(0, 2**31 - 1),
    ),
    _fields({"type": st.just("usage"), "model": TEXT, "usage": USAGE}),
    _fields({"type": st.just("final"), "output": TEXT}),
    _fields({"type": st.just("error"), "error": _fields({"code": CODES, "message": TEXT})}),
)
LIMITS = _fields(
    {},
    maxTokens=st.integers(1, 10**9),
    maxExecutionTime=st.integers(1, 86400),
    maxIterations=st.integers(1, 1000),
)
DEFINITIONS = _fields(
    {
        "wire": st.sampled_from(("openai", "openaiCompatible", "anthropic")),
        "models": st.lists(_fields({"provider": NAME, "name": NAME}), min_size=1, max_size=3),
        "maxOutputTokens": st.integers(1, 10**6),
        "limits": LIMITS,
    },
    systemPrompt=TEXT,
    temperature=st.none() | st.integers(0, 2) | st.sampled_from((0.25, 1.5)),
)
TOOL_NAMES = st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True), max_size=3, unique=True)
"""Tools of version 1."""


def requests(definitions: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Run requests with such definitions."""
    required = dict.fromkeys(("run_id", "tenant", "namespace", "agent", "revision"), TEXT)
    return _fields(
        required | {"definition": definitions, "messages": st.lists(MESSAGES, max_size=3)}, conversation_id=TEXT
    )


def grown(value: Any) -> Any:
    """The value as a newer program may write it: with a field more in every object, except where any key is data."""
    match value:
        case dict():
            inner = {key: item if key == "arguments" else grown(item) for key, item in value.items()}
            return inner | {"of_tomorrow": {"deep": [1, None]}}
        case list():
            return [grown(item) for item in value]
        case _:
            return value


def encoded(value: Any) -> bytes:
    """As JSON."""
    return json.dumps(value).encode()
