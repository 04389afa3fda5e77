"""The layer that turns whatever was not handled into a problem document; outside of all others but the record."""

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from agentic_api.web.middleware import record
from agentic_core import telemetry
from agentic_core.db import faults
from agentic_core.errors import PlatformError, Unavailable
from agentic_core.web.body import Disconnected
from agentic_core.web.problems import response

log = telemetry.logger(__name__)


class Failures:
    """Responds when nothing else did."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Process one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            await self.app(scope, receive, send)
        except (ClientDisconnect, Disconnected):
            log.debug("client disconnected", request_id=record.of(scope).request_id)
        except Exception as error:  # noqa: BLE001 - the last place where an error becomes a response
            current = record.of(scope)
            problem = _problem(error, current.request_id, record.route(scope))
            if not current.status:
                await response(problem, request_id=current.request_id)(scope, receive, send)


def _problem(error: Exception, request_id: str, route: str) -> PlatformError:
    if isinstance(error, PlatformError):
        return error
    if faults.is_unavailable(error):
        log.warning("database unavailable", request_id=request_id, route=route, error=repr(error))
        unavailable = Unavailable("The database is unavailable; try again in a moment.")
        unavailable.headers["Retry-After"] = "1"
        return unavailable
    log.error("request failed", request_id=request_id, route=route, exc_info=error)
    return PlatformError(f"The request failed inside the API; its logs have the cause under request {request_id}.")
