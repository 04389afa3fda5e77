"""How endpoints are declared: routers that parse JSON fast and strictly. Every domain makes its router here."""

from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.convertors import StringConvertor, register_url_convertor

from agentic_core.errors import Invalid


class IdConvertor(StringConvertor):
    """`{name:id}` in a path: a segment without a colon, so that `/runs/{run_id:id}` leaves `/runs/x:cancel` alone."""

    regex = "[^/:]+"


register_url_convertor("id", IdConvertor())


class JsonRequest(Request):
    """A request whose JSON body is strict: UTF-8, no NaN, bounded nesting, no NUL character (PostgreSQL has none)."""

    async def json(self) -> Any:
        """The body, parsed once."""
        if not hasattr(self, "_json"):
            body = await self.body()
            self._json = orjson.loads(body)
            if b"\\u0000" in body and has_nul(self._json):
                raise Invalid("The request body contains a NUL character (\\u0000), which cannot be stored; remove it.")
        return self._json


def has_nul(value: Any) -> bool:
    """Whether a text anywhere inside a JSON value contains a NUL character."""
    rest = [value]
    while rest:
        item = rest.pop()
        if isinstance(item, str) and "\0" in item:
            return True
        if isinstance(item, dict):
            rest += [*item, *item.values()]
        elif isinstance(item, list):
            rest += item
    return False


class JsonRoute(APIRoute):
    """A route whose handler gets a `JsonRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, around FastAPI's own."""
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(JsonRequest(request.scope, request.receive))

        return strict


def router(prefix: str, *, tag: str) -> APIRouter:
    """The router of a domain."""
    return APIRouter(prefix=prefix, tags=[tag], route_class=JsonRoute)
