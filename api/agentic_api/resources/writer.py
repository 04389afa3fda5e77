"""Writes of one kind of custom resource through the API server, by server-side apply. Services of domains call it.

What other field managers own stays theirs: a change of such a field is a conflict, never an overwrite.
"""

from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from agentic_api.audit import Audit
from agentic_api.catalog.catalog import Catalog, NamespacedName, unknown
from agentic_api.errors import AlreadyExists, GitOpsOnly, PreconditionFailed
from agentic_api.identity.principal import Principal
from agentic_core import names
from agentic_core.cluster import Cluster, errors
from agentic_core.cluster.kinds import Object, Ref, custom
from agentic_core.errors import Conflict, Forbidden, Invalid, NotFound, PlatformError, Unavailable
from agentic_crds import Resource
from agentic_crds.base import API_VERSION

MAX_ATTEMPTS = 5
FIELD_CONFLICT = "Apply failed with"
"""How the API server begins its complaint about fields of other managers."""


@dataclass(frozen=True)
class Draft:
    """What a resource shall be."""

    spec: Object
    """Only what is set: fields that are left out become the defaults, or stay those of other managers."""
    beside: Sequence[Object] = ()
    """Objects that it refers to and owns; the writer adds its namespace and the owner reference."""


Edit = Callable[[Object], Draft]
"""Makes a draft from the current resource. It is called again when another write came between."""


class ResourceWriter:
    """Creates, changes and deletes resources of `kind` for callers of a tenant."""

    def __init__(
        self,
        kind: type[Resource],
        cluster: Cluster | None,
        catalog: Catalog,
        *,
        audit: Audit,
        beside: Callable[[Object], Collection[Ref]] = lambda _resource: (),
    ) -> None:
        """Without a `cluster` every write is refused: resources come from Git alone.

        `beside` names the objects that drafts put beside a resource earlier: what the next draft lacks is deleted.
        """
        self._kind = kind
        self._cluster = cluster
        self._catalog = catalog
        self._audit = audit
        self._beside = beside

    async def create(self, caller: Principal, name: str, draft: Draft) -> Object:
        """Create the resource `namespace.name`, or `name` in the default namespace; AlreadyExists when it is there."""
        cluster = self._writable()
        key = self._catalog.locate(self._kind, caller, name)
        async with self._audit.intended(caller, self._action("create"), target=str(key)) as done:
            with self._explained(key):
                created = await cluster.create(self._manifest(key, draft), names.API_MANAGER)
                created = await self._as_applied(cluster, created)
                for obj in draft.beside:
                    await cluster.apply(_owned(obj, created), names.API_MANAGER)
            done["generation"] = _generation(created)
        self._catalog.stores[self._kind].put(created)
        return created

    async def change(self, caller: Principal, name: str, edit: Edit, *, version: str | None) -> Object:
        """Give a resource a new spec; with `version` (its generation) only if it is still the one the caller saw."""
        cluster = self._writable()
        key = _key(self._catalog.find(self._kind, caller, name))
        async with self._audit.intended(caller, self._action("update"), target=str(key)) as done:
            changed = await self._change(cluster, key, edit, version=version)
            done["generation"] = _generation(changed)
        self._catalog.stores[self._kind].put(changed)
        return changed

    async def delete(self, caller: Principal, name: str) -> None:
        """Delete a resource."""
        cluster = self._writable()
        current = self._catalog.find(self._kind, caller, name)
        key = _key(current)
        async with self._audit.intended(caller, self._action("delete"), target=str(key)):
            with self._explained(key):
                if not await cluster.delete(self._ref(key), uid=current["metadata"]["uid"]):
                    raise unknown(self._kind, name)
        self._catalog.stores[self._kind].remove_ahead(*key)

    async def _change(self, cluster: Cluster, key: NamespacedName, edit: Edit, *, version: str | None) -> Object:
        for attempt in range(MAX_ATTEMPTS):
            current = await self._current(cluster, key, version=version)
            try:
                return await self._replace(cluster, current, edit(current))
            except errors.ObjectConflict as error:
                if attempt + 1 < MAX_ATTEMPTS and FIELD_CONFLICT not in error.message:
                    continue  # another write came between our reading and our writing
                raise self._meaning(key, error) from error
            except errors.ClusterError as error:
                raise self._meaning(key, error) from error
        raise AssertionError("the last attempt returns or raises")

    async def _current(self, cluster: Cluster, key: NamespacedName, *, version: str | None) -> Object:
        with self._explained(key):
            current = await cluster.get(self._ref(key))
            if current is None:
                raise unknown(self._kind, str(key))
            if any(_by_create(entry) for entry in current["metadata"]["managedFields"]):
                current = await self._as_applied(cluster, current)  # a create that was cut off in the middle
        generation = str(_generation(current))
        if version is not None and version != generation:
            raise PreconditionFailed(
                f"{self._kind.kind_name} {key} has changed since: it has version {generation} now, you sent {version}."
            )
        return current

    async def _replace(self, cluster: Cluster, current: Object, draft: Draft) -> Object:
        meta = current["metadata"]
        for obj in draft.beside:
            await cluster.apply(_owned(obj, current), names.API_MANAGER)
        wanted = self._manifest(_key(current), draft)
        wanted["metadata"] |= {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}
        changed = await cluster.apply(wanted, names.API_MANAGER, force=False)
        kept = {obj["metadata"]["name"] for obj in draft.beside}
        for ref in self._beside(current):
            if ref.name not in kept:
                await cluster.delete(ref)
        return changed

    def _manifest(self, key: NamespacedName, draft: Draft) -> Object:
        meta = {"name": key.name, "namespace": key.namespace}
        return {"apiVersion": API_VERSION, "kind": self._kind.kind_name, "metadata": meta, "spec": draft.spec}

    async def _as_applied(self, cluster: Cluster, created: Object) -> Object:
        """Turn our ownership of the fields from create's into apply's, so that later applies can also remove them."""
        entries = [
            entry | {"operation": "Apply"} if _by_create(entry) else entry
            for entry in created["metadata"]["managedFields"]
        ]
        meta = {"managedFields": entries, "uid": created["metadata"]["uid"]}
        return await cluster.patch(self._ref(_key(created)), {"metadata": meta}, names.API_MANAGER)

    def _ref(self, key: NamespacedName) -> Ref:
        return custom(self._kind).ref(key.name, key.namespace)

    def _action(self, verb: str) -> str:
        return f"{self._kind.kind_name.lower()}.{verb}"

    def _writable(self) -> Cluster:
        if self._cluster is None:
            raise GitOpsOnly(
                f"This platform takes resources from its manifests only: change the {self._kind.kind_name} in Git (or"
                " with kubectl) instead. An operator of the platform can allow writes with the setting"
                " AGENTIC_GITOPS_ONLY=false."
            )
        return self._cluster

    @contextmanager
    def _explained(self, key: NamespacedName) -> Generator[None]:
        try:
            yield
        except errors.ClusterError as error:
            raise self._meaning(key, error) from error

    def _meaning(self, key: NamespacedName, error: errors.ClusterError) -> PlatformError:
        """What an error of the API server means for the client."""
        said = error.message.partition(": ")[2] or error.message
        which = f"{self._kind.kind_name} {key}"
        match error:
            case errors.ObjectInvalid():
                return Invalid(f"{which} is not accepted: {said}")
            case errors.ObjectConflict() if error.reason == "AlreadyExists":
                return AlreadyExists(f"{which} exists already; change it instead, or choose another name.")
            case errors.ObjectConflict():
                return Conflict(f"{which} was not changed: {said}")
            case errors.ObjectNotFound():
                return NotFound(f"{which}, or its namespace, does not exist any more.")
            case errors.RequestForbidden():
                return Forbidden(f"The cluster does not allow this: {said}")
            case _:
                return Unavailable(f"The cluster is unavailable; try again. {which} may not have been changed.")


def _owned(obj: Object, owner: Object) -> Object:
    meta = owner["metadata"]
    reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"], "uid": meta["uid"]}
    placed = obj["metadata"] | {"namespace": meta["namespace"], "ownerReferences": [reference]}
    return obj | {"metadata": placed}


def _by_create(entry: Object) -> bool:
    return entry["manager"] == names.API_MANAGER and entry["operation"] == "Update" and "subresource" not in entry


def _key(resource: Object) -> NamespacedName:
    return NamespacedName(resource["metadata"]["namespace"], resource["metadata"]["name"])


def _generation(resource: Object) -> int:
    generation: int = resource["metadata"].get("generation", 0)
    return generation
