"""Objects for property tests: valid ones by the schema, and ones with exactly one mistake."""

import copy
import math
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from agentic_crds import Resource
from agentic_crds.generate import schema
from agentic_crds.schema import Schema

SMALL = 3
"""Most items of a list, and how far over a bound mistakes go."""
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
CIDRS = st.sampled_from(["10.0.0.0/8", "203.0.113.7/24", "2001:db8::/32", "::ffff:10.0.0.0/104", "1.2.3/8", "a::b::/1"])
ANYTHING: SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 10), st.floats(-1, 3, allow_nan=False), TEXT, st.just([]), st.just({}),
    st.just("5"), st.just(5.0), st.just([None]), st.just("a b"), st.just("x\n"), st.just("Ünï☃"),
)  # fmt: skip


def specs(kind: type[Resource]) -> SearchStrategy[Any]:
    """Specs that keep every rule of the schema; those in CEL by chance."""
    return _values(schema(kind)["properties"]["spec"])


@st.composite
def mistaken(draw: DrawFn, kind: type[Resource]) -> dict[str, Any]:
    """A resource's body, its spec with one thing changed anywhere."""
    body = {"spec": copy.deepcopy(draw(specs(kind)))}
    holder, key = draw(st.sampled_from(_places(body)))
    _spoil(draw, holder, key)
    return body


def _spoil(draw: DrawFn, holder: Any, key: Any) -> None:
    value = holder[key]
    action = draw(st.sampled_from(["replace", "remove", "grow", "unknown"]))
    if action == "remove":
        del holder[key]
    elif action == "grow" and isinstance(value, str | list) and value:
        holder[key] = value * draw(st.sampled_from([2, 200, 9000 if isinstance(value, str) else 200]))
    elif action == "grow" and isinstance(value, int | float):
        holder[key] = value * draw(st.sampled_from([-1, 10**7]))
    elif action == "unknown" and isinstance(value, dict):
        value["surprise"] = draw(ANYTHING)
    else:
        holder[key] = draw(ANYTHING)


def _places(value: Any) -> list[tuple[Any, Any]]:
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    here = [(value, key) for key in keys]
    return here + [place for key in keys for place in _places(value[key])]


def _values(node: Schema) -> SearchStrategy[Any]:
    if "enum" in node:
        return st.sampled_from(node["enum"])
    match node["type"]:
        case "object":
            return _objects(node)
        case "array":
            return st.lists(_values(node["items"]), min_size=node.get("minItems", 0), max_size=SMALL)
        case "integer":
            return st.integers(node["minimum"], node["maximum"])
        case "number":
            return st.floats(node["minimum"], node["maximum"], allow_subnormal=False).map(lambda x: x or 0.0)
        case _:
            return _strings(node)


def _objects(node: Schema) -> SearchStrategy[Any]:
    if "additionalProperties" in node:
        keys = st.sampled_from(["modelproviders", "agents", "tenants", "x"])
        return st.dictionaries(keys, _values(node["additionalProperties"]), max_size=SMALL)
    if "x-kubernetes-preserve-unknown-fields" in node:
        return st.dictionaries(TEXT, ANYTHING, max_size=SMALL)
    required = node.get("required", [])
    values = {key: _values(value) for key, value in node["properties"].items()}
    optional = {key: value for key, value in values.items() if key not in required}
    return st.fixed_dictionaries({key: values[key] for key in required}, optional=optional)


def _strings(node: Schema) -> SearchStrategy[str]:
    shortest, longest = node.get("minLength", 0), min(node.get("maxLength", math.inf), 64)
    if "x-kubernetes-validations" in node and "isCIDR" in str(node["x-kubernetes-validations"]):
        return CIDRS
    if "pattern" in node:
        found = st.from_regex(node["pattern"], fullmatch=True, alphabet=st.characters(codec="ascii"))
        return found.filter(lambda text: shortest <= len(text) <= longest)
    return st.text(st.characters(exclude_categories=["Cs"]), min_size=shortest, max_size=SMALL + shortest)
