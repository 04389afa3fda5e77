"""Pages of lists whose items may be large: bounded by number and by bytes inside PostgreSQL; repositories build on it.

What is left out is measured there, but neither sent nor held by the process.
"""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

T = TypeVar("T")

PAGE_BYTES = 4 * 1024 * 1024
"""A page has no more bytes than this, or one item."""


@dataclass(frozen=True)
class Piece(Generic[T]):
    """A piece of a list."""

    items: list[T]
    more: bool
    """Whether others follow."""


def chosen(candidates: sa.Select[Any], *, limit: int) -> sa.Subquery:
    """The keys of a page, in a subquery with the columns `key`, `place` and `known`.

    `candidates` selects `key` and `size` of all that follows, in order. `place` numbers the page's items from 1; when
    `known` is greater than their number, others follow.
    """
    sized = candidates.limit(limit + 1).subquery()
    in_order = sa.select(sized.c.key, sized.c.size, sa.func.row_number().over().label("place")).subquery()
    summed = sa.select(
        in_order.c.key,
        in_order.c.place,
        sa.func.count().over().label("known"),
        sa.func.sum(in_order.c.size).over(order_by=in_order.c.place).label("bytes"),
    ).subquery()
    fits = (summed.c.bytes <= PAGE_BYTES) | (summed.c.place == 1)
    return sa.select(summed.c.key, summed.c.place, summed.c.known).where(summed.c.place <= limit, fits).subquery()


def piece(rows: list[T], *, known: int) -> Piece[T]:
    """The page of these items."""
    return Piece(rows, more=known > len(rows))
