"""No program can be made to connect inside, whatever the host of a URL means to one parser or to another."""

# ruff: noqa: RUF001, S104 - hosts that are meant to be misread

import ipaddress
import random
import re
import socket
import unicodedata
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, ip_address
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from agentic_core import addresses
from agentic_core.egress import ForbiddenAddress, Guard, GuardedClient, InvalidUrl, refusal, urls
from agentic_crds.model_provider import ModelProviderSpec
from agentic_runtime.tools.http import EgressPolicy, GuardedHttp
from tests.requirements import requirement
from tests.security.doors import Door, Names, doors, inside, outcome

LOOPBACK = [
    *(
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
    ),
    *("127。0。0。1", "１２７.０.０.１", "①②⑦.⓪.⓪.①", "①②⑦。⓪。⓪。①", "127\uff0e0\uff0e0\uff0e1", "𝟏𝟐𝟕.𝟎.𝟎.𝟏"),
    *("%31%32%37.0.0.1", "127%2e0%2e0%2e1", "127.0.0.1%2e", "127.0.0.1%00", "127.0.0.1%20"),
    *("localhost", "LOCALHOST", "localhost.", "ⓛocalhost", "ｌｏｃａｌｈｏｓｔ", "localho\u00adst"),
    *("0", "0.0.0.0", "[::]", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]"),
    *(
        "[::1%25lo]",
        "[::1%lo]",
        "user@127.0.0.1",
        "a.example@127.0.0.1",
        "a.example\\@127.0.0.1",
        "127.0.0.1#@a.example",
    ),
]
"""Hosts that some parser takes for this machine."""
REDIRECTS = [
    *("127.0.0.2", "127.2", "2130706434", "0x7f.2", "１２７.０.０.２", "①②⑦.⓪.⓪.②", "127。0。0。2", "%31%32%37.0.0.2"),
    *("[::ffff:127.0.0.2]", "[::ffff:7f00:2]", "inside.example"),
]


@requirement("input-sanitization")
async def test_no_spelling_of_a_loopback_address_is_connected_to() -> None:
    async with inside() as server, doors(server.port) as clients:
        for host in LOOPBACK:
            for program, door in clients.items():
                result = await outcome(door, f"http://{host}:{server.port}/v1")
                assert server.connections == 0, (program, host, result)
                assert "SECRET" not in result


async def test_the_same_clients_reach_the_server_where_loopback_addresses_are_permitted() -> None:
    async with inside() as server, doors(server.port, open_loopback=True) as clients:
        for count, (program, door) in enumerate(clients.items(), 1):
            result = await outcome(door, f"http://127.0.0.1:{server.port}/v1")
            assert server.connections == count, (program, result)


@requirement("input-sanitization")
@pytest.mark.parametrize("host", REDIRECTS)
async def test_no_redirect_leads_inside(host: str) -> None:
    """The first page is one that may be read; what it redirects to may not."""
    async with inside("127.0.0.2") as server, inside("127.0.0.1", server.port) as page:
        guard = Guard(private=True, loopback=True, foreign=frozenset({ip_address("127.0.0.2")}))
        http = GuardedHttp(EgressPolicy())  # whose own guard forbids the page as well
        names = Names(public_example="127.0.0.1", inside_example="127.0.0.2")
        await http._client.close()
        http._client = GuardedClient(guard, lookups=names)
        page.location = f"//{host}:{server.port}/inside"
        result = await outcome(_get(http), f"http://public.example:{server.port}/")
        await http.close()
    assert page.connections == 1, result
    assert server.connections == 0, result


@pytest.mark.parametrize("host", ["127.0.0.1", "①②⑦.⓪.⓪.①", "[::ffff:127.0.0.1]", "name.example"])
async def test_a_socket_is_refused_by_its_own_address_whatever_was_checked_before(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if a check of URLs or of names were passed: the connector alone decides."""
    guard = Guard(private=True)
    monkeypatch.setattr(guard, "check_url", URL)
    monkeypatch.setattr("agentic_core.egress.client._GuardedResolver.resolve", _unguarded)
    async with inside() as server, GuardedClient(guard) as http:
        with pytest.raises(OSError, match=r".") as raised:
            await http.request("GET", f"http://{host}:{server.port}/", tenant="acme")
        assert str(refusal(raised.value)) == "it leads to a loopback address"
        assert server.connections == 0


async def test_a_name_is_decided_on_anew_for_each_connection() -> None:
    """Its name server gives a permitted address first, then one inside."""
    names = Names(rebind_example="127.0.0.1")
    guard = Guard(private=True, loopback=True, foreign=frozenset({ip_address("127.0.0.2")}))
    async with (
        inside() as first,
        inside("127.0.0.2", first.port) as second,
        GuardedClient(guard, lookups=names) as http,
    ):
        url = f"http://rebind.example:{first.port}/"
        async with await http.request("GET", url, tenant="acme") as response:
            assert await response.text() == "SECRET"
        names.known["rebind.example"] = "127.0.0.2"
        with pytest.raises(OSError, match=r".") as raised:
            await http.request("GET", url, tenant="acme")
        assert str(refusal(raised.value)) == "rebind.example resolves to an address of the platform"
        assert (first.connections, second.connections) == (1, 0)


@pytest.mark.parametrize(
    "host", ["①②⑦.⓪.⓪.①", "bücher.example", "127。0。0。1", "%31.example", "a b.example", "[::1%25lo]"]
)
def test_admission_refuses_hosts_that_are_not_ascii(host: str) -> None:
    spec = {"type": "openaiCompatible", "baseUrl": f"https://{host}/v1", "models": [{"name": "m"}]}
    with pytest.raises(ValueError, match="baseUrl"):
        ModelProviderSpec.model_validate(spec)


FORBIDDEN = st.one_of(
    st.ip_addresses(network="127.0.0.0/8"),
    st.ip_addresses(network="10.0.0.0/8"),
    st.ip_addresses(network="::ffff:0:0/96"),
    st.sampled_from(sorted(addresses.METADATA, key=str)),
    st.sampled_from([ip_address("0.0.0.0"), ip_address("::1"), ip_address("fe80::1")]),
)


@st.composite
def spelled(draw: st.DrawFn) -> str:
    """A forbidden address as somebody may write it who tries to be misunderstood."""
    address = draw(FORBIDDEN)
    ip4 = address if isinstance(address, IPv4Address) else addresses.embedded(address)
    texts = [str(address) if address.version == 4 else f"[{address}]"]
    if ip4 is not None:
        number, (*_, last) = int(ip4), ip4.packed
        texts += [str(number), hex(number), oct(number).replace("o", ""), f"{ip4.packed[0]}.{number & 0xFFFFFF}"]
        texts += [".".join(map(hex, ip4.packed)), ".".join(f"0{part:o}" for part in ip4.packed), f"{ip4}.", f"0{last}"]
    disguise = random.Random(draw(st.integers(0, 2**32)))
    share = draw(st.sampled_from([0.0, 0.2, 1.0]))
    return "".join(
        disguise.choice(LOOKALIKES[character]) if character in LOOKALIKES and disguise.random() < share else character
        for character in draw(st.sampled_from(texts))
    )


def _lookalikes() -> Iterator[tuple[str, list[str]]]:
    for plain in "0123456789abcdefx.:":
        same = [chr(code) for code in range(128, 0x20000) if unicodedata.normalize("NFKC", chr(code)) == plain]
        yield plain, [*same, f"%{ord(plain):02x}"]


LOOKALIKES = dict(_lookalikes())
LOOKALIKES["."] += ["\u3002", "\uff61", "\uff0e"]


def readings(host: str) -> set[str]:
    """What the parsers of this project, and those below them, make of a host."""
    found = {host, host.rstrip("."), unquote(host), unicodedata.normalize("NFKC", host), re.sub("[。．｡]", ".", host)}
    parsers: list[Callable[[], str | None]] = [
        lambda: URL(f"http://{host}/").raw_host,
        lambda: URL(f"http://{host}/").host,
        lambda: urlsplit(f"http://{host}/").hostname,
        lambda: host.encode("idna").decode(),
    ]
    for read in parsers:
        try:
            found.add(read() or "")
        except ValueError:
            continue
    return found | {unicodedata.normalize("NFKC", unquote(text)) for text in found}


def as_addresses(text: str) -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The addresses that the text is to `ipaddress`, to C's `inet_aton`, and to `getaddrinfo`."""
    plain = text.strip("[]").partition("%")[0]
    for read in (ip_address, lambda text: ip_address(socket.inet_aton(text))):
        try:
            yield read(plain)
        except (OSError, ValueError):
            continue


@example("①②⑦.⓪.⓪.①")
@example("127.1")
@given(st.one_of(spelled(), st.text(max_size=40), st.text("0123456789.xabcdef[]:%@。①", max_size=20)))
def test_what_any_parser_takes_for_a_forbidden_address_is_refused(host: str) -> None:
    found = {address for text in readings(host) for address in as_addresses(text)}
    if any(addresses.check(address) for address in found):
        with pytest.raises((InvalidUrl, ForbiddenAddress)):
            Guard(private=False).check_url(f"http://{host}/")


@given(st.one_of(spelled(), st.text(max_size=40), st.from_regex(r"[a-zA-Z0-9._-]{1,40}", fullmatch=True)))
def test_an_accepted_host_is_the_text_itself(host: str) -> None:
    try:
        url = urls.parse(f"http://{host}/")
    except InvalidUrl:
        return
    literal = host.startswith("[")
    assert str(ip_address(host[1:-1])) == url.raw_host if literal else host.lower() == url.raw_host


def _get(http: GuardedHttp) -> Door:
    async def get(url: str) -> str:
        return (await http.get(url, max_bytes=1000, seconds=5)).text

    return get


async def _unguarded(_self: object, host: str, port: int = 0, _family: object = None, **_: object) -> list[object]:
    result = {"hostname": host, "host": "127.0.0.1", "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
    return [result]
