"""What printer columns have to keep to; the tests of the kinds and of new kinds call `complaints`."""

import re
from collections.abc import Iterator

from agentic_crds import KindEntry
from agentic_crds.base import AGE
from agentic_crds.generate import schema
from agentic_crds.schema import Schema

CONDITION = re.compile(r'^\.status\.conditions\[\?\(@\.type=="\w+"\)\]\.(status|reason|message)$')


def complaints(kind: KindEntry) -> Iterator[str]:
    """What is wrong with the columns: they show fields that there are, and whether and why not it works."""
    columns = kind.model.columns
    shown = [column.name for column in columns if column.priority == 0]
    if len({column.name for column in columns}) < len(columns):
        yield "two columns have the same name"
    if not columns or columns[-1] != AGE:
        yield "the last column is the age"
    if kind.has_status and not {"Ready", "Reason"} <= set(shown):
        yield "a kind with a status shows Ready and Reason"
    for column in columns[:-1]:
        if not CONDITION.match(column.json_path) and not _leads_somewhere(schema(kind.model), column.json_path):
            yield f"{column.name} shows {column.json_path}, which is no field"


def _leads_somewhere(node: Schema, path: str) -> bool:
    """Whether the schema has a field there; `*` in the path stands for any member."""
    step, _, rest = path.removeprefix(".").partition(".")
    name, _, index = step.partition("[")
    members = node.get("properties", {})
    found = [member for key, member in members.items() if name in ("*", key)]
    found = [member.get("items", {}) if index else member for member in found]
    return any(_leads_somewhere(member, rest) if rest else bool(member) for member in found)
