"""Which addresses may be connected to, in all the spellings that reach them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentic_core.addresses import IPAddress, check, embedded
from tests.requirements import requirement

PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "2002:808:808::", "64:ff9b::808:808", "::8.8.8.8"]
PRIVATE = [
    "127.0.0.1",
    "127.255.255.254",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "0.1.2.3",
    "192.0.2.1",
    "198.18.0.1",
    "::1",
    "fc00::1",
    "fd12:3456::1",
    "fec0::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::127.0.0.1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::a00:1",
    "2001:0:4136:e378:8000:63bf:f5ff:fffe",
]
NEVER = [
    "0.0.0.0",  # noqa: S104 - refused
    "169.254.169.254",
    "169.254.170.2",
    "169.254.1.1",
    "100.100.100.200",
    "168.63.129.16",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "ff02::1",
    "fd00:ec2::254",
    "::ffff:169.254.169.254",
    "::169.254.169.254",
    "2002:a9fe:a9fe::1",
    "64:ff9b::a9fe:a9fe",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_pass(address: str) -> None:
    assert check(address) is None


@requirement("input-sanitization")
@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_pass_only_when_allowed(address: str) -> None:
    assert check(address)
    assert check(address, allow_private=True) is None


@pytest.mark.parametrize("address", NEVER)
def test_some_addresses_never_pass(address: str) -> None:
    assert check(address)
    assert check(address, allow_private=True)


@given(st.ip_addresses())
def test_what_is_private_is_never_public(address: IPAddress) -> None:
    ip = embedded(address) or address
    if check(address) is None:
        assert ip.is_global
        assert not ip.is_multicast


@given(st.ip_addresses(v=4))
def test_an_embedded_address_is_judged_like_itself(address: IPAddress) -> None:
    for spelling in (f"::ffff:{address}", f"64:ff9b::{address}"):
        assert check(spelling) == check(str(address))
