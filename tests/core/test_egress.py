"""URLs, names and addresses that tenants may and may not make a program connect to."""

import pytest

from agentic_core import names
from agentic_core.egress import ForbiddenAddress, Guard, InvalidUrl, Lookups, addresses_of, client, provider_guard, urls
from agentic_core.egress.lookups import NameNotResolved


@pytest.mark.parametrize(
    ("url", "private", "refused"),
    [
        ("https://93.184.215.14/v1", False, None),
        ("https://api.openai.com/v1", False, None),
        ("http://10.1.2.3/v1", False, "a private address"),
        ("http://10.1.2.3/v1", True, None),
        ("http://127.0.0.1:8080", True, "a loopback address"),
        ("http://[::1]:8080", True, "a loopback address"),
        ("http://[::ffff:127.0.0.1]", True, "a loopback address"),
        ("http://169.254.169.254/latest", True, "a cloud metadata address"),
        ("http://[fe80::1]/", True, "a link-local address"),
        ("http://agentic-api.agentic-system.svc:8080", True, "a Service of the platform"),
        ("http://agentic-api.agentic-system.svc.cluster.local.", True, "a Service of the platform"),
        ("http://AGENTIC-API.AGENTIC-SYSTEM:8080", True, "a Service of the platform"),
        ("http://model.agentic-system-dev.svc", True, None),
        ("http://agentic-api:8080", True, "a Service of the platform"),
        ("http://db-0.db.agentic-system:5432", True, "a Service of the platform"),
        ("http://db-0.db.agentic-system.svc.cluster.local", True, "a Service of the platform"),
        ("http://10-0-0-7.agentic-system.pod.cluster.local", True, "a Service of the platform"),
        ("http://agentic-system.example.com/v1", True, None),
        ("http://models.agentic-system.example.com/v1", True, None),
    ],
)
def test_literal_addresses_and_the_platforms_services(url: str, private: bool, refused: str | None) -> None:
    guard = Guard(private=private, foreign_namespace="agentic-system")
    if refused is None:
        guard.check_url(url)
    else:
        with pytest.raises(ForbiddenAddress, match=refused):
            guard.check_url(url)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("HTTPS://API.OpenAI.com/v1", "api.openai.com"),
        ("http://example.com.:8080/a", "example.com."),
        ("http://xn--bcher-kva.example/ü", "xn--bcher-kva.example"),
        ("http://my_service.tenant-a.svc:8000", "my_service.tenant-a.svc"),
        ("http://93.184.215.14:443?q=1", "93.184.215.14"),
        ("http://[2606:4700:0::1111]/", "2606:4700::1111"),
        ("http://1e100.net", "1e100.net"),
        ("http://3com/", "3com"),
    ],
)
def test_the_host_is_what_is_connected_to(url: str, host: str) -> None:
    assert urls.parse(url).raw_host == host


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://bücher.example/", "not written in ASCII; write an international name in its xn-- form"),
        ("http://①②⑦.⓪.⓪.①/", "not written in ASCII"),
        ("http://127。0。0。1/", "not written in ASCII"),
        ("http://127.1/", "nor an IPv4 address of four numbers"),
        ("http://2130706433/", "nor an IPv4 address"),
        ("http://0x7f.1/", "nor an IPv4 address"),
        ("http://0177.0.0.1/", "nor an IPv4 address"),
        ("http://127.0.0.1./", "nor an IPv4 address"),
        ("http://a.0x/", "nor an IPv4 address"),
        ("http://%31%32%37.0.0.1/", "neither a host name"),
        ("http://a..b/", "neither a host name"),
        ("http://-a.b/", "neither a host name"),
        ("http://a.b../", "neither a host name"),
        (f"http://{'a' * 64}.b/", "neither a host name"),
        (f"http://{'.'.join(['a' * 49] * 6)}/", "neither a host name"),
        ("http://[fe80::1%25lo]/", "without a zone"),
        ("http://[v1.x]/", "not an IPv6 address"),
        ("http://a.b:0/", "port|not a URL"),
        ("http://a.b:99999/", "not a URL"),
        ("http://a.b:\uff18\uff10/", "not written in ASCII|not a URL"),
        ("http://user@a.b/", "credentials"),
        ("http://@a.b/", "credentials"),
        ("ftp://a.b/", "only http and https"),
        ("//a.b/", "only http and https"),
        ("http:///v1", "with a host"),
        ("http://a.b\\@127.0.0.1/", "backslashes"),
        ("http://a.b\t/", "control characters"),
    ],
)
def test_what_has_another_spelling_is_refused(url: str, why: str) -> None:
    with pytest.raises(InvalidUrl, match=why):
        urls.parse(url)


def test_only_permitted_ports_are_called() -> None:
    guard = Guard(private=False, ports=frozenset({443, 80}))
    assert guard.check_url("https://a.example/").port == 443
    with pytest.raises(InvalidUrl, match="port 22 is not allowed; allowed are 80, 443"):
        guard.check_url("http://a.example:22/")


class Zone(Lookups):
    """Names that the test writes down."""

    def __init__(self, **known: str) -> None:
        super().__init__()
        self.known = {name.replace("_", "."): address for name, address in known.items()}

    async def addresses(self, host: str, *, tenant: str) -> list[str]:
        if host not in self.known:
            raise NameNotResolved("not known")
        return [self.known[host]]


async def test_a_name_is_as_good_as_its_addresses() -> None:
    lookups = Zone(localhost="127.0.0.1")
    with pytest.raises(ForbiddenAddress, match="localhost resolves to a loopback address"):
        await resolved("localhost", Guard(private=True), lookups)
    assert await resolved("localhost", Guard(private=True, loopback=True), lookups) == ["127.0.0.1"]


async def test_no_name_leads_to_an_address_of_the_platform() -> None:
    lookups = Zone(api_svc="10.96.0.7", models_example="10.96.0.7", other_example="10.9.9.9", here="127.0.0.1")
    foreign = await addresses_of(["api.svc", "gone.svc", "here"], lookups)
    assert list(map(str, foreign)) == ["10.96.0.7"]
    guard = Guard(private=True, foreign=foreign)
    for url in ("http://10.96.0.7:8080", "http://[::ffff:10.96.0.7]:8080", "http://[64:ff9b::a60:7]"):
        with pytest.raises(ForbiddenAddress, match="an address of the platform"):
            guard.check_url(url)
    with pytest.raises(ForbiddenAddress, match="an address of the platform"):
        await resolved("models.example", guard, lookups)
    assert await resolved("other.example", guard, lookups) == ["10.9.9.9"]


@pytest.mark.parametrize("host", ["db", "api.platform.svc", "kubernetes.default.svc"])
async def test_private_providers_are_not_the_platform_by_address_in_any_program(host: str) -> None:
    """The gateway and the operator's probes have one rule; of the two only the gateway knows the database."""
    zone = Zone(db="10.0.0.5", kubernetes_default_svc="10.0.0.1", **{f"{names.API}_platform_svc": "10.0.0.7"})
    guard = await provider_guard(private=True, namespace="platform", hosts=["db"], lookups=zone)
    address = {"db": "10.0.0.5", "api.platform.svc": "10.0.0.7", "kubernetes.default.svc": "10.0.0.1"}[host]
    with pytest.raises(ForbiddenAddress, match="an address of the platform"):
        guard.check_url(f"https://{address}:6443")
    guard.check_url("https://10.0.0.9:6443")


async def resolved(host: str, guard: Guard, lookups: Lookups) -> list[str]:
    """The addresses that a client of this guard would connect to."""
    token = client._tenant.set("acme")
    try:
        return [one["host"] for one in await client._GuardedResolver(guard, lookups).resolve(host, 80)]
    finally:
        client._tenant.reset(token)
