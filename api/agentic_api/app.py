"""The REST api as an ASGI application: `create_app` builds it around a composition; `main` and tests call it."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from agentic_api.agents import endpoints as agents
from agentic_api.context import Context
from agentic_api.conversations import endpoints as conversations
from agentic_api.docs import endpoints as docs
from agentic_api.health import endpoints as health
from agentic_api.keys import endpoints as keys
from agentic_api.runs import endpoints as runs
from agentic_api.settings import ApiSettings
from agentic_api.tenants import endpoints as tenants
from agentic_api.web import openapi, problems
from agentic_api.web.middleware import record
from agentic_api.web.middleware.bodies import BodyLimit
from agentic_api.web.middleware.deadline import Deadline
from agentic_api.web.middleware.failures import Failures
from agentic_api.web.middleware.record import Recording
from agentic_api.web.middleware.slow_readers import SlowReaders
from agentic_core.errors import Forbidden
from agentic_core.web.metrics import HttpMetrics
from agentic_core.web.problems import response

Composition = Callable[[], AbstractAsyncContextManager[Context]]
"""Opens everything that the process needs and closes it at the end."""


class Application(FastAPI):
    """FastAPI with the platform's errors in its OpenAPI document."""

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if self.openapi_schema is None:
            self.openapi_schema = openapi.complete(super().openapi())
        return self.openapi_schema


def create_app(settings: ApiSettings, metrics: HttpMetrics, composition: Composition) -> FastAPI:
    """The application. Its context exists from start-up to shutdown."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with composition() as context:
            app.state.context = context
            yield

    app = Application(
        title="Agentic Platform",
        version="1",
        summary="Create agents, run them, read what they said.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
        middleware=_middleware(settings, metrics),
        telemetry={"metrics": False, "logs": False, "operation_spans": False},
    )
    problems.install(app)
    app.add_exception_handler(Forbidden, _forbidden)
    for domain in (runs, agents, conversations, keys, tenants, health, docs):  # the most used first: routes are a list
        app.include_router(domain.router)
    return app


async def _forbidden(request: Request, error: Exception) -> Response:
    """Refuse, and note it in the audit log."""
    context: Context = request.app.state.context
    caller = record.of(request.scope).caller
    known = error if isinstance(error, Forbidden) else Forbidden("This is not allowed.")
    if caller is not None:
        context.http_metrics.denied(known.code)
        await context.audit.denied(caller, f"{request.method} {request.scope['route'].path}", code=known.code)
    return response(known, request_id=problems.request_id(request))


def _middleware(settings: ApiSettings, metrics: HttpMetrics) -> list[Middleware]:
    """From the outside in."""
    cors = Middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "X-Request-ID"],
        expose_headers=["X-Request-ID", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "Retry-After"],
        max_age=600,
    )
    return [
        Middleware(Recording, metrics=metrics),
        *([cors] if settings.cors_origins else []),
        Middleware(Failures),
        Middleware(SlowReaders),
        Middleware(Deadline, seconds=settings.request_timeout),
        Middleware(BodyLimit, max_bytes=settings.max_body_bytes, seconds=settings.body_timeout),
    ]
