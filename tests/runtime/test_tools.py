"""The loop of model and tools: calls run, and nothing that a model or a tool does ends in a crash."""

import asyncio
import math
from collections.abc import Callable
from importlib import metadata
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from agentic_core.builtins import BUILTINS
from agentic_core.contract import ToolCall
from agentic_runtime.tools import registry
from agentic_runtime.tools.base import ToolContext, ToolFailed
from agentic_runtime.tools.calculator import FUNCTIONS, calculator
from tests.requirements import requirement
from tests.runtime import harness
from tests.runtime.harness import Client, builtin, of, request
from tests.runtime.provider import Provider, Reply, anthropic_calls, anthropic_text, openai_calls, openai_text

Text = Callable[..., Reply]
WIRES: list[Any] = [
    pytest.param("openai", openai_calls, openai_text, id="openai"),
    pytest.param("anthropic", anthropic_calls, anthropic_text, id="anthropic"),
]


@requirement("plugins")
@pytest.mark.parametrize(("wire", "calls", "text"), WIRES)
async def test_a_tool_runs_and_its_result_goes_to_the_model(
    wire: str, calls: Text, text: Text, model: Provider, client: Client
) -> None:
    model.replies += [
        calls(("c1", "calculator", '{"expression": "6*7"}'), text="Let me compute."),
        text("It is 42."),
    ]
    events = await client.run(request("6*7?", wire=wire, tools=["calculator"]))
    assert [event.type for event in events] == [
        "message.delta",
        "message",
        "usage",
        "tool.call",
        "tool.result",
        "message.delta",
        "message",
        "usage",
        "final",
    ]
    expected = ToolCall(id="c1", name="calculator", arguments={"expression": "6*7"})
    assert of(events, "message")[0].message.tool_calls == [expected]
    assert of(events, "tool.call")[0].call == expected
    result = of(events, "tool.result")[0]
    assert (result.id, result.content, result.is_error) == ("c1", "42", False)
    assert of(events, "final")[0].output == "It is 42."
    offered = model.requests[0].body["tools"][0]
    assert "expression" in str(offered)
    answered = model.requests[1].body["messages"][-1]
    assert "c1" in str(answered)
    assert "42" in str(answered)
    metrics = (await client.http.get("/metrics")).text
    assert 'agentic_runtime_tool_calls_total{outcome="success",tool="calculator"} 1.0' in metrics


BROKEN = [
    pytest.param('{"expression": 5', "not valid JSON", id="cut off"),
    pytest.param('{"expression": "1+1"', "not valid JSON", id="cut off but guessable"),
    pytest.param("[1, 2]", "not a JSON object", id="a list"),
    pytest.param("{}", "expression", id="a field is missing"),
    pytest.param('{"expression": ["1"]}', "expression", id="a wrong type"),
    pytest.param('{"expression": "1", "shell": "rm"}', "shell", id="an unknown field"),
    pytest.param('{"expression": "\\ud800"}', "not valid JSON", id="half a character"),
    pytest.param('{"runtime": {}, "expression": "1"}', "runtime", id="a name of LangChain's"),
]


@pytest.mark.parametrize(("wire", "calls", "text"), WIRES)
@pytest.mark.parametrize(("arguments", "complaint"), BROKEN)
async def test_conformance_31_broken_arguments_are_answered_and_never_run(
    wire: str, calls: Text, text: Text, arguments: str, complaint: str, model: Provider, client: Client
) -> None:
    model.replies += [calls(("c1", "calculator", arguments)), text("Sorry.")]
    events = await client.run(request(wire=wire, tools=["calculator"]))
    result = of(events, "tool.result")[0]
    assert result.is_error
    assert complaint in result.content
    assert of(events, "final")[0].output == "Sorry."
    assert complaint in str(model.requests[1].body["messages"][-1])


@pytest.mark.parametrize(("wire", "calls", "text"), WIRES)
async def test_an_unknown_tool_is_answered(wire: str, calls: Text, text: Text, model: Provider, client: Client) -> None:
    model.replies += [calls(("c1", "rm_rf", "{}")), text("Sorry.")]
    events = await client.run(request(wire=wire, tools=["calculator"]))
    result = of(events, "tool.result")[0]
    assert result.is_error
    assert "calculator" in result.content
    metrics = (await client.http.get("/metrics")).text
    assert 'agentic_runtime_tool_calls_total{outcome="error",tool="unknown"} 1.0' in metrics
    assert "rm_rf" not in metrics


async def test_a_call_of_an_agent_without_tools_is_answered(model: Provider, client: Client) -> None:
    model.replies += [openai_calls(("c1", "calculator", '{"expression": "1"}')), openai_text("Sorry.")]
    events = await client.run(request())
    assert of(events, "tool.result")[0].is_error
    assert events[-1].type == "final"


async def test_several_calls_of_one_answer(model: Provider, client: Client) -> None:
    calls = [(f"c{number}", "calculator", f'{{"expression": "{number}+1"}}') for number in range(5)]
    model.replies += [openai_calls(*calls), openai_text("Done.")]
    events = await client.run(request(tools=["calculator"]))
    results = {result.id: result.content for result in of(events, "tool.result")}
    assert results == {f"c{number}": str(number + 1) for number in range(5)}
    answered = [message for message in model.requests[1].body["messages"] if message["role"] == "tool"]
    assert {message["tool_call_id"]: message["content"] for message in answered} == results


async def test_a_tool_that_is_not_installed(model: Provider, client: Client) -> None:
    events = await client.run(request(tools=["calculator", "python_repl"]))
    error = of(events, "error")[0].error
    assert error.code == "tool_not_installed"
    assert "python_repl" in error.message
    assert "Installed: calculator, http_fetch" in error.message
    assert not model.requests


async def test_a_tool_of_a_kind_that_the_runtime_does_not_have(model: Provider, client: Client) -> None:
    strange = {"name": "search", "kind": "mcp", "server": {"name": "files"}}
    events = await client.run(request(tools=["calculator", strange]))
    error = of(events, "error")[0].error
    assert error.code == "tool_not_installed"
    assert "search (mcp)" in error.message
    assert not model.requests


@pytest.mark.parametrize(("wire", "calls", "text"), WIRES)
async def test_a_tool_has_the_name_that_the_agent_gives_it(
    wire: str, calls: Text, text: Text, model: Provider, client: Client
) -> None:
    model.replies += [calls(("c1", "compute", '{"expression": "6*7"}')), text("It is 42.")]
    events = await client.run(
        request(wire=wire, tools=[builtin("calculator", "compute"), builtin("calculator", "sum")])
    )
    (result,) = of(events, "tool.result")
    assert (result.name, result.content, result.is_error) == ("compute", "42", False)
    offered = str(model.requests[0].body["tools"])
    assert "'compute'" in offered
    assert "'sum'" in offered
    metrics = (await client.http.get("/metrics")).text
    assert 'agentic_runtime_tool_calls_total{outcome="success",tool="calculator"} 1.0' in metrics
    assert "compute" not in metrics, "agents choose names, and metrics are counted by few"


async def test_a_model_sees_tools_as_the_definition_describes_them(model: Provider, client: Client) -> None:
    model.replies.append(openai_text("ok"))
    schema = {"type": "object", "properties": {"expression": {"type": "string", "title": "mine"}}}
    await client.run(request(tools=[builtin("calculator", description="Counts.", inputSchema=schema)]))
    (offered,) = model.requests[0].body["tools"]
    assert offered["function"] == {"name": "calculator", "description": "Counts.", "parameters": schema}


@pytest.mark.parametrize("tool", ["calculator", {"name": "calculator", "kind": "builtin"}], ids=["version 1", "bare"])
async def test_what_a_definition_leaves_out_is_the_runtimes_own(tool: Any, model: Provider, client: Client) -> None:
    model.replies += [openai_calls(("c1", "calculator", '{"expression": "6*7"}')), openai_text("It is 42.")]
    body = request()
    body["definition"]["tools"] = [tool]
    events = await client.run(body)
    assert of(events, "tool.result")[0].content == "42"
    offered = model.requests[0].body["tools"][0]["function"]
    assert offered["description"] == calculator.description
    assert offered["parameters"]["required"] == ["expression"]


async def test_agents_with_other_descriptions_do_not_share(model: Provider, client: Client) -> None:
    model.default = openai_text("ok")
    for said in ("one", "two"):
        await client.run(request(tools=[builtin("calculator", description=said)]))
    assert [received.body["tools"][0]["function"]["description"] for received in model.requests] == ["one", "two"]


def test_builtins_are_declared_as_they_are_implemented() -> None:
    """Declarations are plain JSON, so that hashes of definitions do not depend on a library; here they are compared."""
    shipped = {
        point.name: point.load()
        for point in metadata.entry_points(group=registry.GROUP)
        if point.value.startswith("agentic_runtime.")
    }
    assert shipped.keys() == BUILTINS.keys()
    for name, tool in shipped.items():
        declared = BUILTINS[name]
        implemented = tool.input.model_json_schema()
        properties = {
            key: {word: said for word, said in value.items() if word != "title"}
            for key, value in implemented["properties"].items()
        }
        assert declared.input_schema == {
            "type": "object",
            "properties": properties,
            "required": implemented["required"],
            "additionalProperties": False,
        }
        assert (tool.name, tool.description) == (declared.name, declared.description)
    listed = BUILTINS["calculator"].description.partition("Functions: ")[2].partition(".")[0]
    assert listed.split(", ") == [*FUNCTIONS, "round"]


class Empty(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Plugin:
    """A tool of someone else's."""

    input = Empty
    description = "Does something."

    def __init__(self, name: str, work: Callable[[ToolContext], Any]) -> None:
        self.name = name
        self._work = work

    async def __call__(self, arguments: BaseModel, context: ToolContext) -> str:
        result = self._work(context)
        return str(await result if asyncio.iscoroutine(result) else result)


def crash(_context: ToolContext) -> str:
    raise RuntimeError("the secret is swordfish")


def refuse(_context: ToolContext) -> str:
    raise ToolFailed("The file is not there.")


PLUGINS: list[Any] = [
    pytest.param(crash, "The tool failed: RuntimeError.", True, id="crashes"),
    pytest.param(refuse, "The file is not there.", True, id="refuses"),
    pytest.param(lambda _context: "x" * 1_000_000, "[cut after 400000 bytes]", False, id="floods"),
    pytest.param(lambda _context: "half \ud83d", "half \N{REPLACEMENT CHARACTER}", False, id="half a character"),
    pytest.param(lambda _context: "", "", False, id="says nothing"),
]


@pytest.mark.parametrize(("work", "output", "is_error"), PLUGINS)
async def test_what_a_plugin_may_do(
    work: Callable[[ToolContext], str],
    output: str,
    is_error: bool,
    model: Provider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "installed", lambda: {"plugin": Plugin("plugin", work)})
    model.replies += [openai_calls(("c1", "plugin", "{}")), openai_text("Ok.")]
    async with harness.runtime(model) as client:
        events = await client.run(request(tools=["plugin"], limits={"maxTokens": 10_000_000}))
    result = of(events, "tool.result")[0]
    assert result.is_error is is_error
    assert result.content.endswith(output)
    assert "swordfish" not in result.content
    assert events[-1].type == "final"


async def hang(_context: ToolContext) -> str:
    await asyncio.Event().wait()
    raise AssertionError


async def until_its_deadline(context: ToolContext) -> str:
    left = context.deadline - asyncio.get_running_loop().time()
    return f"{10 * math.ceil(left / 10)} s left"


POLICIES: list[Any] = [
    pytest.param(hang, {"timeoutSeconds": 1}, "The tool did not finish within 1 s.", True, id="hangs"),
    pytest.param(until_its_deadline, {"timeoutSeconds": 30}, "30 s left", False, id="gets its deadline"),
    pytest.param(until_its_deadline, {"timeoutSeconds": 86400}, "300 s left", False, id="a run ends before"),
    pytest.param(until_its_deadline, {}, "300 s left", False, id="no timeout"),
    pytest.param(lambda _: "x" * 11, {"maxResultBytes": 10}, f"{'x' * 10}\n[cut after 10 bytes]", False, id="long"),
    pytest.param(lambda _: "x" * 10, {"maxResultBytes": 10}, "x" * 10, False, id="as long as allowed"),
    pytest.param(lambda _: "☃" * 4, {"maxResultBytes": 10}, "☃☃☃\n[cut after 10 bytes]", False, id="no half character"),
]


@pytest.mark.parametrize(("work", "policy", "content", "is_error"), POLICIES)
async def test_calls_are_bounded_by_the_policy_of_the_tool(
    work: Callable[[ToolContext], Any],
    policy: dict[str, Any],
    content: str,
    is_error: bool,
    model: Provider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "installed", lambda: {"plugin": Plugin("plugin", work)})
    model.replies += [openai_calls(("c1", "plugin", "{}")), openai_text("Ok.")]
    async with harness.runtime(model) as client:
        events = await client.run(request(tools=[builtin("plugin", policy=policy)], limits={"maxExecutionTime": 300}))
    (result,) = of(events, "tool.result")
    assert (result.content, result.is_error) == (content, is_error)
    assert events[-1].type == "final"


def test_installed_tools_are_found_by_entry_point() -> None:
    tools = registry.installed()
    assert {"calculator", "http_fetch"} <= tools.keys()
    assert all(tool.description and tool.input.model_json_schema() for tool in tools.values())


def test_a_broken_plugin_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    good = next(iter(metadata.entry_points(group=registry.GROUP, name="calculator")))
    broken = metadata.EntryPoint(name="broken", value="nowhere.at:all", group=registry.GROUP)
    renamed = metadata.EntryPoint(name="other", value=good.value, group=registry.GROUP)
    monkeypatch.setattr(metadata, "entry_points", lambda **_: [broken, renamed, good])
    assert list(registry.installed()) == ["calculator"]
