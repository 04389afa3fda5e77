"""Twins of models read and show the same in snake_case: fields, bounds, rules, defaults and descriptions."""

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, ValidationError

from agentic_api.resources.snake import Shorthand, Twins
from agentic_crds import Agent, AgentSpec
from agentic_crds.base import NUMERIC, Model, Resource
from agentic_crds.schema import CEL
from tests.crds.gadget import Gadget

AGENT = {"model": {"name": "m", "max_output_tokens": 5}, "runtime": {"mode": "Dedicated", "replicas": 2}}


class Engine(Model):
    """What drives it."""

    horse_power: Annotated[int, Field(ge=1), NUMERIC] = 10
    """How strong it is; see wheelCount."""


class CartSpec(Model):
    """Desired state of a cart."""

    wheel_count: Annotated[int, Field(ge=1, le=8), NUMERIC] = 4
    """How many wheels it has."""
    main_engine: Engine = Engine(horse_power=20)
    """The engine that is used first."""
    spare_engines: list[Engine] | None = None
    """Others."""
    labels: dict[str, Engine] = {}
    """Engines by name."""


class Cart(Resource):
    """Something with wheels."""

    kind_name = "Cart"
    plural = "carts"

    spec: Annotated[
        CartSpec,
        CEL(
            "self.mainEngine.horsePower > self.wheelCount",
            "mainEngine.horsePower must exceed wheelCount",
            lambda spec: spec.main_engine.horse_power > spec.wheel_count,
        ),
    ]


def spec(kind: type[Resource] = Cart, **shorthands: Any) -> type[Model]:
    return Twins("Body", {Engine: Shorthand(str, lambda text: {"horse_power": int(text)})}).spec(kind)


def mistakes(model: type[BaseModel], body: Any) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as refused:
        model.model_validate(body)
    return [(".".join(map(str, one["loc"])), one["msg"]) for one in refused.value.errors()]


def test_fields_are_called_as_in_python_at_every_depth() -> None:
    body = {"wheel_count": 3, "spare_engines": [{"horse_power": 1}], "labels": {"a": {"horse_power": 2}}}
    read = spec().model_validate(body)
    assert read.model_dump(exclude_unset=True) == body
    assert read.model_dump(by_alias=True, exclude_unset=True) == body
    for camel in ({"wheelCount": 3}, {"main_engine": {"horsePower": 3}}, {"labels": {"a": {"horsePower": 2}}}):
        assert [message for _, message in mistakes(spec(), camel)] == ["Extra inputs are not permitted"]


def test_bounds_and_numbers_are_held() -> None:
    assert mistakes(spec(), {"wheel_count": 9}) == [("wheel_count", "Input should be less than or equal to 8")]
    assert mistakes(spec(), {"wheel_count": "3"}) == [("wheel_count", "Value error, must be a number")]
    assert mistakes(spec(), {"spare_engines": [{"horse_power": 0}]})[0][0] == "spare_engines.0.horse_power"


def test_rules_name_fields_as_the_client_wrote_them() -> None:
    complaint = "Value error, main_engine.horse_power must exceed wheel_count"
    assert mistakes(spec(), {"main_engine": {"horse_power": 4}}) == [("", complaint)]
    agent = Twins("Body").spec(Agent)
    both = AGENT | {"system_prompt": "a", "system_prompt_from": {"name": "b"}}
    assert mistakes(agent, both) == [("", "Value error, system_prompt and system_prompt_from exclude each other")]
    reversed_bounds = AGENT | {"runtime": {"mode": "Dedicated", "autoscaling": {"min_replicas": 4, "max_replicas": 3}}}
    assert mistakes(agent, reversed_bounds) == [("runtime", "Value error, min_replicas must not exceed max_replicas")]


def test_null_is_absent_and_defaults_are_the_kinds_own() -> None:
    read = spec().model_validate({"wheel_count": None})
    assert read.model_dump() == CartSpec().model_dump()
    assert read.model_dump(exclude_unset=True) == {}


def test_a_shorthand_stands_for_an_object_wherever_one_may_be() -> None:
    read = spec().model_validate({"main_engine": "7", "spare_engines": ["8", {"horse_power": 9}]})
    assert read.model_dump(exclude_unset=True) == {
        "main_engine": {"horse_power": 7},
        "spare_engines": [{"horse_power": 8}, {"horse_power": 9}],
    }


def test_the_document_describes_what_is_read_and_what_is_shown() -> None:
    read = spec().model_json_schema()
    engine = read["$defs"]["EngineBody"]["properties"]["horse_power"]
    assert engine["description"] == "How strong it is; see wheel_count."
    assert {"type": "string"} in read["properties"]["main_engine"]["anyOf"]
    assert "x-kubernetes" not in str(Twins("Body").spec(Agent).model_json_schema())
    shown = Twins("View").spec(Cart).model_json_schema(mode="serialization")
    assert shown["required"] == ["wheel_count", "main_engine", "spare_engines", "labels"]


def test_each_model_has_one_twin() -> None:
    twins = Twins("Body")
    assert twins.of(Engine) is twins.of(Engine)
    assert [model.__name__ for model in (twins.of(Engine), twins.spec(Cart))] == ["EngineBody", "CartSpecBody"]


def test_a_new_field_of_a_kind_is_read_and_shown() -> None:
    class GrownSpec(AgentSpec):
        output_schema: dict[str, str] = {}

    class Grown(Agent):
        spec: GrownSpec

    for suffix in ("Body", "View"):
        twin = Twins(suffix).spec(Grown)
        read: Any = twin.model_validate(AGENT | {"output_schema": {"a": "b"}})
        assert read.output_schema == {"a": "b"}
        assert "output_schema" in twin.model_json_schema()["properties"]


def test_kinds_that_the_platform_does_not_have_need_nothing_else() -> None:
    read: Any = Twins("Body").spec(Gadget).model_validate({"wheel_count": 3})
    assert (read.wheel_count, read.colour) == (3, "")
