"""Which changes are the operator's own: the reconciler and the children write through it, watches report changes to it,
and the dispatcher gets each change once, with the key that wrote it.

A write and its event arrive in any order. Invariants:

- A change that a watch delivers while a write of the same object is in flight is held back until the response arrives.
- The change with exactly the version of the response is the write's own; all others are of other writers.
- Every change that was held back is released when the last write of its object has ended, however it ended.
- There is no await between a response and its entry in the index, and none between that and the dispatch.
"""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable

from agentic_core.cluster.kinds import Object, Ref
from agentic_operator.engine.index import Change, Index
from agentic_operator.engine.key import ReconcileKey

Dispatch = Callable[[Change, ReconcileKey | None], None]


class Writes:
    """Writes in flight. `dispatch` is called with each change and its author, None for other writers."""

    def __init__(self, index: Index, dispatch: Dispatch) -> None:
        self._index = index
        self._dispatch = dispatch
        self._in_flight: Counter[Ref] = Counter()
        self._held: defaultdict[Ref, list[Change]] = defaultdict(list)

    def changed(self, change: Change) -> None:
        """A watch delivered a change."""
        if change.ref in self._in_flight:
            self._held[change.ref].append(change)
        else:
            self._dispatch(change, None)

    async def write(self, ref: Ref, author: ReconcileKey, call: Awaitable[Object]) -> Object:
        """Await the request that writes the object, and enter what is stored into the index."""
        self._in_flight[ref] += 1
        try:
            written = await call
            self._record(written, ref, author)
            return written
        finally:
            self._in_flight[ref] -= 1
            if not self._in_flight[ref]:
                del self._in_flight[ref]
                for change in self._held.pop(ref, ()):
                    self._dispatch(change, None)

    def _record(self, written: Object, ref: Ref, author: ReconcileKey) -> None:
        version = int(written["metadata"]["resourceVersion"])
        held = self._held.pop(ref, [])
        own = [change for change in held if change.after and change.after.version == version]
        if others := [change for change in held if change not in own]:
            self._held[ref] = others
        if change := self._index.put_written(written, ref.cluster):
            own.append(change)
        for change in own:
            self._dispatch(change, author)
