"""Typed resources of the index, so that what ten thousand agents refer to is not parsed ten thousand times."""

from typing import Generic, TypeVar

from agentic_core.cluster.kinds import Object, Ref
from agentic_crds import Resource
from agentic_operator.engine.index import Index

ResourceT = TypeVar("ResourceT", bound=Resource)


class Parsed(Generic[ResourceT]):
    """The resources of one model, cached by version."""

    def __init__(self, model: type[ResourceT]) -> None:
        self._model = model
        self._cached: dict[Ref, tuple[int, ResourceT | None]] = {}

    def find(self, ref: Ref, index: Index) -> ResourceT | None:
        """The resource, if it exists and can be read."""
        entry = index.entry(ref)
        if entry is None:
            self._cached.pop(ref, None)
            return None
        cached = self._cached.get(ref)
        if cached is None or cached[0] != entry.version:
            cached = self._cached[ref] = (entry.version, self.read(index.get(ref)))
        return cached[1]

    def read(self, obj: Object | None) -> ResourceT | None:
        """The resource; None when it breaks rules of its kind that the API server did not have when it was written."""
        try:
            return self._model.model_validate(obj)
        except ValueError:
            return None
