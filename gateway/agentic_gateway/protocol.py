"""The bounds of the gateway's requests, whose heads its settings measure; `main` serves with it."""

from agentic_core.web.protocol import BoundedProtocol


def bounded(most: int, *, seconds: float) -> type[BoundedProtocol]:
    """The protocol with these bounds."""
    return type("Bounded", (BoundedProtocol,), {"most": most, "seconds": seconds})
