"""The client of one API server: get, list, apply, create, replace, patch, delete. It has the protocol, no policy.

The operator's engine, the watches and the api's resource store call it.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from agentic_core.cluster import errors
from agentic_core.cluster.credentials import Credentials
from agentic_core.cluster.kinds import Kind, Object, Ref, ref_of
from agentic_core.cluster.transport import ApiRequest, Options, Transport

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
UNAVAILABLE = 503
PARTIAL = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1"


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a list."""

    items: list[Object]
    resource_version: str
    """Of the whole list, the same on each page: a watch continues from it."""


class Cluster:
    """One API server. Use it as an async context manager, or call `close`."""

    def __init__(self, credentials: Credentials, options: Options | None = None) -> None:
        options = options or Options()
        self.transport = Transport(credentials, options)
        self._page_size = options.page_size

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self.transport.close()

    async def get(self, ref: Ref, *, metadata_only: bool = False) -> Object | None:
        """The object, or None."""
        headers = {"Accept": PARTIAL.format("")} if metadata_only else {}
        request = ApiRequest(method="GET", path=ref.path, verb="get", kind=ref.kind.name, headers=headers)
        try:
            return await self.transport.call(request)
        except errors.ObjectNotFound:
            return None

    async def list(self, kind: Kind, namespace: str | None = None, *, labels: str = "") -> list[Object]:
        """All objects of a kind."""
        return [item async for page in self.pages(kind, namespace, labels=labels) for item in page.items]

    async def pages(
        self, kind: Kind, namespace: str | None = None, *, labels: str = "", metadata_only: bool = False
    ) -> AsyncIterator[ListPage]:
        """All objects of a kind in pages, so that ten thousand of them need not be in memory at once."""
        headers = {"Accept": PARTIAL.format("List")} if metadata_only else {}
        params = {"limit": str(self._page_size)} | ({"labelSelector": labels} if labels else {})
        while True:
            request = ApiRequest(
                method="GET", path=kind.path(namespace), verb="list", kind=kind.name, headers=headers, params=params
            )
            body = await self.transport.call(request)
            items: list[Object] = body.get("items") or []
            for item in items:
                item |= {"apiVersion": kind.api_version, "kind": kind.name}  # items of a list lack them
            yield ListPage(items, body["metadata"]["resourceVersion"])
            if not (more := body["metadata"].get("continue")):
                return
            params = params | {"continue": more}

    async def serves(self, api_version: str) -> bool:
        """Whether the API server has this API. One that it has but that does not respond at the moment counts."""
        request = ApiRequest(method="GET", path=f"/apis/{api_version}", verb="discover")
        try:
            await self.transport.call(request)
        except (errors.ObjectNotFound, errors.RequestForbidden):
            return False
        except errors.ServerError as failure:
            if failure.http_status != UNAVAILABLE:
                raise
        return True

    async def apply(self, obj: Object, manager: str, *, force: bool = True) -> Object:
        """Server-side apply: create the object or set the fields that it names. Returns what is stored."""
        return await self._apply(obj, manager, "apply", force=force)

    async def apply_status(self, obj: Object, manager: str, *, force: bool = True) -> Object:
        """Server-side apply of the status. With metadata.uid, ObjectConflict for a successor of the same name."""
        return await self._apply(obj, manager, "apply_status", force=force)

    async def _apply(self, obj: Object, manager: str, verb: str, *, force: bool) -> Object:
        ref = ref_of(obj)
        request = ApiRequest(
            method="PATCH",
            path=f"{ref.path}/status" if verb == "apply_status" else ref.path,
            verb=verb,
            kind=ref.kind.name,
            headers={"Content-Type": APPLY},
            params={"fieldManager": manager, "force": "true" if force else "false"},
            body=obj,
        )
        return await self.transport.call(request)

    async def create(self, obj: Object, manager: str) -> Object:
        """Create the object; ObjectConflict when it exists."""
        ref = ref_of(obj)
        path, params = ref.kind.path(ref.namespace), {"fieldManager": manager}
        request = ApiRequest(method="POST", path=path, verb="create", kind=ref.kind.name, params=params, body=obj)
        return await self.transport.call(request)

    async def replace(self, obj: Object, manager: str) -> Object:
        """Replace the object; ObjectConflict when its metadata.resourceVersion is not the newest."""
        ref, params = ref_of(obj), {"fieldManager": manager}
        request = ApiRequest(method="PUT", path=ref.path, verb="replace", kind=ref.kind.name, params=params, body=obj)
        return await self.transport.call(request)

    async def patch(self, ref: Ref, change: Mapping[str, Any], manager: str) -> Object:
        """Merge patch; with metadata.resourceVersion in `change` ObjectConflict when it is not the newest."""
        request = ApiRequest(
            method="PATCH",
            path=ref.path,
            verb="patch",
            kind=ref.kind.name,
            headers={"Content-Type": MERGE},
            params={"fieldManager": manager},
            body=change,
        )
        return await self.transport.call(request)

    async def delete(
        self,
        ref: Ref,
        *,
        uid: str | None = None,
        propagation: Literal["Background", "Foreground", "Orphan"] = "Background",
    ) -> bool:
        """Delete the object, only the one with this uid if given; False when it was gone or another one already."""
        body: dict[str, Any] = {"propagationPolicy": propagation}
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            request = ApiRequest(method="DELETE", path=ref.path, verb="delete", kind=ref.kind.name, body=body)
            await self.transport.call(request)
        except (errors.ObjectNotFound, errors.ObjectConflict):
            return False
        return True
