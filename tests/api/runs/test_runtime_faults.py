"""Runtimes that are away, die, hang or send nonsense: every run ends, with what there is of it, and says why."""

import asyncio
import gzip
import time
from http.cookies import SimpleCookie
from typing import Any

import httpx2
import orjson
import pytest
from yarl import URL

from agentic_api.runs.lifecycle import runtime_client as runtimes
from agentic_core.contract import (
    Failed,
    Final,
    Message,
    MessageDelta,
    MessageDone,
    RunError,
    ToolCall,
    ToolEnded,
    ToolStarted,
    line,
)
from agentic_core.db import Database
from agentic_core.egress import Guard
from tests.api.runs import runtime as stand_in
from tests.api.runs.runtime import Answer, Runtime
from tests.api.runs.stage import Tenant
from tests.core.db.rows import delete_tenant
from tests.requirements import requirement
from tests.support.waiting import PATIENCE

EXECUTE = "/api/v1/agents/helper/execute"


async def executed(client: httpx2.AsyncClient, text: str) -> dict[str, Any]:
    answer = await client.post(EXECUTE, json={"input": text})
    run: dict[str, Any] = answer.json()
    shown = (await client.get(f"/api/v1/runs/{run['id']}")).json()
    if answer.status_code == 202:  # the summary of a large run
        shown = {name: value for name, value in shown.items() if name in run}
    else:
        assert answer.status_code == 200
    assert shown == run
    return run


async def test_a_runtime_that_is_starting_is_asked_again(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    runtime.status = [503, 502]
    run = await executed(client, "hello")
    assert (run["status"], len(runtime.requests)) == ("succeeded", 3)


async def test_a_draining_runtime_is_left_for_another(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    async def drain_once(answer: Answer) -> None:
        runtime.scripts.clear()
        await answer.send(Failed(error=RunError(code="runtime_draining", message="bye")))

    runtime.scripts["hello"] = drain_once
    assert (await executed(client, "hello"))["status"] == "succeeded"


async def test_a_runtime_that_stays_away_fails_the_run(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    runtime.status = [503] * 9
    run = await executed(client, "hello")
    assert (run["status"], run["error"]["code"]) == ("failed", "runtime_unreachable")
    assert [item["role"] for item in run["messages"]] == ["user"]


async def test_a_refusal_is_not_repeated(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    runtime.status = [400]
    run = await executed(client, "hello")
    assert (run["status"], run["error"]["code"], len(runtime.requests)) == ("failed", "runtime_protocol", 1)


async def test_the_words_of_a_refusal_are_the_runs_error(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    runtime.status = [422]
    runtime.problem = {"code": "contract_version_unsupported", "detail": "Use a newer\0 runtime image.", "new": 1}
    run = await executed(client, "hello")
    words = {"code": "contract_version_unsupported", "message": "Use a newer\ufffd runtime image."}
    assert (run["status"], run["error"], len(runtime.requests)) == ("failed", words, 1)


async def test_a_refusal_shows_no_credential_and_is_bounded(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    async def refused(detail: str) -> str:
        runtime.status, runtime.problem = [403], {"code": "forbidden", "detail": detail}
        run = await executed(client, "hello")
        assert run["error"]["code"] == "forbidden"
        message: str = run["error"]["message"]
        return message

    await client.post(EXECUTE, json={"input": "the token of a run"})
    told = await refused(f"Not with {runtime.tokens[0]} nor with Bearer {runtime.tokens[0]} or key-0123456789.")
    assert told == "Not with *** nor with *** or ***"
    assert len(await refused("x" * 10_000)) == 500


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        (400, {"code": "No Code", "detail": "x"}),
        (400, {"code": "c" * 65, "detail": "x"}),
        (400, {"code": 5}),
        (400, ["invalid"]),
        (400, {"code": "invalid", "detail": "x" * 20_000}),
        (500, {"code": "internal", "detail": "x"}),
        (302, {"code": "invalid", "detail": "x"}),
    ],
    ids=["no code", "a long code", "a number", "a list", "endless", "a server error", "a redirect"],
)
async def test_a_refusal_without_a_good_problem_is_a_breach_of_the_contract(
    client: httpx2.AsyncClient, runtime: Runtime, status: int, problem: Any
) -> None:
    runtime.status, runtime.problem = [status], problem
    run = await executed(client, "hello")
    message = f"The runtime refused the run with status {status}."
    assert run["error"] == {"code": "runtime_protocol", "message": message}
    assert len(runtime.requests) == 1


@pytest.mark.parametrize("code", ["runtime_busy", "runtime_draining"])
@pytest.mark.parametrize("status", [409, 500])
async def test_a_runtime_that_cannot_take_a_run_is_asked_again(
    client: httpx2.AsyncClient, runtime: Runtime, status: int, code: str
) -> None:
    runtime.status, runtime.problem = [status], {"code": code, "detail": "Not now."}
    run = await executed(client, "hello")
    assert (run["status"], len(runtime.requests)) == ("succeeded", 2)


@pytest.mark.parametrize(("after", "seconds"), [("1", 1.0), ("99", 1.0), ("soon", 0.0), ("-5", 0.0), (None, 0.0)])
async def test_a_runtime_that_is_asked_too_much_is_left_alone_for_a_while(
    client: httpx2.AsyncClient, runtime: Runtime, after: str | None, seconds: float
) -> None:
    runtime.status, runtime.refusal = [429], {"Retry-After": after} if after else {}
    begun = time.monotonic()
    run = await executed(client, "hello")
    assert (run["status"], len(runtime.requests)) == ("succeeded", 2)
    assert time.monotonic() - begun >= seconds


async def test_a_runtime_leads_the_api_nowhere(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    async with stand_in.runtime() as elsewhere:
        runtime.status, runtime.refusal = [307], {"Location": f"{elsewhere.url}/v1/run"}
        run = await executed(client, "hello")
        assert (run["status"], run["error"]["code"]) == ("failed", "runtime_protocol")
        assert not elsewhere.requests


async def test_a_runtime_leaves_nothing_behind_for_those_of_other_tenants() -> None:
    async with runtimes.client(Guard(private=True)) as http:
        cookies = http._session.cookie_jar
        cookies.update_cookies(SimpleCookie("a=b; Domain=svc; Path=/"), URL("http://agent-runtime.acme.svc/"))
        assert not cookies.filter_cookies(URL("http://agent-runtime.globex.svc/"))


async def test_a_packed_answer_is_not_unpacked(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    runtime.headers = {"Content-Encoding": "gzip"}

    async def packed(answer: Answer) -> None:
        await answer.write(gzip.compress(line(Final(output="unpacked"))) + b"\n")

    runtime.scripts["hello"] = packed
    run = await executed(client, "hello")
    assert (run["status"], run["error"]["code"]) == ("failed", "runtime_protocol")


@requirement("error-handling")
async def test_a_runtime_that_dies_interrupts_the_run(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    runtime.scripts["hello"] = runtime.cut
    run = await executed(client, "hello")
    assert (run["status"], run["error"]["code"], run["output"]) == ("interrupted", "interrupted", "half an ans")
    assert len(runtime.requests) == 1, "it had begun, so it is not asked again"


async def test_a_silent_runtime_interrupts_the_run(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    runtime.scripts["hello"] = runtime.silent
    run = await executed(client, "hello")
    assert (run["status"], run["output"]) == ("interrupted", "hm")
    assert "silent" in run["error"]["message"]


async def test_what_a_runtime_reports_as_error_is_the_runs_error(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    async def fail(answer: Answer) -> None:
        error = RunError(code="max_tokens_exceeded", message="too many")
        await answer.send(MessageDelta(text="be"), Failed(error=error))

    runtime.scripts["hello"] = fail
    run = await executed(client, "hello")
    assert (run["status"], run["error"]) == ("failed", {"code": "max_tokens_exceeded", "message": "too many"})
    assert run["output"] == "be"


async def test_an_unknown_error_code_is_the_runs_error(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    async def fail(answer: Answer) -> None:
        await answer.send(Failed(error=RunError(code="quota.of_tomorrow", message="no more")))

    runtime.scripts["hello"] = fail
    run = await executed(client, "hello")
    assert (run["status"], run["error"]) == ("failed", {"code": "quota.of_tomorrow", "message": "no more"})


async def test_unknown_events_are_stored_and_passed_on_and_change_nothing(
    client: httpx2.AsyncClient, runtime: Runtime
) -> None:
    unknown = b'{"type":"thought","text":"hm\\u0000",\r"depth":{"n":[1,null]},"type2":1e999}\n'

    async def think(answer: Answer) -> None:
        await answer.write(unknown)
        await answer.say("done")

    runtime.scripts["hello"] = think
    run = await executed(client, "hello")
    assert (run["status"], run["output"]) == ("succeeded", "done")
    assert [item["content"] for item in run["messages"]] == ["hello", "done"]
    events = (await client.get(f"/api/v1/runs/{run['id']}/events")).text.split("\n\n")
    number, kind, data = events[1].split("\n")
    assert (number, kind) == ("id: 1", "event: thought")
    kept = {"type": "thought", "text": "hm\ufffd", "depth": {"n": [1, None]}, "type2": None}
    assert orjson.loads(data.removeprefix("data: ")) == kept


async def test_calls_that_stay_open_are_answered_so_that_the_conversation_can_go_on(
    client: httpx2.AsyncClient, runtime: Runtime
) -> None:
    async def die_in_tools(answer: Answer) -> None:
        calls = [ToolCall(id=name, name="http_fetch") for name in ("a", "b")]
        await answer.send(
            MessageDone(message=Message(role="assistant", tool_calls=calls)),
            *(ToolStarted(call=call) for call in calls),
            ToolEnded(id="a", name="http_fetch", content="fetched"),
        )
        await runtime.cut(answer)

    runtime.scripts["hello"] = die_in_tools
    run = await executed(client, "hello")
    answers = {item["tool_call_id"]: item["is_error"] for item in run["messages"] if item["role"] == "tool"}
    assert answers == {"a": False, "b": True}
    assert [item["result"] for item in run["tool_calls"]] == ["fetched", None]


NONSENSE = {
    "not json": b"hello\n",
    "not an event": b'{"kind":"surprise"}\n',
    "an end of the api": b'{"type":"run.finished","status":"succeeded"}\n',
    "a gap of the api": b'{"type":"events.expired"}\n',
    "a type that is no name": b'{"type":"two\\nlines"}\n',
    "a code that is no name": b'{"type":"error","error":{"code":"It\'s broken","message":""}}\n',
    "not utf-8": b'{"type":"message.delta","text":"\xff"}\n',
    "half a surrogate": b'{"type":"message.delta","text":"\\ud800"}\n',
    "a long line": b'{"type":"message.delta","text":"' + b"a" * 200_000 + b'"}\n',
    "an endless line": b"a" * 200_000,
    "too many bytes": line(MessageDelta(text="a" * 90_000)) * 20,
    "too many events": line(MessageDelta(text="a")) * 6000,
    "a long duration": b'{"type":"tool.result","id":"a","name":"b","content":"","duration_ms":9999999999}\n',
    "deep": b'{"type":"tool.call","call":{"id":"a","name":"b","arguments":{"a":' + b"[" * 5000 + b"]" * 5000 + b"}}}\n",
}


@pytest.mark.parametrize("kind", NONSENSE)
async def test_a_runtime_that_breaks_the_protocol_fails_the_run(
    client: httpx2.AsyncClient, runtime: Runtime, kind: str
) -> None:
    async def talk_nonsense(answer: Answer) -> None:
        await answer.send(MessageDelta(text="so far"))
        await answer.write(NONSENSE[kind])
        await answer.send(Final(output="nevertheless"))

    runtime.scripts["hello"] = talk_nonsense
    run = await executed(client, "hello")
    assert (run["status"], run["error"]["code"]) == ("failed", "runtime_protocol")
    assert run["output"].startswith("so far")


async def test_a_truncated_answer_interrupts_the_run(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    async def stop(answer: Answer) -> None:
        await answer.write(line(MessageDelta(text="so far")) + line(Final(output="never read"))[:-5])

    runtime.scripts["hello"] = stop
    run = await executed(client, "hello")
    assert (run["status"], run["output"]) == ("interrupted", "so far")


async def test_what_postgres_cannot_store_is_replaced(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    arguments = b'{"a\\u0000":"b\\u0000","big":123456789012345678901234567890,"nan":NaN,"inf":1e999,"\\\\u0000":"x"}'

    async def strange(answer: Answer) -> None:
        await answer.write(b'{"type":"tool.call","call":{"id":"c","name":"t","arguments":' + arguments + b"}}\n")
        await answer.say("nul \0 and \\u0000")

    runtime.scripts["hello"] = strange
    run = await executed(client, "hello")
    assert (run["status"], run["output"]) == ("succeeded", "nul \ufffd and \\u0000")
    kept = run["tool_calls"][0]["arguments"]
    assert kept["a\ufffd"] == "b\ufffd"
    assert kept["\\u0000"] == "x"


async def test_newer_fields_and_blank_lines_are_ignored(client: httpx2.AsyncClient, runtime: Runtime) -> None:
    async def newer(answer: Answer) -> None:
        await answer.write(b"\n \n" + orjson.dumps({"type": "message.delta", "text": "a", "colour": "red"}) + b"\r\n")
        for byte in line(Final(output="a")):
            await answer.write(bytes([byte]))

    runtime.scripts["hello"] = newer
    assert (await executed(client, "hello"))["output"] == "a"


async def test_a_deleted_tenants_runs_end_at_their_runtime(
    client: httpx2.AsyncClient, runtime: Runtime, database: Database, tenant: Tenant
) -> None:
    """So that the namespaces of a tenant need not wait for its runs: a runtime that stops lets them end."""
    runtime.scripts["hello"] = runtime.hang
    async with client.stream("POST", EXECUTE, json={"input": "hello", "stream": True}):
        await asyncio.wait_for(runtime.began.wait(), PATIENCE)
        await delete_tenant(database, tenant.id, max_rows=100)
        await asyncio.wait_for(runtime.dropped.wait(), PATIENCE)
