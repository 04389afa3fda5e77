"""The context of the process, for endpoints."""

from typing import Annotated

from fastapi import Depends, Request

from agentic_api.context import Context


async def get_context(request: Request) -> Context:
    """The context that `app` made at start."""
    found = request.app.state.context
    assert isinstance(found, Context)  # noqa: S101 - set before the first request
    return found


Ctx = Annotated[Context, Depends(get_context)]
