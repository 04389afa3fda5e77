"""ModelProviders on a real API server and a real HTTP server: keys, rights, reachability."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from agentic_core import names
from agentic_core.cluster.kinds import ROLE, ROLE_BINDING
from tests.operator.harness import PROVIDER, World, world
from tests.requirements import requirement
from tests.support.apiserver import ControlPlane

KEY = "sk-very-secret"


@asynccontextmanager
async def server(seen: list[str]) -> AsyncIterator[str]:
    """An OpenAI-compatible server that accepts one key; its base URL."""

    async def models(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization", ""))
        return web.json_response({"data": []}, status=200 if seen[-1] == f"Bearer {KEY}" else 401)

    app = web.Application()
    app.router.add_get("/v1/models", models)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


async def secret(w: World, name: str = "keys", kind: str = "Opaque", label: str | None = "true", **data: str) -> None:
    """A Secret that may be sent to providers, unless it says otherwise."""
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    body = {"apiVersion": "v1", "kind": "Secret", "type": kind, "data": encoded}
    labels = {names.PROVIDER_KEY: label} if label else {}
    await w.cluster.apply(body | {"metadata": {"name": name, "namespace": w.namespace, "labels": labels}}, "kubectl")


async def says(w: World, name: str, status: str, reason: str) -> dict[str, Any]:
    """The message of the condition Ready once it has this reason."""
    return await w.condition(PROVIDER.ref(name, w.namespace), "Ready", status, reason)


@requirement("providers", "secrets")
async def test_a_provider_with_its_key_is_ready_and_never_shows_it(plane: ControlPlane) -> None:
    seen: list[str] = []
    async with server(seen) as url, world(plane) as w:
        await secret(w, **{"api-key": KEY})
        await w.provider("openai", baseUrl=url, secretRef={"name": "keys"})
        await says(w, "openai", "True", "Converged")
        assert seen == [f"Bearer {KEY}"]
        found = await w.get(PROVIDER, "openai")
        assert found
        assert KEY not in str(found)
        assert len(found["status"]["secretHash"]) == 16
        assert found["status"]["models"] == 2

        role = await w.get(ROLE, "provider-openai")
        assert role
        assert role["rules"] == [
            {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["keys"], "verbs": ["get"]}
        ]
        binding = await w.get(ROLE_BINDING, "provider-openai-gateway")
        assert binding
        assert binding["subjects"] == [
            {"kind": "ServiceAccount", "name": "agentic-gateway", "namespace": "agentic-system"}
        ]
        await w.provider("openai", baseUrl=url)
        await w.gone(ROLE.ref("provider-openai", w.namespace))
        await w.gone(ROLE_BINDING.ref("provider-openai-operator", w.namespace))


async def test_a_credential_of_a_registry_is_sent_to_no_provider(plane: ControlPlane) -> None:
    seen: list[str] = []
    async with server(seen) as url, world(plane) as w:
        await secret(w, "registry", "kubernetes.io/dockerconfigjson", **{".dockerconfigjson": '{"auths":{}}'})
        await w.provider("thief", baseUrl=url, secretRef={"name": "registry", "key": ".dockerconfigjson"})
        message = (await says(w, "thief", "False", "KeyUnusable"))["message"]
        assert "is of type kubernetes.io/dockerconfigjson; keys of providers are in Secrets of type Opaque" in message
        assert seen == []


async def test_a_secret_that_did_not_opt_in_is_sent_to_no_provider(plane: ControlPlane) -> None:
    seen: list[str] = []
    async with server(seen) as url, world(plane) as w:
        await secret(w, "database", label=None, password=KEY)
        await secret(w, "almost", label="false", password=KEY)
        for name in ("database", "almost"):
            await w.provider(f"thief-of-{name}", baseUrl=url, secretRef={"name": name, "key": "password"})
            found = await says(w, f"thief-of-{name}", "False", "SecretNotLabelled")
            advice = f"kubectl -n {w.namespace} label secret {name} agentic.io/provider-key=true"
            assert found["message"].endswith(advice)
        assert seen == []
        await secret(w, "database", password=KEY)
        await w.provider("thief-of-database", baseUrl=f"{url}/", secretRef={"name": "database", "key": "password"})
        await says(w, "thief-of-database", "True", "Converged")


async def test_what_is_wrong_with_a_provider_is_told(plane: ControlPlane) -> None:
    async with server([]) as url, world(plane) as w:
        await w.provider("lost", secretRef={"name": "missing"})
        found = await says(w, "lost", "False", "SecretMissing")
        assert (
            found["message"] == f"Secret {w.namespace}/missing not found; create it with the API key under api-key, "
            "labelled agentic.io/provider-key=true"
        )
        await secret(w, wrong="not the key", bad="Ünï")
        await w.provider("lost", secretRef={"name": "keys"})
        assert "has no key api-key" in (await says(w, "lost", "False", "KeyMissing"))["message"]
        await w.provider("lost", secretRef={"name": "keys", "key": "bad"})
        await says(w, "lost", "False", "KeyUnusable")
        await w.provider("lost", baseUrl=url, secretRef={"name": "keys", "key": "wrong"})
        found = await says(w, "lost", "False", "KeyRefused")
        assert "not the key" not in found["message"]
        await w.provider("lost", baseUrl="http://169.254.169.254/v1")
        assert "a cloud metadata address" in (await says(w, "lost", "False", "AddressForbidden"))["message"]
        await w.provider("lost", baseUrl="http://agentic-api.agentic-system.svc:8080/v1")
        assert "a Service of the platform" in (await says(w, "lost", "False", "AddressForbidden"))["message"]
        await w.provider("lost", baseUrl="http://nowhere.invalid/v1")
        await says(w, "lost", "False", "Unreachable")
