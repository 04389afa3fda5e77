"""Pages of lists whose items may be large: bounded by number and by bytes inside PostgreSQL; repositories build on it.

What is left out is measured there, but neither sent nor held by the process.
"""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

T = TypeVar("T")

PAGE_BYTES = 1024 * 1024
"""A page has no more bytes than this, or one item."""


@dataclass(frozen=True)
class BoundedPage(Generic[T]):
    """A page of a list."""

    items: list[T]
    more: bool
    """Whether other items follow."""


def page_keys(candidates: sa.Select[Any], *, limit: int, max_bytes: int = PAGE_BYTES, at_least: int = 1) -> sa.Subquery:
    """The keys of a page, in a subquery with the columns `key`, `position` and `candidates`.

    `candidates` selects `key` and `size` of all that follows, in order. `position` numbers the page's items from 1; the
    column `candidates` counts the rows that were considered, at most one more than `limit`. The first `at_least` items
    are in the page however large they are.
    """
    sized = candidates.limit(limit + 1).subquery()
    in_order = sa.select(sized.c.key, sized.c.size, sa.func.row_number().over().label("position")).subquery()
    summed = sa.select(
        in_order.c.key,
        in_order.c.position,
        sa.func.count().over().label("candidates"),
        sa.func.sum(in_order.c.size).over(order_by=in_order.c.position).label("bytes"),
    ).subquery()
    fits = (summed.c.bytes <= max_bytes) | (summed.c.position <= at_least)
    columns = summed.c.key, summed.c.position, summed.c.candidates
    return sa.select(*columns).where(summed.c.position <= limit, fits).subquery()


def json_as_text(table: sa.Table) -> list[sa.ColumnElement[Any]]:
    """The columns of a table, JSON as its text: large values are then bounded before they become objects."""
    return [
        sa.cast(column, sa.Text).label(column.name) if isinstance(column.type, sa.JSON) else column
        for column in table.c
    ]


def page(rows: list[T], *, candidates: int) -> BoundedPage[T]:
    """The page of these items, of so many candidates."""
    return BoundedPage(rows, more=candidates > len(rows))
