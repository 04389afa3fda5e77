"""Which IP addresses a program may connect to on behalf of a tenant: the pure half of every guard against SSRF.

`agentic_core.egress.Guard` calls it for each address of a host name, and again for the address of each socket.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

IPAddress = IPv4Address | IPv6Address

METADATA = frozenset(
    map(ip_address, ("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "fd00:ec2::254"))
)
"""Addresses where clouds answer with credentials; never allowed, private or not."""

SHARED_SPACE = ip_network("100.64.0.0/10")
"""RFC 6598: not global, yet not private for the standard library; pods and carriers use it."""

NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
COMPATIBLE = IPv6Network("::/96")


def check(address: str | IPAddress, *, allow_private: bool = False) -> str | None:
    """Why the address must not be connected to, None when it may.

    With `allow_private`, private and loopback addresses pass; metadata services, link-local, multicast, reserved and
    unspecified addresses never do.
    """
    ip = ip_address(address.partition("%")[0]) if isinstance(address, str) else address
    inner = embedded(ip)
    if inner is not None:
        return check(inner, allow_private=allow_private)
    never = _never(ip)
    if never or allow_private:
        return never
    return _private(ip)


def embedded(ip: IPAddress) -> IPv4Address | None:
    """The IPv4 address that an IPv6 address reaches in the end: mapped, compatible, 6to4, Teredo or NAT64."""
    if isinstance(ip, IPv4Address):
        return None
    if ip.ipv4_mapped or ip.sixtofour:
        return ip.ipv4_mapped or ip.sixtofour
    if ip.teredo:
        return ip.teredo[1]
    if any(ip in network for network in NAT64):
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    if ip in COMPATIBLE and int(ip) > 1:
        return IPv4Address(int(ip))
    return None


def _never(ip: IPAddress) -> str | None:
    if ip in METADATA:
        return "a cloud metadata address"
    if ip.is_unspecified:
        return "an unspecified address"
    if ip.is_multicast:
        return "a multicast address"
    if ip.is_link_local:
        return "a link-local address"
    if ip.is_reserved and not ip.is_loopback:
        return "a reserved address"
    return None


def _private(ip: IPAddress) -> str | None:
    if ip.is_loopback:
        return "a loopback address"
    if ip.is_private or ip in SHARED_SPACE or (isinstance(ip, IPv6Address) and ip.is_site_local):
        return "a private address"
    return None if ip.is_global else "not a public address"
