"""Pages of lists: requested by `?limit=&cursor=`, returned as `{items, next_cursor}`."""

import base64
import binascii
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar
from uuid import UUID

from fastapi import Depends, Query
from pydantic import BaseModel, ConfigDict

from agentic_core.errors import Invalid

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """One page of a list."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    items: list[T]
    """The items of this page."""
    next_cursor: str | None = None
    """Pass it as `cursor` to get the next page; null on the last one."""


@dataclass(frozen=True)
class PageRequest:
    """Which page of a list to return."""

    limit: int
    after: str | None
    """Where the page before ended, as `cursor` wrote it."""


def cursor(after: str) -> str:
    """An opaque cursor for the position `after`."""
    return base64.urlsafe_b64encode(after.encode()).decode().rstrip("=")


async def page_request(
    limit: Annotated[int, Query(ge=1, le=200, description="Maximum number of items in a page.")] = 50,
    cursor: Annotated[str | None, Query(max_length=512, description="`next_cursor` of the page before.")] = None,
) -> PageRequest:
    """The page that the query requests."""
    if not cursor:
        return PageRequest(limit, None)
    try:
        after = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise Invalid("query.cursor: this is not a cursor of this list; start without one.") from error
    if "\0" in after:
        raise Invalid("query.cursor: this is not a cursor of this list; start without one.")
    return PageRequest(limit, after)


def page_id(after: str | None) -> UUID | None:
    """The id where the page before ended, for lists that are ordered by id."""
    try:
        return UUID(after) if after else None
    except ValueError as error:
        raise Invalid("query.cursor: this is not a cursor of this list; start without one.") from error


def page_position(after: str | None) -> int:
    """The position where the page before ended, for lists that are ordered by position; -1 before the first."""
    if after is None:
        return -1
    if not after.isdecimal() or len(after) > 9:
        raise Invalid("query.cursor: this is not a cursor of this list; start without one.")
    return int(after)


PageParams = Annotated[PageRequest, Depends(page_request)]
