"""One trace through all programs, as a collector gets it, and the log lines beside it.

Everything runs as processes: api, gateway and runtime on a real API server and PostgreSQL, the model is aimock.
"""

import json
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import httpx2
import pytest

from tests.requirements import requirement
from tests.support import aimock, stack
from tests.support.waiting import until_sync
from tests.telemetry import collector
from tests.telemetry.collector import Span

pytestmark = pytest.mark.slow

SECRET = {name: f"{name}-{secrets.token_hex(8)}" for name in ("prompt", "answer", "refused")}
"""What a user or a model says; no trace and no log may have it."""
FACTORS = (secrets.randbelow(10**6) + 10**6, secrets.randbelow(10**6) + 10**6)
ARGUMENT = f"{FACTORS[0]} * {FACTORS[1]}"
RESULT = str(FACTORS[0] * FACTORS[1])
FIXTURES: list[dict[str, Any]] = [
    {"match": {"userMessage": SECRET["refused"]}, "response": {"error": {"message": "Slow down"}, "status": 429}},
    {
        "match": {"userMessage": SECRET["prompt"], "hasToolResult": True},
        "response": {
            "content": SECRET["answer"],
            "usage": {"prompt_tokens": 1200, "completion_tokens": 34, "total_tokens": 1234},
        },
    },
    {
        "match": {"userMessage": SECRET["prompt"]},
        "response": {"toolCalls": [{"name": "calculator", "arguments": json.dumps({"expression": ARGUMENT})}]},
    },
]
PROGRAMS = ("api", "gateway", "runtime")


@dataclass(frozen=True)
class Observed:
    """What the programs did and what they reported."""

    runs: dict[str, Any]
    """By name: the run as the api answered it."""
    traces: dict[str, str]
    """By name of the run: the trace that its caller was in."""
    caller: str
    """The caller's span."""
    spans: list[Span]
    bodies: list[bytes]
    logs: dict[str, str]
    journal: list[dict[str, Any]]
    """The requests that the provider received."""

    def of(self, run: str) -> list[Span]:
        """The spans of a run, the first to start first."""
        return sorted((span for span in self.spans if span.trace == self.traces[run]), key=lambda span: span.start)

    def lines(self, program: str, run: str) -> list[dict[str, Any]]:
        """A program's log lines in the trace of a run."""
        lines = [json.loads(line) for line in self.logs[program].splitlines()]
        return [line for line in lines if line.get("trace_id") == self.traces[run]]


@pytest.fixture(scope="module")
def observed() -> Generator[Observed]:
    """Three runs: answered as JSON, streamed, and refused by the provider; then the programs get SIGTERM."""
    caller = secrets.token_hex(8)
    traces = {name: secrets.token_hex(16) for name in ("json", "streamed", "refused")}
    with collector.running() as collected, aimock.running(FIXTURES) as provider:
        environ = {"AGENTIC_OTLP_ENDPOINT": collected.url, "AGENTIC_LOG_LEVEL": "debug"}
        model = stack.Model(f"{provider.url}/v1", provider.key)
        with stack.running(model, tools=("calculator",), environ=environ) as running:
            with _client(running) as client:
                runs = {name: _run(client, name, f"00-{traces[name]}-{caller}-01") for name in traces}
            for program in running.programs.values():
                program.terminate()
                program.wait(timeout=30)
            logs = {name: (running.folder / f"{name}.log").read_text() for name in PROGRAMS}
        yield Observed(runs, traces, caller, collected.spans, list(collected.bodies), logs, provider.journal())


@contextmanager
def _client(running: stack.Stack) -> Generator[httpx2.Client]:
    with httpx2.Client(base_url=f"{running.url}/api/v1", timeout=60, trust_env=False) as client:

        def key() -> str | None:
            body = {"name": "test", "role": "developer", "tenant": "bench"}
            answer = client.post("/keys", json=body, headers={"Authorization": f"Bearer {running.admin_key}"})
            return answer.json()["key"] if answer.status_code == 201 else None

        client.headers["Authorization"] = f"Bearer {until_sync(key, what='a key of the tenant')}"
        yield client


def _run(client: httpx2.Client, name: str, traceparent: str) -> Any:
    said = SECRET["refused"] if name == "refused" else SECRET["prompt"]
    body = {"input": f"Multiply for {said}", "stream": name == "streamed"}
    answer = client.post("/agents/echo/execute", json=body, headers={"traceparent": traceparent})
    assert answer.status_code == 200, answer.text
    if name != "streamed":
        return answer.json()
    started = next(line for line in answer.text.splitlines() if line.startswith("data: "))
    return client.get(f"/runs/{json.loads(started.removeprefix('data: '))['id']}").json()


Tree = tuple[str, str, str, "list[Tree]"]
"""Service, kind and name of a span, and those below it."""


def tree(spans: list[Span], parent: str) -> list[Tree]:
    """Service, kind and name of each span below a parent, each with those below it."""
    below = [span for span in spans if span.parent == parent]
    return [(span.service, span.kind, span.name, tree(spans, span.id)) for span in below]


CALL: Tree = (
    "agent-runtime", "CLIENT", "chat echo",
    [("agentic-gateway", "SERVER", "POST /v1/chat/completions", [("agentic-gateway", "CLIENT", "chat echo", [])])],
)  # fmt: skip
TREE: list[Tree] = [
    (
        "agentic-api", "SERVER", "POST /api/v1/agents/{agent_id}/execute",
        [
            (
                "agentic-api", "CLIENT", "invoke_agent echo",
                [
                    (
                        "agent-runtime", "SERVER", "invoke_agent echo",
                        [CALL, ("agent-runtime", "INTERNAL", "execute_tool calculator", []), CALL],
                    )
                ],
            )
        ],
    )
]  # fmt: skip


@requirement("observability")
@pytest.mark.parametrize("run", ["json", "streamed"])
def test_a_run_is_one_trace_in_all_programs(observed: Observed, run: str) -> None:
    assert observed.runs[run]["status"] == "succeeded"
    assert observed.runs[run]["trace_id"] == observed.traces[run]
    assert tree(observed.of(run), observed.caller) == TREE
    for outer, inner in pairwise(_chain(observed.of(run))):
        assert outer.start <= inner.start <= outer.end, (outer, inner)
        # A server ends after its caller has read the end of its answer.
        assert inner.end <= outer.end or inner.service != outer.service, (outer, inner)


def _chain(spans: list[Span]) -> list[Span]:
    """From the first span to the last one inside it."""
    chain = [spans[0]]
    while inner := [span for span in spans if span.parent == chain[-1].id]:
        chain.append(inner[-1])
    return chain


@pytest.mark.parametrize("run", ["json", "streamed"])
def test_spans_have_the_attributes_of_the_genai_conventions(observed: Observed, run: str) -> None:
    _, invoked, served, first, *_ = spans = observed.of(run)
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "echo", "gen_ai.provider.name": "openai"}
    agent |= {"gen_ai.agent.id": f"{stack.NAMESPACE}.echo", "gen_ai.request.model": "echo"}
    agent |= {"gen_ai.conversation.id": observed.runs[run]["conversation_id"]}
    assert _has(invoked, agent)
    assert _has(served, agent)
    called = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "echo"}
    assert _has(first, called | {"gen_ai.request.max_tokens": 4096})
    used = {"gen_ai.usage.input_tokens": 1200, "gen_ai.usage.output_tokens": 34}
    last = [span for span in spans if span.name == "chat echo"][-2:]
    assert [span.service for span in last] == ["agent-runtime", "agentic-gateway"]
    assert all(_has(span, called | used) for span in last)
    assert _has(last[1], {"gen_ai.response.model": "echo"})
    (tool,) = [span for span in spans if span.name.startswith("execute_tool")]
    (call,) = observed.runs[run]["tool_calls"]
    told = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "calculator", "gen_ai.tool.type": "function"}
    assert _has(tool, told | {"gen_ai.tool.call.id": call["id"]})


def _has(span: Span, expected: dict[str, Any]) -> bool:
    assert span.attributes == span.attributes | expected
    return True


def test_spans_of_what_failed_say_so(observed: Observed) -> None:
    assert observed.runs["refused"]["status"] == "failed"
    spans = observed.of("refused")
    failed = [(span.service, span.kind, span.attributes["error.type"]) for span in spans if span.failed]
    assert failed == [
        ("agentic-api", "CLIENT", "model_failed"),
        ("agent-runtime", "SERVER", "model_failed"),
        ("agent-runtime", "CLIENT", "OpenAIRateLimitError"),
        ("agentic-gateway", "CLIENT", "RateLimited"),
    ]
    told = [span.attributes.get("http.response.status_code") for span in spans if not span.failed]
    assert told == [200, 429], "servers answered what they should"


def test_no_text_of_a_conversation_is_in_a_trace_or_a_log(observed: Observed) -> None:
    run = observed.runs["json"]
    assert run["output"] == SECRET["answer"]
    assert RESULT in json.dumps(run["tool_calls"])
    told = b"\n".join(observed.bodies) + "\n".join(observed.logs.values()).encode()
    for text in (*SECRET.values(), ARGUMENT, *map(str, FACTORS), RESULT, "You are an echo"):
        assert text.encode() not in told


def test_providers_are_not_told_the_trace(observed: Observed) -> None:
    asked = [entry for entry in observed.journal if entry.get("path", "").endswith("/chat/completions")]
    assert len(asked) >= 5
    told = json.dumps(asked).lower()
    assert "user-agent" in told
    assert "traceparent" not in told
    assert not any(trace in told for trace in observed.traces.values())


@requirement("observability")
@pytest.mark.parametrize("program", PROGRAMS)
def test_log_lines_name_trace_tenant_and_run(observed: Observed, program: str) -> None:
    lines = [line for line in observed.lines(program, "refused") if line["level"] != "debug"]
    assert lines
    for line in lines:
        assert line["run"] == observed.runs["refused"]["id"]
        assert line["tenant"] == "bench"
        assert line["span_id"]
