"""The caller of an endpoint: authenticated, rate-limited, of a sufficient role.

Every endpoint takes one of the aliases at the end, except the few public ones. It is one dependency without further
ones, because every request pays for it.
"""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from agentic_api import errors
from agentic_api.context import Context
from agentic_api.identity.principal import Caller, PlatformAdmin, Principal
from agentic_api.memory import BODY_COPIES, HANDLING_BYTES
from agentic_api.web.middleware import record
from agentic_core.auth.api_keys import Role
from agentic_core.db import PLATFORM_TENANT
from agentic_core.errors import Forbidden, RateLimited, Unauthenticated
from agentic_core.web import body


class Authenticated(SecurityBase):
    """Any valid credential."""

    def __init__(self) -> None:
        self.model = HTTPBearer(bearerFormat="agk_<id>_<secret>", description="An API key of the platform.")
        self.scheme_name = "ApiKey"

    async def __call__(self, request: Request) -> Caller:
        """The caller, once its credential, its rate and its scopes are good, and there is memory for its request.

        The route calls it before the body is read, FastAPI again for the endpoint's argument.
        """
        current = record.of(request.scope)
        if not current.admitted:
            current.caller = await self._admit(request)
            await self._reserve(request, current.caller)
            current.admitted = True
        assert current.caller is not None  # noqa: S101 - set above, at the latest
        return current.caller

    async def _admit(self, request: Request) -> Caller:
        context: Context = request.app.state.context
        try:
            caller = await context.authenticator.caller(request.headers.get("authorization"))
        except Unauthenticated as error:
            context.http_metrics.denied(error.code)
            raise
        record.of(request.scope).caller = caller
        self._limit(context, request, caller)
        if caller.scopes is not None:
            _check_scopes(caller, request.scope["route"].tags)
        return caller

    async def _reserve(self, request: Request, caller: Caller) -> None:
        """Take memory for the request, until it is over."""
        context: Context = request.app.state.context
        current = record.of(request.scope)
        tenant_id = PLATFORM_TENANT if isinstance(caller, PlatformAdmin) else caller.tenant_id
        current.memory = await context.memory.take(tenant_id, self._needed(request, context))
        current.at_end.append(current.memory.free)

    def _needed(self, request: Request, context: Context) -> int:
        headers = request.scope["headers"]
        if not body.expected(headers):
            return HANDLING_BYTES
        return HANDLING_BYTES + BODY_COPIES * (body.declared(headers) or context.max_body_bytes)

    def _limit(self, context: Context, request: Request, caller: Caller) -> None:
        """Count the request for the key and for the tenant, whose keys are many; the response says what is tighter."""
        counted = {"This key": context.limiter.take(caller.subject)}
        if isinstance(caller, Principal):
            counted["All keys of this tenant together"] = context.tenant_limiter.take(str(caller.tenant_id))
        decisions = [(who, decision) for who, decision in counted.items() if decision is not None]
        if not decisions:
            return
        who, tightest = min(decisions, key=lambda each: (each[1].allowed, each[1].remaining))
        record.of(request.scope).headers += tightest.headers()
        if not tightest.allowed:
            context.http_metrics.denied(RateLimited.code)
            raise RateLimited(
                f"{who} may make {tightest.limit} requests a minute; try again in {tightest.retry_after:.1f} s.",
                retry_after=tightest.retry_after,
            )


class InTenant(Authenticated):
    """A principal of a tenant, of at least this role."""

    def __init__(self, role: Role, *, waits: bool = False) -> None:
        """With `waits`, the endpoint bounds its time itself: it waits for a run."""
        super().__init__()
        self.role = role
        self.waits = waits

    async def __call__(self, request: Request) -> Principal:
        """The caller inside its tenant."""
        caller = await super().__call__(request)
        assert isinstance(caller, Principal)  # noqa: S101 - see below
        return caller

    async def _admit(self, request: Request) -> Principal:
        caller = await super()._admit(request)
        if isinstance(caller, PlatformAdmin):
            raise errors.NoTenant(
                "This key is a platform admin's, who belongs to no tenant. Make a key of a tenant with"
                " POST /api/v1/keys and {tenant, name, role}, and use that."
            )
        if not caller.may(self.role):
            raise Forbidden(f"This needs the role {self.role} or more; this credential has {caller.shown_roles}.")
        if self.waits:
            self._wait(request, caller)
        return caller

    def _needed(self, request: Request, context: Context) -> int:
        """What waits for a run holds nothing but its body; its response is that of the run, which is shared."""
        return super()._needed(request, context) - HANDLING_BYTES * self.waits

    def _wait(self, request: Request, caller: Principal) -> None:
        context: Context = request.app.state.context
        current = record.of(request.scope)
        current.at_end.append(context.runs.replica.slots.follower(caller.tenant_id))
        current.unlimited()


def _check_scopes(caller: Caller, tags: Sequence[str]) -> None:
    if not any(map(caller.in_scope, tags)):
        granted = ", ".join(sorted(caller.scopes or ())) or "nothing"
        raise Forbidden(f"This needs a credential for {' or '.join(tags)}; this one is for {granted}.")


AnyCaller = Annotated[Caller, Depends(Authenticated())]
Viewer = Annotated[Principal, Depends(InTenant(Role.VIEWER))]
Invoker = Annotated[Principal, Depends(InTenant(Role.INVOKER))]
WaitingViewer = Annotated[Principal, Depends(InTenant(Role.VIEWER, waits=True))]
WaitingInvoker = Annotated[Principal, Depends(InTenant(Role.INVOKER, waits=True))]
Developer = Annotated[Principal, Depends(InTenant(Role.DEVELOPER))]
