"""The OpenAPI document, and the page that shows it; schemathesis tries what the document promises."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from agentic_core.web.problems import PROBLEM_JSON
from tests.api.harness import Api, World
from tests.requirements import requirement

PUBLIC = {"/healthz", "/readyz"}
EXAMPLES = "25"


async def document(api: Api) -> dict[str, Any]:
    async with api.client("") as client:
        found: dict[str, Any] = (await client.get("/openapi.json")).json()
        return found


@requirement("openapi")
async def test_every_operation_is_described(api: Api) -> None:
    found = await document(api)
    assert found["openapi"].startswith("3.1")
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            place = f"{method} {path}"
            assert operation.get("description"), place
            assert ("security" in operation) is (path not in PUBLIC), place
            if "security" in operation:
                assert {"401", "403", "404", "413", "422", "429", "500", "503"} <= operation["responses"].keys(), place


async def test_every_error_has_an_example(api: Api) -> None:
    found = await document(api)
    for path, methods in found["paths"].items():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    content = response["content"][PROBLEM_JSON]
                    assert content["example"]["status"] == int(status), path


async def test_every_body_has_an_example(api: Api) -> None:
    found = await document(api)
    schemas = found["components"]["schemas"]
    for path, methods in found["paths"].items():
        for operation in methods.values():
            if body := operation.get("requestBody"):
                schema = body["content"]["application/json"]["schema"]
                resolved = schemas[schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema
                assert resolved.get("examples") or "example" in body["content"]["application/json"], path


@requirement("openapi")
async def test_the_page_needs_no_other_host(api: Api) -> None:
    async with api.client("") as client:
        page = await client.get("/docs")
        assert page.status_code == 200
        assert "default-src 'self'" in page.headers["content-security-policy"]
        for path in ("/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/docs/start.js"):
            assert f'"{path}"' in page.text
            asset = await client.get(path)
            assert asset.status_code == 200
            assert len(asset.content) > 50
    assert "//" not in page.text.replace("</", "")


CHECKS = {"--exclude-checks": "positive_data_acceptance"}
"""That check expects that the schema says everything; which names exist and the cluster's rules it cannot say."""


async def schemathesis(url: str, key: str, folder: Path, *options: str) -> None:
    """Run it against an api; fail with what it found."""
    program = Path(sys.executable).with_name("schemathesis")
    settings = {"--max-examples": EXAMPLES, "--seed": "1", "--request-timeout": "20", "--suppress-health-check": "all"}
    flat = [word for pair in (settings | CHECKS).items() for word in pair]
    process = await asyncio.create_subprocess_exec(
        program, "run", f"{url}/openapi.json", "--header", f"Authorization: Bearer {key}", "--no-color",
        *flat, *options, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    found = output.decode()
    assert process.returncode == 0, found[found.find("= FAILURES =") :][:20000]


@pytest.mark.slow
@requirement("input-validation")
@pytest.mark.timeout(300)
async def test_schemathesis_finds_nothing_as_an_owner(api: Api, world: World, tmp_path: Path) -> None:
    tenant = await world.tenant()
    key = await api.key(tenant, "owner")
    async with api.client(key) as client:
        body = {"name": "support", "model": "m", "limits": {"max_execution_time": 1}}  # its runtime does not answer
        created = await client.post("/api/v1/agents", json=body)
        assert created.status_code == 201
    await world.ready(f"{tenant}-default", "support")
    await schemathesis(api.url, key, tmp_path, "--exclude-path-regex", "^/api/v1/keys")


@pytest.mark.slow
@requirement("input-validation")
@pytest.mark.timeout(300)
async def test_schemathesis_finds_nothing_as_an_admin(api: Api, tmp_path: Path) -> None:
    await schemathesis(api.url, api.admin_key, tmp_path, "--include-path-regex", "^/api/v1/(keys|tenants)")
