"""The kind ModelProvider: where models are called and with which key; the operator and the gateway read it."""

import re
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from agentic_crds.base import (
    LABEL_PATTERN,
    NUMERIC,
    READY_COLUMNS,
    Column,
    Model,
    ModelName,
    Money,
    Resource,
    SecretKeyRef,
    Status,
    condition_column,
)
from agentic_crds.schema import CEL, map_list

NAME_LIMIT = 63
"""Longest name of a provider, as of any DNS label."""
ASCII_HOST = r"^https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?(/|$)"
"""What is not ASCII has several readings: what one program takes for a name, another connects to as an address."""
KEY_SECRET_TYPE = "Opaque"
"""The one type of Secret whose contents are sent to providers: never credentials of registries or of accounts."""


class ProviderType(StrEnum):
    """Which wire protocol the provider speaks."""

    ANTHROPIC = "anthropic"
    OPENAI = "openai"
    OPENAI_COMPATIBLE = "openaiCompatible"

    @property
    def telemetry_name(self) -> str:
        """What OpenTelemetry calls it: the format of the requests, whoever serves them."""
        return "anthropic" if self is ProviderType.ANTHROPIC else "openai"


DEFAULT_BASE_URLS = {
    ProviderType.ANTHROPIC: "https://api.anthropic.com",
    ProviderType.OPENAI: "https://api.openai.com/v1",
}


class Price(Model):
    """Price of a model in US dollars per million tokens."""

    input: Money = "0"
    """Per million input tokens."""
    output: Money = "0"
    """Per million output tokens."""


class ProviderModel(Model):
    """A model that the provider serves."""

    name: ModelName
    """The provider's own name of the model."""
    price: Price = Price()
    """What a call costs."""


class ModelProviderSpec(Model):
    """Desired state of a model provider."""

    type: ProviderType
    """Wire protocol: anthropic, openai, or openaiCompatible."""
    base_url: (
        Annotated[
            str,
            Field(max_length=2048, pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$"),
            CEL(
                f"self.matches(r'{ASCII_HOST}')",
                "the host of baseUrl is written in ASCII letters, digits, hyphens and dots; write an international name"
                " in its xn-- form",
                lambda url: bool(re.search(ASCII_HOST, url)),
            ),
        ]
        | None
    ) = None
    """Base URL of the API. OpenAI and compatible ones include the version, for example https://host/v1."""
    secret_ref: SecretKeyRef | None = None
    """The key of a Secret in the same namespace that holds the API key; without it calls carry no key. The Secret is
    labelled agentic.io/provider-key=true."""
    models: Annotated[list[ProviderModel], Field(min_length=1, max_length=256), map_list("name")]
    """The models that may be called through this provider."""

    @property
    def url(self) -> str:
        """The base URL, the provider's own where none is given, without a slash at the end."""
        return (self.base_url or DEFAULT_BASE_URLS[self.type]).rstrip("/")

    def model(self, name: str) -> ProviderModel | None:
        """The model called `name`, if this provider lists it."""
        return next((model for model in self.models if model.name == name), None)


class ModelProviderStatus(Status):
    """Observed state of a model provider."""

    secret_hash: Annotated[str, Field(max_length=64)] | None = None
    """Hash of the API key in use; it changes when the key is rotated."""
    models: Annotated[int, Field(ge=0), NUMERIC] | None = None
    """Number of models offered."""


class ModelProvider(Resource):
    """An API that serves models, and the key to call it with."""

    kind_name = "ModelProvider"
    plural = "modelproviders"
    short_names = ("mp",)
    columns = (
        Column(name="Type", json_path=".spec.type"),
        Column(name="Models", type="integer", json_path=".status.models"),
        condition_column("Reachable"),
        *READY_COLUMNS,
    )
    rules = (
        CEL(
            f"self.metadata.name.matches('{LABEL_PATTERN}')",
            "a provider's name is a DNS label, without dots",
            lambda provider: bool(re.search(LABEL_PATTERN, provider.metadata.name)),
        ),
        CEL(
            f"size(self.metadata.name) <= {NAME_LIMIT}",
            f"a provider's name has at most {NAME_LIMIT} characters",
            lambda provider: len(provider.metadata.name) <= NAME_LIMIT,
        ),
    )

    spec: Annotated[
        ModelProviderSpec,
        CEL(
            "self.type != 'openaiCompatible' || has(self.baseUrl)",
            "an openaiCompatible provider needs baseUrl",
            lambda spec: spec.type != ProviderType.OPENAI_COMPATIBLE or spec.base_url is not None,
        ),
    ]
    status: ModelProviderStatus | None = None
