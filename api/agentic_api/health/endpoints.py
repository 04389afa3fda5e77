"""`/healthz` and `/readyz`: public, for probes."""

import asyncio
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from agentic_api.context import Context
from agentic_api.web import openapi
from agentic_api.web.context import Ctx
from agentic_core.errors import Unavailable

router = APIRouter(tags=["health"])

CHECK_SECONDS = 2.0


class Health(BaseModel):
    """The process responds."""

    model_config = ConfigDict(frozen=True)

    status: Annotated[str, Field(examples=["ok"])] = "ok"


@router.get("/healthz")
async def healthz() -> Health:
    """Whether the process lives. It says nothing about what it needs: a restart would not bring that back."""
    return Health()


@router.get("/readyz", responses=openapi.public(503))
async def readyz(context: Ctx) -> Health:
    """Whether the process can serve: the database responds, the catalog is complete, and it is not shutting down."""
    missing = await _missing(context)
    if missing:
        raise Unavailable(f"Not ready: {'; '.join(missing)}.")
    return Health()


async def _missing(context: Context) -> list[str]:
    found = []
    if context.lifecycle.draining:
        found.append("shutting down")
    if not context.synced():
        found.append("the catalog of resources is not complete yet")
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await context.database.ready()
    except Exception as error:  # noqa: BLE001 - whatever it is, the database does not respond
        found.append(f"the database does not respond ({type(error).__name__})")
    return found
