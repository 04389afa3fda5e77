"""Structural OpenAPI v3 schemas for custom resources, from pydantic models.

`agentic_crds.generate` calls `structural`; the kinds use the markers `CEL`, `exactly_one`, `map_list`, `SET_LIST`,
`DISTINCT` and `IMMUTABLE`. Each says its rule twice, for the API server and as a check in Python, so that both refuse
the same things.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

Schema = dict[str, Any]

UNSUPPORTED = frozenset(
    {
        "$defs",
        "$ref",
        "$schema",
        "title",
        "const",
        "examples",
        "discriminator",
        "deprecated",
        "readOnly",
        "writeOnly",
        "patternProperties",
        "prefixItems",
        "propertyNames",
        "uniqueItems",
    }
)
"""JSON Schema keywords that a structural schema refuses."""


Check = Callable[[Any], bool]
"""Whether a value keeps a rule."""


class Marker:
    """A rule on a field or on a model: what it adds to the schema, and the same as a check in Python."""

    def __init__(self, message: str, check: Check | None) -> None:
        self.message = message
        self.check = check

    def validate(self, value: Any) -> Any:
        """The value, if it keeps the rule."""
        if self.check and not self.check(value):
            raise ValueError(self.message)
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        inner = handler(source)
        return core_schema.no_info_after_validator_function(self.validate, inner) if self.check else inner


class CEL(Marker):
    """A validation rule that the API server itself enforces. Rules about changes have no check in Python."""

    def __init__(self, rule: str | Callable[[], str], message: str, check: Check | None = None) -> None:
        """A rule that depends on which kinds there are is a function: it is called when a schema is made."""
        super().__init__(message, check)
        self._rule = rule

    @property
    def rule(self) -> dict[str, str]:
        """The rule as schemas spell it."""
        return {"rule": self._rule if isinstance(self._rule, str) else self._rule(), "message": self.message}

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core)
        rules: list[dict[str, str]] = list(schema.get("x-kubernetes-validations", []))
        return schema | {"x-kubernetes-validations": [*rules, self.rule]}


def exactly_one(*fields: str) -> CEL:
    """On a model: of these optional fields one is set. Another alternative is one more name here, of the same shape."""
    present = ", ".join(f"has(self.{to_camel(name)})" for name in fields)
    return CEL(
        f"[{present}].exists_one(one, one)",
        f"set exactly one of {', '.join(map(to_camel, fields))}",
        lambda model: [getattr(model, name) is not None for name in fields].count(True) == 1,
    )


class Extension(Marker):
    """An `x-kubernetes-*` marker on a field."""

    def __init__(self, message: str, check: Check, **markers: object) -> None:
        super().__init__(message, check)
        self.markers = {f"x-kubernetes-{key.replace('_', '-')}": value for key, value in markers.items()}

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(core) | self.markers


def map_list(*keys: str) -> Extension:
    """A list that server-side apply merges by key."""

    def distinct(items: list[BaseModel]) -> bool:
        return len({tuple(getattr(item, key) for key in keys) for item in items}) == len(items)

    return Extension(f"items differ in {' and '.join(keys)}", distinct, list_type="map", list_map_keys=list(keys))


SET_LIST = Extension("items differ", lambda items: len(set(items)) == len(items), list_type="set")
"""A list of unique scalars that server-side apply merges by value."""
DISTINCT = CEL(
    "self.all(one, self.exists_one(other, other == one))", "items differ", lambda items: len(set(items)) == len(items)
)
"""The same for a list that has a default, which must not be merged."""
IMMUTABLE = CEL("self == oldSelf", "is immutable")


def structural(model: type[BaseModel]) -> Schema:
    """The model as a Kubernetes structural schema: inlined, untitled, without null unions."""
    raw = model.model_json_schema(by_alias=True)
    return _clean(raw, raw.get("$defs", {}), ())


def _clean(node: Mapping[str, Any], defs: Mapping[str, Any], seen: tuple[str, ...]) -> Schema:
    if ref := node.get("$ref"):
        return _inline(str(ref).rsplit("/", 1)[1], node, defs, seen)
    if options := node.get("anyOf"):
        return _union(options, node, defs, seen)
    if "oneOf" in node:
        raise TypeError("discriminated unions are not structural: use one optional member per variant and a CEL rule")
    return _plain(node, defs, seen)


def _inline(name: str, node: Mapping[str, Any], defs: Mapping[str, Any], seen: tuple[str, ...]) -> Schema:
    if name in seen:
        raise TypeError(f"{name} is recursive: a CRD cannot express that")
    target = _clean(defs[name], defs, (*seen, name))
    here = _clean({key: value for key, value in node.items() if key != "$ref"}, defs, seen)
    rules = target.get("x-kubernetes-validations", []) + here.pop("x-kubernetes-validations", [])
    return target | here | ({"x-kubernetes-validations": rules} if rules else {})


def _union(options: list[Schema], node: Mapping[str, Any], defs: Mapping[str, Any], seen: tuple[str, ...]) -> Schema:
    concrete = [option for option in options if option.get("type") != "null"]
    rest = {key: value for key, value in node.items() if key != "anyOf" and not (key == "default" and value is None)}
    if len(concrete) == 1:
        return _clean({**concrete[0], **rest}, defs, seen)
    if {option.get("type") for option in concrete} == {"integer", "string"}:
        either = {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}
        return _clean(rest, defs, seen) | either
    raise TypeError(f"unions are not structural: {options}")


def _plain(node: Mapping[str, Any], defs: Mapping[str, Any], seen: tuple[str, ...]) -> Schema:
    out = {key: value for key, value in node.items() if key not in UNSUPPORTED}
    if "const" in node:
        out["enum"] = [node["const"]]
    for bound in ("Minimum", "Maximum"):
        if (limit := out.pop(f"exclusive{bound}", None)) is not None:
            out |= {bound.lower(): limit, f"exclusive{bound}": True}
    values = out.get("additionalProperties")
    if "properties" in out:
        out["properties"] = {key: _clean(value, defs, seen) for key, value in out["properties"].items()}
        out.pop("additionalProperties", None)
    elif isinstance(values, Mapping):
        out["additionalProperties"] = _clean(values, defs, seen)
    elif out.get("type") == "object":
        out.pop("additionalProperties", None)
        out["x-kubernetes-preserve-unknown-fields"] = True
    if "items" in out:
        out["items"] = _clean(out["items"], defs, seen)
    default = _without_nulls(out.pop("default", None))
    if default and out.get("x-kubernetes-list-type") in ("set", "map"):
        raise TypeError(f"server-side apply would merge the default {default} into every list that users write")
    return out if default is None else out | {"default": default}


def _without_nulls(value: Any) -> Any:
    """The API server checks defaults like anybody's values, and refuses null."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return value
