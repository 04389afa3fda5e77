"""Resolution as a table: what an agent refers to, and what becomes of it."""

import hashlib
import time
from typing import Annotated, Any, Literal

import orjson
import pytest
from pydantic import Field

from agentic_core.builtins import CALCULATOR
from agentic_core.resolve import MAX_DEFINITION, Surroundings, canonical, model_allowed, resolve, stored
from agentic_crds import AgentSpec, ModelProviderSpec
from agentic_crds.agent import Limits
from agentic_crds.agent_revision import Definition, DefinitionTool, ResolvedModel, ToolPolicy
from tests.requirements import requirement

OPENAI = ModelProviderSpec.model_validate({"type": "openai", "models": [{"name": "gpt-5"}, {"name": "gpt-5-mini"}]})
VLLM = ModelProviderSpec.model_validate(
    {"type": "openaiCompatible", "baseUrl": "http://vllm/v1", "models": [{"name": "llama"}, {"name": "gpt-5-mini"}]}
)
CLAUDE = ModelProviderSpec.model_validate({"type": "anthropic", "models": [{"name": "claude"}]})

MODEL = {"provider": "p", "name": "m"}


def spec(**fields: Any) -> AgentSpec:
    return AgentSpec.model_validate({"model": {"provider": "openai", "name": "gpt-5"}} | fields)


def tool(builtin: str) -> dict[str, str]:
    return {"name": builtin, "builtin": builtin}


def around(**fields: Any) -> Surroundings:
    providers = {"openai": OPENAI, "vllm": VLLM, "claude": CLAUDE}
    known: dict[str, Any] = {
        "namespace": "acme-default",
        "providers": providers,
        "installed_tools": frozenset({"calculator", "http_fetch"}),
    }
    return Surroundings(**(known | fields))


@requirement("agent-definition", "providers")
def test_everything_an_agent_says_is_in_its_definition() -> None:
    agent = spec(
        systemPrompt="Be brief.",
        model={
            "provider": "openai", "name": "gpt-5", "temperature": 0.5, "maxOutputTokens": 99,
            "fallbacks": [{"provider": "vllm", "name": "llama"}],
        },
        tools=[{"name": "compute", "builtin": "calculator"}],
        limits={"maxTokens": 10, "maxExecutionTime": 20, "maxIterations": 3},
    )  # fmt: skip
    resolution = resolve(agent, around())
    assert resolution.problems == ()
    assert resolution.definition == Definition.model_validate(
        {
            "systemPrompt": "Be brief.",
            "wire": "openai",
            "models": [{"provider": "openai", "name": "gpt-5"}, {"provider": "vllm", "name": "llama"}],
            "temperature": 0.5,
            "maxOutputTokens": 99,
            "tools": [
                {
                    "name": "compute",
                    "kind": "builtin",
                    "builtin": "calculator",
                    "description": CALCULATOR.description,
                    "inputSchema": CALCULATOR.input_schema,
                    "policy": {"maxResultBytes": 400_000},
                }
            ],
            "limits": {"maxTokens": 10, "maxExecutionTime": 20, "maxIterations": 3},
        }
    )


def test_the_only_provider_that_offers_a_model_is_found() -> None:
    resolution = resolve(spec(model={"name": "claude"}), around())
    assert resolution.definition
    assert [model.ref for model in resolution.definition.models] == ["claude/claude"]


def test_a_prompt_comes_from_a_config_map() -> None:
    resolution = resolve(spec(systemPromptFrom={"name": "p"}), around(prompts={"prompt": "Hi ☃"}))
    assert resolution.definition
    assert resolution.definition.system_prompt == "Hi ☃"


@pytest.mark.parametrize(
    ("agent", "surroundings", "reason", "message"),
    [
        (
            {"model": {"provider": "azure", "name": "gpt-5"}}, {},
            "ProviderNotFound", "ModelProvider acme-default/azure not found",
        ),
        (
            {"model": {"provider": "openai", "name": "gpt-9"}}, {},
            "ModelNotOffered",
            "Model gpt-9 is not offered by ModelProvider acme-default/openai; it offers gpt-5, gpt-5-mini",
        ),
        (
            {"model": {"name": "gpt-9"}}, {},
            "ModelNotOffered",
            "Model gpt-9 is not offered by any ModelProvider of namespace acme-default; there are claude, openai, vllm",
        ),
        (
            {"model": {"name": "gpt-9"}}, {"providers": {}},
            "ProviderNotFound", "Namespace acme-default has no ModelProvider; create one that offers gpt-9",
        ),
        (
            {"model": {"name": "gpt-5-mini"}}, {},
            "ProviderAmbiguous",
            "Model gpt-5-mini is offered by several providers: openai, vllm; set model.provider to one",
        ),
        (
            {"model": {"provider": "openai", "name": "gpt-5", "fallbacks": [{"name": "claude"}]}}, {},
            "FallbackOfAnotherType",
            "Fallback claude/claude speaks anthropic, but openai/gpt-5 speaks openai; take one of the same type",
        ),
        (
            {}, {"allowed_models": ("claude/*", "openai/*mini")},
            "ModelNotAllowed",
            "Model openai/gpt-5 is not allowed for this tenant; allowed are claude/*, openai/*mini",
        ),
        (
            {"tools": [tool("python_repl")]}, {},
            "ToolNotInstalled", "Tool python_repl is not installed; installed are calculator, http_fetch",
        ),
        (
            {"tools": [tool("python_repl")]}, {"installed_tools": frozenset()},
            "ToolNotInstalled", "Tool python_repl is not installed; installed are none",
        ),
        (
            {"systemPromptFrom": {"name": "p"}}, {},
            "PromptNotFound", "ConfigMap acme-default/p not found; systemPromptFrom refers to it",
        ),
        (
            {"systemPromptFrom": {"name": "p", "key": "k"}}, {"prompts": {"a": "", "b": ""}},
            "PromptNotFound", "ConfigMap acme-default/p has no key k; it has a, b",
        ),
        (
            {"systemPromptFrom": {"name": "p"}}, {"prompts": {"prompt": "x" * 1_048_577}},
            "PromptTooLarge",
            "Key prompt of ConfigMap acme-default/p has 1048577 characters; a prompt may have 1048576",
        ),
        (
            {"systemPromptFrom": {"name": "p"}}, {"prompts": {"prompt": "☃" * 1_000_000}},
            "PromptTooLarge",
            f"The definition has 3000178 bytes, more than {MAX_DEFINITION}; shorten the prompt",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_resolved_says_what_to_do(
    agent: dict[str, Any], surroundings: dict[str, Any], reason: str, message: str
) -> None:
    resolution = resolve(spec(**agent), around(**surroundings))
    assert [(problem.reason, problem.message) for problem in resolution.problems] == [(reason, message)]
    assert resolution.definition is None
    assert resolution.digest == ""


def test_all_problems_are_told_at_once() -> None:
    agent = spec(
        model={"provider": "azure", "name": "x"},
        tools=[tool("a"), tool("b")],
        systemPromptFrom={"name": "p"},
    )
    reasons = [problem.reason for problem in resolve(agent, around()).problems]
    assert reasons == ["PromptNotFound", "ProviderNotFound", "ToolNotInstalled", "ToolNotInstalled"]


def test_long_lists_are_cut() -> None:
    many = ModelProviderSpec.model_validate({"type": "openai", "models": [{"name": f"m{n}"} for n in range(20)]})
    (problem,) = resolve(spec(), around(providers={"openai": many})).problems
    assert problem.message.endswith("it offers m0, m1, m2, m3, m4, m5, m6, m7 and 12 more")


def test_an_image_of_ones_own_has_tools_of_its_own() -> None:
    runtime = {"mode": "Dedicated", "image": "me/agent:1"}
    resolution = resolve(spec(runtime=runtime, tools=[tool("mine"), tool("calculator")]), around())
    assert resolution.definition
    own = {"kind": "builtin", "policy": {"maxResultBytes": 400_000}}
    assert stored(resolution.definition)["tools"] == [own | tool("mine"), own | tool("calculator")], "it describes them"
    assert resolve(spec(runtime={"mode": "Dedicated"}, tools=[tool("mine")]), around()).problems


def test_the_hash_depends_on_the_definition_alone() -> None:
    one = resolve(spec(systemPrompt="a", description="x", capabilities=["c"]), around())
    same = resolve(spec(systemPrompt="a", revisionHistoryLimit=3), around(namespace="elsewhere"))
    other = resolve(spec(systemPrompt="b"), around())
    assert one.digest == same.digest != other.digest
    assert one.definition
    assert canonical(one.definition) == (
        b'{"limits":{"maxExecutionTime":300,"maxIterations":25,"maxTokens":100000},"maxOutputTokens":4096,'
        b'"models":[{"name":"gpt-5","provider":"openai"}],"systemPrompt":"a","wire":"openai"}'
    )
    assert one.digest == hashlib.sha256(canonical(one.definition)).hexdigest()
    assert Definition.model_validate_json(canonical(one.definition)) == one.definition


GOLDEN: dict[str, tuple[dict[str, Any], str]] = {
    "the least": ({}, "7478ef1a381fa166c93e572eb50b847a1ab254870670524701e31ccb3e4fb4e6"),
    "a prompt": ({"systemPrompt": "Be brief."}, "29fe5b7fcdd569d35b93160b40cfd8178e6e0badaeb42e3374b6d4936e5f2e3a"),
    "a temperature of zero": (
        {"model": {"provider": "openai", "name": "gpt-5", "temperature": 0}},
        "a7e0ae38a2f7d7dc2f6dd796a2b0b926ba9c87a1018910fe479c6001c187a7a2",
    ),
    "fallbacks": (
        {"model": {"provider": "openai", "name": "gpt-5", "fallbacks": [{"name": "llama"}]}},
        "ef19a40e68d7e5cfef1e41448afa81592c011228dafdf389574a271076c30c4f",
    ),
    "limits": (
        {"limits": {"maxTokens": 1, "maxExecutionTime": 2, "maxIterations": 3}},
        "5a3167e2d21527a288486cef9b971e942377d1eb7c8466f4fa0f7fc0b3742390",
    ),
    "tools": (
        {"tools": [tool("calculator"), {"name": "fetch", "builtin": "http_fetch"}]},
        "84f99f82349326744858a3ca341ca25f7c9b02a5becf37f0a04814217f499a2b",
    ),
    "a tool of an image of its own": (
        {"runtime": {"mode": "Dedicated", "image": "i"}, "tools": [tool("mine")]},
        "341d328d3b34fcf8c1206b162cb05c7e62726e5d892a1590a2c506f1cd6a6fbe",
    ),
}
"""Agents and the digests of their definitions. One that changes gives every agent of every tenant a new revision."""


@pytest.mark.parametrize("name", GOLDEN)
def test_digests_stay_as_they_are(name: str) -> None:
    agent, digest = GOLDEN[name]
    assert resolve(spec(**agent), around()).digest == digest


def test_what_is_left_at_its_default_has_the_digest_of_what_says_it() -> None:
    said = spec(systemPrompt="", tools=[], limits={"maxTokens": 100_000, "maxExecutionTime": 300, "maxIterations": 25})
    assert resolve(said, around()).digest == resolve(spec(), around()).digest == GOLDEN["the least"][1]


class GrownModel(ResolvedModel):
    region: str | None = None


class GrownPolicy(ToolPolicy):
    approval: Literal["never", "always"] = "never"


class GrownTool(DefinitionTool):
    policy: GrownPolicy | None = None
    annotations: dict[str, str] = {}


class GrownLimits(Limits):
    max_children: int | None = None


class Grown(Definition):
    models: Annotated[list[GrownModel], Field(min_length=1)]  # type: ignore[assignment]
    tools: list[GrownTool] = []  # type: ignore[assignment]
    limits: GrownLimits
    memory: bool = False
    retries: int = 7


@pytest.mark.parametrize("name", GOLDEN)
def test_a_new_optional_field_changes_no_digest_at_any_depth(name: str) -> None:
    definition = resolve(spec(**GOLDEN[name][0]), around()).definition
    assert definition
    grown = Grown.model_validate(definition.model_dump(by_alias=True))
    assert stored(grown) == stored(definition)
    assert hashlib.sha256(canonical(grown)).hexdigest() == GOLDEN[name][1]


def test_what_is_set_changes_the_digest_at_any_depth() -> None:
    definition = resolve(spec(tools=[tool("calculator")]), around()).definition
    assert definition
    body = definition.model_dump(by_alias=True)
    body["tools"][0] |= {"policy": {"approval": "always"}}
    for change in ({"memory": True}, {"retries": 8}, {"limits": {"maxChildren": 1}}, {"tools": body["tools"]}):
        assert canonical(Grown.model_validate(body | change)) != canonical(definition)


def test_a_stored_definition_does_not_depend_on_defaults_that_mean_something() -> None:
    """So that a default that changes in the code does not change what an old revision says."""
    said = stored(Definition.model_validate({"wire": "openai", "models": [MODEL], "maxOutputTokens": 1, "limits": {}}))
    assert said["limits"] == {"maxTokens": 100_000, "maxExecutionTime": 300, "maxIterations": 25}
    for model in (Definition, ResolvedModel, DefinitionTool, ToolPolicy):
        for name, field in model.model_fields.items():
            assert field.is_required() or field.get_default() in (None, "", []), f"{model.__name__}.{name}"


def test_the_digest_is_that_of_the_stored_definition() -> None:
    """Whoever reads an AgentRevision can check its hash."""
    for agent, _ in GOLDEN.values():
        resolution = resolve(spec(**agent), around())
        assert resolution.definition
        body = orjson.dumps(stored(resolution.definition), option=orjson.OPT_SORT_KEYS)
        assert resolution.digest == hashlib.sha256(body).hexdigest()
        read = Definition.model_validate_json(body)
        assert read == resolution.definition
        assert read.model_dump(mode="json", by_alias=True, exclude_unset=True) == stored(read), "as a request sends it"


@pytest.mark.parametrize(
    ("pattern", "ref", "allowed"),
    [
        ("*", "a/b", True),
        ("a/b", "a/b", True),
        ("a/b", "a/bc", False),
        ("a/*", "a/b/c", True),
        ("*/b", "a/b", True),
        ("a*b*c", "a/b/c", True),
        ("a*b*c", "a/c/b", False),
        ("ab*ba", "aba", False),
        ("a?b", "a/b", False),
        ("[a]/b", "a/b", False),
        ("", "a/b", False),
    ],
)
def test_patterns_know_only_the_star(pattern: str, ref: str, allowed: bool) -> None:
    assert model_allowed([pattern], ref) is allowed


def test_a_hostile_pattern_costs_nothing() -> None:
    started = time.process_time()
    assert not model_allowed(["*a" * 128], "a/" + "a" * 126 + "b")
    assert time.process_time() - started < 0.1
