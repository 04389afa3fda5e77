"""How long a provider's key is known, and to whom."""

import dataclasses

import pytest

from agentic_crds.model_provider import ModelProviderSpec, ProviderModel
from agentic_gateway.call.keys import KeyRing
from agentic_gateway.problems import ProviderForbidden
from agentic_gateway.route.routing import Backend
from tests.gateway.support import NAMESPACE, WrittenDown

SPEC = ModelProviderSpec.model_validate(
    {"type": "openai", "models": [{"name": "m"}], "secretRef": {"name": "key"}}, by_alias=True
)
BACKEND = Backend("uid-1", NAMESPACE, "openai", SPEC, ProviderModel(name="m"))


async def test_a_key_is_read_once() -> None:
    resources = WrittenDown()
    resources.key("key", "sk-1")
    ring = KeyRing(resources, seconds=60)
    assert [(await ring.key(BACKEND)).value for _ in range(3)] == ["sk-1"] * 3
    assert resources.reads == [(NAMESPACE, "key")]


async def test_the_next_tenant_of_the_name_gets_no_key_of_the_last_one() -> None:
    resources = WrittenDown()
    resources.key("key", "sk-of-the-first")
    ring = KeyRing(resources, seconds=60)
    assert (await ring.key(BACKEND)).value == "sk-of-the-first"
    successor = dataclasses.replace(BACKEND, tenant_id="uid-2")
    resources.key("key", "sk-of-the-second")
    assert (await ring.key(successor)).value == "sk-of-the-second"
    resources.secrets.clear()
    with pytest.raises(ProviderForbidden, match="cannot be read"):
        await ring.key(dataclasses.replace(BACKEND, tenant_id="uid-3"))
