"""The registry of kinds: what the platform needs of a kind beyond its model, in one entry for each.

`agentic_crds` registers the kinds. Definitions, rights, admission policies, quotas, watches, the api's catalog and the
reference are made from the entries; an entry grants no right that is not written in it.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

from agentic_crds.base import GROUP, Resource

Rule = dict[str, Any]
"""A rule of a ClusterRole."""


class Writer(Enum):
    """Who decides what objects of a kind say."""

    PLATFORM = "the platform team"
    TENANT = "tenants"
    OPERATOR = "the operator only"


class Access(Enum):
    """What a program may do with all objects of a kind; the values are verbs of RBAC.

    Texts, since early releases of Python 3.11 make no value of an empty tuple.
    """

    NONE = ""
    GET = "get"
    """The program gets single objects when it uses them."""
    READ = "get list watch"
    """The program holds the objects in memory, by a watch."""
    PATCH = "get list watch patch"
    """And changes objects that others made, for example their finalizers."""
    WRITE = "get list watch create patch delete"
    """And makes and deletes them: server-side apply is create and patch."""

    @property
    def verbs(self) -> tuple[str, ...]:
        """The verbs that are granted."""
        return tuple(self.value.split())

    @property
    def watches(self) -> bool:
        """Whether the program holds the objects in memory."""
        return "watch" in self.verbs


@dataclass(frozen=True, kw_only=True)
class KindEntry:
    """A kind of the platform."""

    model: type[Resource]
    writer: Writer
    api: Access = Access.NONE
    gateway: Access = Access.NONE
    metadata_only: bool = False
    """Whether programs that watch the kind hold its metadata only: contents are large and got when they are used."""
    max_objects: int = 1000
    """How many a namespace may have where the Tenant sets no limit; counted for kinds that tenants write."""

    @property
    def name(self) -> str:
        """The kind as objects spell it."""
        return self.model.kind_name

    @property
    def plural(self) -> str:
        """The kind as URLs and RBAC spell it."""
        return self.model.plural

    @property
    def operator(self) -> Access:
        """The operator makes what only it may write; of others it patches finalizers."""
        return Access.WRITE if self.writer is Writer.OPERATOR else Access.PATCH

    @property
    def has_status(self) -> bool:
        """Whether the kind has the status subresource."""
        return "status" in self.model.model_fields

    @property
    def count(self) -> str | None:
        """The number of objects as a ResourceQuota spells it; None for what tenants do not write."""
        return f"count/{self.plural}.{GROUP}" if self.writer is Writer.TENANT else None


class Registry:
    """The kinds, in the order in which they were registered."""

    def __init__(self) -> None:
        self._entries: dict[str, KindEntry] = {}

    def register(self, entry: KindEntry) -> None:
        """Add a kind. Its names must not be those of another."""
        taken = {name for other in self for name in _names(other)}
        if both := taken & _names(entry):
            raise ValueError(f"{entry.name}: another kind has the name {', '.join(sorted(both))}")
        self._entries[entry.name] = entry

    @contextmanager
    def registered(self, *entries: KindEntry) -> Generator[None]:
        """More kinds, for the duration of a test."""
        before = dict(self._entries)
        try:
            for entry in entries:
                self.register(entry)
            yield
        finally:
            self._entries = before

    def __iter__(self) -> Iterator[KindEntry]:
        return iter(tuple(self._entries.values()))

    def __getitem__(self, name: str) -> KindEntry:
        """The kind that objects call `name`; KeyError when there is none."""
        return self._entries[name]

    @property
    def models(self) -> tuple[type[Resource], ...]:
        """The models of all kinds."""
        return tuple(entry.model for entry in self)

    @property
    def counted(self) -> tuple[KindEntry, ...]:
        """The kinds whose number in a namespace is limited."""
        return tuple(entry for entry in self if entry.count)

    def rules(self, access: Callable[[KindEntry], Access]) -> list[Rule]:
        """The rules of a ClusterRole that give this access, one for each set of verbs."""
        plurals: dict[Access, list[str]] = {}
        for entry in self:
            if access(entry) is not Access.NONE:
                plurals.setdefault(access(entry), []).append(entry.plural)
        return [
            {"apiGroups": [GROUP], "resources": resources, "verbs": list(given.verbs)}
            for given, resources in plurals.items()
        ]

    @property
    def statuses(self) -> list[str]:
        """The status subresources, as RBAC spells them."""
        return [f"{entry.plural}/status" for entry in self if entry.has_status]


def _names(entry: KindEntry) -> set[str]:
    return {entry.name, entry.plural, *entry.model.short_names}


KINDS = Registry()
"""Every kind of the platform, once `agentic_crds` is imported."""
