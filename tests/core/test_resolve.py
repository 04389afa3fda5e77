"""Resolution as a table: what an agent refers to, and what becomes of it."""

import hashlib
import time
from typing import Any

import pytest

from agentic_core.resolve import DEFINITION_LIMIT, Surroundings, canonical, model_allowed, resolve
from agentic_crds import AgentSpec, ModelProviderSpec
from agentic_crds.agent_revision import Definition
from tests.requirements import requirement

OPENAI = ModelProviderSpec.model_validate({"type": "openai", "models": [{"name": "gpt-5"}, {"name": "gpt-5-mini"}]})
VLLM = ModelProviderSpec.model_validate(
    {"type": "openaiCompatible", "baseUrl": "http://vllm/v1", "models": [{"name": "llama"}, {"name": "gpt-5-mini"}]}
)
CLAUDE = ModelProviderSpec.model_validate({"type": "anthropic", "models": [{"name": "claude"}]})


def spec(**fields: Any) -> AgentSpec:
    return AgentSpec.model_validate({"model": {"provider": "openai", "name": "gpt-5"}} | fields)


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
        tools=[{"builtin": "calculator"}],
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
            "tools": ["calculator"],
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
            {"tools": [{"builtin": "python_repl"}]}, {},
            "ToolNotInstalled", "Tool python_repl is not installed; installed are calculator, http_fetch",
        ),
        (
            {"tools": [{"builtin": "python_repl"}]}, {"installed_tools": frozenset()},
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
            f"The definition has 3000208 bytes, more than {DEFINITION_LIMIT}; shorten the prompt",
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
        tools=[{"builtin": "a"}, {"builtin": "b"}],
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
    assert resolve(spec(runtime=runtime, tools=[{"builtin": "mine"}]), around()).problems == ()
    assert resolve(spec(runtime={"mode": "Dedicated"}, tools=[{"builtin": "mine"}]), around()).problems


def test_the_hash_depends_on_the_definition_alone() -> None:
    one = resolve(spec(systemPrompt="a", description="x", capabilities=["c"]), around())
    same = resolve(spec(systemPrompt="a", revisionHistoryLimit=3), around(namespace="elsewhere"))
    other = resolve(spec(systemPrompt="b"), around())
    assert one.digest == same.digest != other.digest
    assert one.definition
    assert canonical(one.definition) == (
        b'{"limits":{"maxExecutionTime":300,"maxIterations":25,"maxTokens":100000},"maxOutputTokens":4096,'
        b'"models":[{"name":"gpt-5","provider":"openai"}],"systemPrompt":"a","temperature":null,"tools":[],"wire":"openai"}'
    )
    assert one.digest == hashlib.sha256(canonical(one.definition)).hexdigest()
    assert Definition.model_validate_json(canonical(one.definition)) == one.definition


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
