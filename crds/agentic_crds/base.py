"""What every kind shares: the group, the resource envelope, metadata, conditions, and common field types.

The kinds' modules build on it; `agentic_crds.generate` reads the class variables.
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from agentic_crds.schema import CEL, map_list

GROUP = "agentic.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

LABEL_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"


class Model(BaseModel):
    """A fragment of a custom resource: camelCase on the wire, snake_case here, immutable."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        use_attribute_docstrings=True,
        frozen=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        """A null of a known field means nothing, as for the API server, which then sets the default."""
        if not isinstance(data, dict) or None not in data.values():
            return data
        return {key: value for key, value in data.items() if value is not None or not cls._knows(key)}

    @classmethod
    def _knows(cls, key: str) -> bool:
        return any(key in (name, field.alias) for name, field in cls.model_fields.items())


def _number(value: Any) -> Any:
    if isinstance(value, str | bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic reports ValueErrors
    return value


NUMERIC = BeforeValidator(_number)
"""On a number, after its bounds: text and booleans are no numbers, as for the API server."""

DNSLabel = Annotated[str, Field(min_length=1, max_length=63, pattern=LABEL_PATTERN)]
"""An RFC 1123 label: lower case letters, digits and dashes, at most 63 characters."""

ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
"""The name of a Kubernetes object such as a Secret or a ConfigMap."""

DataKey = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
"""A key inside a Secret or a ConfigMap."""

ModelName = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][-A-Za-z0-9._:/@]*$")]
"""The name of a model at its provider, for example `claude-sonnet-4` or `meta/llama-3:8b`."""

Money = Annotated[str, Field(max_length=20, pattern=r"^(0|[1-9][0-9]{0,8})(\.[0-9]{1,9})?$")]
"""An amount in US dollars as a decimal string, for example "2.50"."""

Sha256 = Annotated[str, Field(max_length=64, pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 as hex digits."""

Quantity = Annotated[str, Field(max_length=32, pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$")]
"""A Kubernetes resource quantity, for example "500m" or "2Gi"."""


def money(value: str) -> Decimal:
    """The decimal behind a `Money` string."""
    return Decimal(value)


class SecretKeyRef(Model):
    """A key of a Secret in the same namespace."""

    name: ObjectName
    """Name of the Secret."""
    key: DataKey = "api-key"
    """Key inside the Secret."""


class ConfigMapKeyRef(Model):
    """A key of a ConfigMap in the same namespace."""

    name: ObjectName
    """Name of the ConfigMap."""
    key: DataKey = "prompt"
    """Key inside the ConfigMap."""


class Condition(Model):
    """One observation of the state of a resource, as in metav1.Condition."""

    type: Annotated[str, Field(min_length=1, max_length=316)]
    """Name of the condition, for example Ready."""
    status: Literal["True", "False", "Unknown"]
    """Whether the condition holds."""
    reason: Annotated[str, Field(min_length=1, max_length=1024)]
    """One word for programs: why the condition has this status."""
    message: Annotated[str, Field(max_length=32768)] = ""
    """A sentence for people: what is the case and what to do about it."""
    observed_generation: Annotated[int, Field(ge=0), NUMERIC] = 0
    """The metadata.generation that this observation is about."""
    last_transition_time: datetime
    """When the status last changed."""


class Status(Model):
    """What every status has."""

    model_config = ConfigDict(extra="ignore")

    observed_generation: Annotated[int, Field(ge=0), NUMERIC] | None = None
    """The metadata.generation that this status is about."""
    conditions: Annotated[list[Condition], Field(max_length=16), map_list("type")] = []
    """What is the case: Ready says whether the resource works, the others say why not."""


class Metadata(Model):
    """The part of ObjectMeta that the platform reads."""

    model_config = ConfigDict(extra="ignore")

    name: str = ""
    namespace: str | None = None
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    finalizers: list[str] = []
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: list[dict[str, Any]] = []


class Column(Model):
    """A printer column of `kubectl get`."""

    name: str
    type: Literal["string", "integer", "date", "boolean", "number"] = "string"
    json_path: str
    priority: int = 0


class Scale(Model):
    """Paths of the scale subresource."""

    spec: str
    status: str
    selector: str


def condition_column(name: str, condition: str | None = None, *, field: str = "status", priority: int = 0) -> Column:
    """A printer column that shows a field of a condition."""
    path = f'.status.conditions[?(@.type=="{condition or name}")].{field}'
    return Column(name=name, json_path=path, priority=priority)


AGE = Column(name="Age", type="date", json_path=".metadata.creationTimestamp")
READY_COLUMNS = (
    condition_column("Ready"),
    condition_column("Reason", "Ready", field="reason"),
    condition_column("Message", "Ready", field="message", priority=1),
    AGE,
)
"""The last columns of each kind with the condition Ready."""


class Resource(Model):
    """The envelope of a custom resource. Unknown fields are pruned by the API server, so they are ignored here."""

    model_config = ConfigDict(extra="ignore")

    kind_name: ClassVar[str]
    plural: ClassVar[str]
    scope: ClassVar[Literal["Namespaced", "Cluster"]] = "Namespaced"
    short_names: ClassVar[tuple[str, ...]] = ()
    columns: ClassVar[tuple[Column, ...]] = ()
    rules: ClassVar[tuple[CEL, ...]] = ()
    scale: ClassVar[Scale | None] = None

    api_version: Literal["agentic.io/v1alpha1"] = "agentic.io/v1alpha1"
    metadata: Metadata = Metadata()

    @model_validator(mode="after")
    def _keep_rules(self) -> Self:
        for rule in self.rules:
            rule.validate(self)
        return self

    def manifest(self) -> dict[str, Any]:
        """The resource as a Kubernetes object: camelCase keys, only what was set, with its kind."""
        body = self.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)
        return {"apiVersion": self.api_version, "kind": self.kind_name} | body
