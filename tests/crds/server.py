"""Asks a real API server what it thinks of a custom resource; the tests of the kinds use it."""

import ssl
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx2

from agentic_crds import Resource
from agentic_crds.base import API_VERSION
from tests.support.apiserver import ControlPlane


@dataclass(frozen=True)
class Verdict:
    """What the API server says."""

    accepted: bool
    message: str = ""
    stored: dict[str, Any] | None = None
    """The object with its defaults."""


def collection(kind: type[Resource], namespace: str) -> str:
    """The path of the objects of a kind."""
    place = f"/namespaces/{namespace}" if kind.scope == "Namespaced" else ""
    return f"/apis/{API_VERSION}{place}/{kind.plural}"


def create(
    plane: ControlPlane, kind: type[Resource], body: dict[str, Any], namespace: str, *, dry_run: bool = True
) -> Verdict:
    """What comes of creating the object; unknown fields are errors, as kubectl asks for."""
    query = "?fieldValidation=Strict" + ("&dryRun=All" if dry_run else "")
    answer = _session(plane.url, plane.token, str(plane.credentials.ca)).post(
        plane.url + collection(kind, namespace) + query, json=body
    )
    found = answer.json()
    return Verdict(True, stored=found) if answer.is_success else Verdict(False, found["message"])


@cache
def _session(url: str, token: str, ca: str) -> httpx2.Client:
    """One connection for thousands of questions."""
    context = ssl.create_default_context(cadata=ca)
    return httpx2.Client(headers={"Authorization": f"Bearer {token}"}, verify=context, timeout=30, trust_env=False)


def resource(kind: type[Resource], name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """The manifest of a resource."""
    return {"apiVersion": API_VERSION, "kind": kind.kind_name, "metadata": {"name": name}, "spec": spec}
