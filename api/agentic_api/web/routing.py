"""How endpoints are declared: routers that parse JSON fast and strictly. Every domain makes its router here."""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from fastapi.security.base import SecurityBase
from starlette.convertors import StringConvertor, register_url_convertor

from agentic_api.web.middleware import record
from agentic_core import bounded_json
from agentic_core.bounded_json import ExcessiveJson
from agentic_core.errors import Invalid

MAX_VALUES: Final = 20_000
"""JSON values of a request body: more than any body of this API needs."""


class IdConvertor(StringConvertor):
    """`{name:id}` in a path: a segment without a colon, so that `/runs/{run_id:id}` leaves `/runs/x:cancel` alone."""

    regex = "[^/:]+"


register_url_convertor("id", IdConvertor())


class JsonRequest(Request):
    """A request whose JSON body is strict: UTF-8, no NaN, bounded in values and nesting, no NUL character (PostgreSQL
    has none)."""

    async def json(self) -> Any:
        """The body, parsed once."""
        if not hasattr(self, "_json"):
            body = await self.body()
            try:
                self._json = bounded_json.loads(body, max_values=MAX_VALUES)
            except ExcessiveJson as error:
                raise Invalid(f"The request body is refused: {error}.") from None
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
    """A route whose handler gets a `JsonRequest`, of a caller that was admitted before its body is read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, around FastAPI's own, which reads the body before it resolves dependencies."""
        handler = super().get_route_handler()
        gates: list[Any] = [one.call for one in self.dependant.dependencies if _is_gate(one.call)]

        async def strict(request: Request) -> Response:
            for gate in gates:
                await gate(request)
            response = await handler(JsonRequest(request.scope, request.receive))
            if memory := record.of(request.scope).memory:
                memory.shrink(len(getattr(response, "body", b"")))
            return response

        return strict


def _is_gate(dependency: object) -> bool:
    return isinstance(dependency, SecurityBase)


def router(prefix: str, *, tag: str) -> APIRouter:
    """The router of a domain."""
    return APIRouter(prefix=prefix, tags=[tag], route_class=JsonRoute)
