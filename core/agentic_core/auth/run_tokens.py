"""Run tokens: short-lived EdDSA JWTs that say which run calls. The api signs them, gateway and runtime verify them."""

import time
from collections.abc import Sequence
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from pydantic import BaseModel, ConfigDict, ValidationError

from agentic_core.errors import Unauthenticated
from agentic_crds.agent import Limits

ISSUER: Final = "agentic-api"
AUDIENCE: Final = "agentic-run"
LEEWAY_SECONDS: Final = 5


class RunClaims(BaseModel):
    """What a run may do. Every field is enforced by the gateway or the runtime."""

    model_config = ConfigDict(frozen=True)

    tenant_id: str
    """UUID of the tenant: the scope of rows."""
    tenant: str
    """Name of the Tenant."""
    namespace: str
    """Where the agent and its providers live."""
    agent: str
    run_id: str
    models: tuple[str, ...]
    """`provider/model` that may be called: the agent's model, then its fallbacks in order."""
    max_tokens: int = Limits().max_tokens
    """Tokens that all model calls of the run may use; a token that does not say has the default of agents."""


def generate() -> tuple[str, str]:
    """A new key pair as PEM texts: private, public."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return private, public


def public_keys(pems: str) -> tuple[Ed25519PublicKey, ...]:
    """The keys of a text with one or several PEM blocks; several while a key is being rotated."""
    end = "-----END PUBLIC KEY-----"
    blocks = [block + end + "\n" for block in pems.split(end) if block.strip()]
    keys = tuple(load_pem_public_key(block.strip().encode()) for block in blocks)
    if not keys or not all(isinstance(key, Ed25519PublicKey) for key in keys):
        raise ValueError("run token keys must be Ed25519 public keys in PEM format")
    return tuple(key for key in keys if isinstance(key, Ed25519PublicKey))


def private_key(pem: str) -> Ed25519PrivateKey:
    """The signing key of a PEM text."""
    key = load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError("the run token signing key must be an Ed25519 private key in PEM format")
    return key


def sign(claims: RunClaims, key: Ed25519PrivateKey, *, lifetime: float) -> str:
    """A token that is good for `lifetime` seconds."""
    now = time.time()
    body = claims.model_dump() | {"iss": ISSUER, "aud": AUDIENCE, "iat": int(now), "exp": int(now + lifetime)}
    return jwt.encode(body, key, algorithm="EdDSA")


def verify(token: str, keys: Sequence[Ed25519PublicKey]) -> RunClaims:
    """The claims of a token that one of the keys signed and that has not expired; else `Unauthenticated`."""
    for key in keys:
        try:
            body = jwt.decode(
                token,
                key,
                algorithms=["EdDSA"],
                audience=AUDIENCE,
                issuer=ISSUER,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "aud", "iss"]},
            )
            return RunClaims.model_validate(body)
        except jwt.InvalidSignatureError:
            continue
        except (jwt.InvalidTokenError, ValidationError) as error:
            raise Unauthenticated(f"The run token is not valid: {type(error).__name__}.") from error
    raise Unauthenticated("The run token was not signed by this platform.")
