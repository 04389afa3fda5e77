"""A name server on a UDP port of this machine, used as a pod uses the cluster's; tests of lookups and egress use it."""

import asyncio
import struct
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import cast

from agentic_core.egress.lookups import NameServers

A, AAAA = 1, 28
NOERROR, NXDOMAIN = 0, 3


@dataclass
class NameServer(asyncio.DatagramProtocol):
    """It knows the names in `zone`, does not respond to names under `silent`, and denies that there are others."""

    zone: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    silent: str = "silent.test"
    questions: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    """Names that were asked for, with the type of the record."""
    port: int = 0

    @property
    def config(self) -> NameServers:
        """This server, with the search domains of a pod."""
        search = ("acme-default.svc.cluster.local", "svc.cluster.local", "cluster.local")
        return NameServers([f"127.0.0.1:{self.port}"], search, ndots=5)

    def asked(self, name: str) -> int:
        """How many questions about a name have arrived."""
        return sum(asked == name for asked, _ in self.questions)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        labels, at = [], 12
        while length := data[at]:
            labels.append(data[at + 1 : at + 1 + length].decode())
            at += 1 + length
        name, (kind,), end = ".".join(labels).lower(), struct.unpack(">H", data[at + 1 : at + 3]), at + 5
        self.questions.append((name, kind))
        if not f".{name}".endswith(f".{self.silent}"):
            addresses = [address for address in self.zone.get(name, ()) if (":" in address) == (kind == AAAA)]
            self._transport.sendto(_response(data[:end], addresses, known=name in self.zone), addr)


def _response(question: bytes, addresses: Iterable[str], *, known: bool) -> bytes:
    records = [ip_address(address).packed for address in addresses]
    flags = 0x8180 | (NOERROR if known else NXDOMAIN)
    head = question[:2] + struct.pack(">HHHHH", flags, 1, len(records), 0, 0)
    kinds = [(AAAA if len(packed) == 16 else A, packed) for packed in records]
    answers = [struct.pack(">HHHIH", 0xC00C, kind, 1, 0, len(packed)) + packed for kind, packed in kinds]
    return head + question[12:] + b"".join(answers)


@asynccontextmanager
async def name_server(**zone: list[str]) -> AsyncGenerator[NameServer]:
    """The server; in names of the keywords `_` stands for a dot."""
    server = NameServer({name.replace("_", "."): addresses for name, addresses in zone.items()})
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: server, ("127.0.0.1", 0))
    server.port = transport.get_extra_info("sockname")[1]
    try:
        yield server
    finally:
        transport.close()
