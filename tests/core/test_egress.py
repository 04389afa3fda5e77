"""Addresses and names that tenants may and may not make a program connect to."""

import socket

import pytest

from agentic_core.egress import ForbiddenAddress, Guard, GuardedResolver, addresses_of


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
        guard.refuse_url(url)
    else:
        with pytest.raises(ForbiddenAddress, match=refused):
            guard.refuse_url(url)


async def test_a_name_is_as_good_as_its_addresses() -> None:
    resolver = GuardedResolver(Guard(private=True))
    with pytest.raises(ForbiddenAddress, match="a loopback address"):
        await resolver.resolve("localhost", 80)
    await resolver.close()
    permissive = GuardedResolver(Guard(private=True, loopback=True))
    found = await permissive.resolve("localhost", 80, socket.AF_INET)
    assert [one["host"] for one in found] == ["127.0.0.1"]
    await permissive.close()


async def test_no_name_leads_to_an_address_of_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {
        "agentic-api.agentic-system.svc": "10.96.0.7",
        "models.example.com": "10.96.0.7",
        "other.example": "10.9.9.9",
    }

    def getaddrinfo(host: str, port: int | None, *_: object, **__: object) -> list[object]:
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (known[host], port or 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    foreign = await addresses_of(["agentic-api.agentic-system.svc", "gone.agentic-system.svc"])
    guard = Guard(private=True, foreign=foreign)
    for url in ("http://10.96.0.7:8080", "http://[::ffff:10.96.0.7]:8080", "http://[64:ff9b::a60:7]"):
        with pytest.raises(ForbiddenAddress, match="an address of the platform"):
            guard.refuse_url(url)
    resolver = GuardedResolver(guard)
    with pytest.raises(ForbiddenAddress, match="an address of the platform"):
        await resolver.resolve("models.example.com", 80)
    assert [one["host"] for one in await resolver.resolve("other.example", 80)] == ["10.9.9.9"]
    await resolver.close()
