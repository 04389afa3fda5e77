"""Models of custom resources in snake_case: what the api reads and shows, made from the models of the kinds.

Schemas of domains make them when they are imported. A field that is added to a kind is in the api without an edit.
"""

import functools
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, cast, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model, model_validator
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from agentic_crds import Resource
from agentic_crds.base import Model
from agentic_crds.schema import Marker

CAMEL = re.compile(r"\b[a-z][a-z0-9]*(?:[A-Z][a-z0-9]*)+\b")


class Snake(BaseModel):
    """What twins have of their own: fields are called as in Python; what is shown has all of them."""

    model_config = ConfigDict(alias_generator=lambda name: name, json_schema_serialization_defaults_required=True)


@dataclass(frozen=True)
class Shorthand:
    """A text that clients may send instead of an object."""

    text: Any
    """Type of the text, with its bounds."""
    expand: Callable[[str], dict[str, Any]]
    """The object that the text stands for."""


class Twins:
    """Subclasses of models that differ in spelling alone: same fields, bounds, defaults, rules and descriptions.

    One for each model that is reached from those requested; in the OpenAPI document each is called as the model with
    `suffix`. Rules lose what only the API server reads, and their messages name fields in snake_case.
    """

    def __init__(self, suffix: str, shorthands: Mapping[type[Model], Shorthand] | None = None) -> None:
        self._suffix = suffix
        self._shorthands = shorthands or {}
        self._made: dict[type[Model], type[Model]] = {}
        self._spellings: dict[str, str] = {}

    def spec(self, kind: type[Resource]) -> type[Model]:
        """The twin of the spec of a kind, with the rules of the kind about its spec."""
        field = kind.model_fields["spec"]
        assert isinstance(field.annotation, type)  # noqa: S101 - every kind has a spec, and that is a model
        twin = self.of(field.annotation)
        rules = [self._metadata(item) for item in field.metadata if isinstance(item, Marker)]

        def keep_rules(model: Model) -> Model:
            for rule in rules:
                rule.validate(model)
            return model

        validators: dict[str, Any] = {"keep_rules": model_validator(mode="after")(keep_rules)}
        return create_model(twin.__name__, __base__=twin, __doc__=twin.__doc__, __validators__=validators)

    def of(self, model: type[Model]) -> type[Model]:
        """The twin of a model."""
        if model not in self._made:
            self._spellings |= {to_camel(name): name for name in model.model_fields}
            fields: dict[str, Any] = {name: self._field(field) for name, field in model.model_fields.items()}
            bases = (model, cast("type[Model]", Snake))
            self._made[model] = create_model(
                f"{model.__name__}{self._suffix}", __base__=bases, __doc__=model.__doc__, **fields
            )
        return self._made[model]

    def _field(self, field: FieldInfo) -> tuple[Any, Any]:
        twin: Any = self._type(field.annotation)  # first: rules of the field may name fields of what it holds
        metadata = [self._metadata(item) for item in field.metadata]
        annotation = Annotated[twin, *metadata, Field(description=self._spelled(field.description or ""))]
        return annotation, ... if field.is_required() else self._default(field.default)

    def _default(self, value: Any) -> Any:
        return self.of(type(value)).model_validate(value.model_dump(exclude_unset=True)) if _is_model(value) else value

    def _type(self, annotation: Any) -> Any:
        origin, arguments = get_origin(annotation), get_args(annotation)
        if isinstance(annotation, type) and issubclass(annotation, Model):
            return self._short(annotation)
        if origin is None or origin is Literal:
            return annotation
        if origin is Annotated:
            return Annotated[self._type(arguments[0]), *map(self._metadata, arguments[1:])]
        parts = tuple(self._type(argument) for argument in arguments)
        return functools.reduce(operator.or_, parts) if origin is UnionType else origin[parts]

    def _short(self, model: type[Model]) -> Any:
        """The twin, or where the model has a shorthand something that reads both."""
        twin: Any = self.of(model)
        if (shorthand := self._shorthands.get(model)) is None:
            return twin

        def expanded(value: Any) -> Any:
            return shorthand.expand(value) if isinstance(value, str) else value

        return Annotated[twin, BeforeValidator(expanded, json_schema_input_type=shorthand.text | twin)]

    def _metadata(self, item: Any) -> Any:
        """A rule as a check alone, with its message in our spelling; everything else as it is."""
        if not isinstance(item, Marker):
            return item
        return Marker(self._spelled(item.message), item.check)

    def _spelled(self, text: str) -> str:
        """A text with the names of fields in our spelling."""
        return CAMEL.sub(lambda word: self._spellings.get(word[0], word[0]), text)


def _is_model(value: Any) -> bool:
    return isinstance(value, Model)
