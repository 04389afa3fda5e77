"""The rule for the URLs of ModelProviders, the same wherever they are called: in the gateway, in the operator's probes.

Composition roots make it once, when the process starts.
"""

from collections.abc import Iterable

from agentic_core import names
from agentic_core.egress.guard import Guard
from agentic_core.egress.lookups import Lookups, addresses_of


async def provider_guard(
    *,
    private: bool,
    loopback: bool = False,
    namespace: str,
    hosts: Iterable[str] = (),
    lookups: Lookups | None = None,
) -> Guard:
    """The rule for providers. Private ones must not be the platform itself, by whatever name they are called.

    `namespace` is the platform's own; `hosts` are further ones of the platform, such as the database's. Their addresses
    are looked up where private addresses are permitted; on loopback there are none.
    """
    services = [f"{name}.{namespace}.svc" for name in (names.API, names.GATEWAY)]
    inside = [*services, "kubernetes.default.svc", *hosts] if private and not loopback else []
    foreign = await addresses_of(inside, lookups)
    return Guard(private=private, loopback=loopback, foreign_namespace=namespace, foreign=foreign)
