"""Parameters that several endpoints take."""

from typing import Annotated

from fastapi import Header, Path

AgentId = Annotated[
    str,
    Path(max_length=128, description="`name` in your default namespace, or `namespace.name`.", examples=["support"]),
]

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="Any unique text. A request repeated with the same key and body is done once and answered"
        " again, for some days.",
        examples=["2f1c0b9e-6f5c-4c55-9f0f-0b5a7a1d9b52"],
    ),
]
