"""Which Secrets hold API keys of providers, and the key in one; pure.

The operator's probe and the gateway's key ring call it, so that both refuse the same Secrets: whoever may write
ModelProviders names a Secret and a URL, and must not be able to send any Secret of the namespace there.
"""

from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Literal

from agentic_core import names
from agentic_crds.model_provider import KEY_SECRET_TYPE

Reason = Literal["KeyMissing", "KeyUnusable", "SecretNotLabelled"]


class UnusableSecret(Exception):
    """The Secret holds no key that may be sent to a provider; `reason` is one of a condition."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason
        self.message = message


def provider_key(secret: Mapping[str, Any], entry: str, *, namespace: str, name: str) -> str:
    """The API key under `entry` of a Secret, as a header can carry it. Raises UnusableSecret."""
    where = f"Secret {namespace}/{name}"
    if (kind := secret.get("type", KEY_SECRET_TYPE)) != KEY_SECRET_TYPE:
        message = f"{where} is of type {kind}; keys of providers are in Secrets of type {KEY_SECRET_TYPE}"
        raise UnusableSecret("KeyUnusable", message)
    labels: Mapping[str, str] = secret.get("metadata", {}).get("labels") or {}
    if labels.get(names.PROVIDER_KEY) != "true":
        advice = f"kubectl -n {namespace} label secret {name} {names.PROVIDER_KEY}=true"
        message = f"{where} is not labelled as one whose keys may be sent to providers; if they may: {advice}"
        raise UnusableSecret("SecretNotLabelled", message)
    value = (secret.get("data") or {}).get(entry)
    if value is None:
        raise UnusableSecret("KeyMissing", f"{where} has no key {entry}; add it, or set secretRef.key")
    text = _text(value)
    if text is None:
        raise UnusableSecret("KeyUnusable", f"Key {entry} of {where} is no API key: it is empty or not plain text")
    return text


def _text(value: str) -> str | None:
    try:
        text = b64decode(value, validate=True).decode("ascii").strip()
    except (TypeError, ValueError):
        return None
    return text if text.isprintable() and text else None
