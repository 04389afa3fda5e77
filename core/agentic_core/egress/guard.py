"""The rule for where a program may connect on behalf of a tenant: which URLs, host names and addresses.

`GuardedClient` applies it to the URL, to all addresses of its host name, and to the address of each socket.
"""

from ipaddress import ip_address

from cachetools import LRUCache
from yarl import URL

from agentic_core import addresses
from agentic_core.addresses import IPAddress
from agentic_core.egress import urls

MAX_PERMITTED = 1024
"""URLs whose check is cached: it depends on nothing but the text. Providers are called at the same few URLs."""


class ForbiddenAddress(OSError):
    """The address must not be connected to."""


class Guard:
    """The rule for addresses and names."""

    def __init__(
        self,
        *,
        private: bool,
        loopback: bool = False,
        foreign_namespace: str | None = None,
        foreign: frozenset[IPAddress] = frozenset(),
        ports: frozenset[int] | None = None,
    ) -> None:
        """`ports` are the only ones that may be called; None permits all."""
        self._private = private
        self._loopback = loopback
        self._foreign_namespace = foreign_namespace
        self._foreign = foreign
        self._ports = ports
        self._permitted: LRUCache[str, URL] = LRUCache(MAX_PERMITTED)

    def refuse(self, address: str, *, said: str = "it leads to") -> None:
        """Raises `ForbiddenAddress`, which says that `said` a forbidden one, unless the address may be connected to."""
        try:
            ip = ip_address(address.partition("%")[0])
        except ValueError:
            raise ForbiddenAddress(f"{said} what is no IP address") from None
        real = addresses.embedded(ip) or ip
        if real in self._foreign:
            reason: str | None = "an address of the platform"
        elif real.is_loopback:
            reason = None if self._loopback else "a loopback address"
        else:
            reason = addresses.check(ip, allow_private=self._private)
        if reason:
            raise ForbiddenAddress(f"{said} {reason}")

    def check_url(self, text: str) -> URL:
        """The URL to connect to, parsed once; what its name resolves to is checked when that is known.

        Raises `urls.InvalidUrl`, or `ForbiddenAddress` for an address or a Service of the platform.
        """
        url = self._permitted.get(text)
        if url is None:
            url = self._permitted[text] = self._check(text)
        return url

    def _check(self, text: str) -> URL:
        url = urls.parse(text)
        if self._ports is not None and url.port not in self._ports:
            allowed = ", ".join(map(str, sorted(self._ports)))
            raise urls.InvalidUrl(f"port {url.port} is not allowed; allowed are {allowed}")
        host = (url.raw_host or "").removesuffix(".")
        if not urls.is_name(host):
            self.refuse(host)
        elif self._foreign_namespace and _leads_into(self._foreign_namespace, host):
            raise ForbiddenAddress("it leads to a Service of the platform")
        return url


def _leads_into(namespace: str, host: str) -> bool:
    """Whether the cluster's DNS may find the host in this namespace, which is that of the program itself.

    A name without dots is looked for there first. Services and their pods are `[pod.]service.namespace[.svc…]`, pods
    alone are `address.namespace.pod…`.
    """
    labels = host.lower().split(".")
    if len(labels) == 1:
        return host != "localhost"
    places = [at for at, label in enumerate(labels) if at and label == namespace]
    return any(labels[at + 1 : at + 2] in ([], ["svc"], ["pod"]) for at in places)
