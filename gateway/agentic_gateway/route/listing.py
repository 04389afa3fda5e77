"""The list of models as each wire spells it; the application responds to GET /v1/models with it."""

from collections.abc import Sequence
from typing import Any


def openai(refs: Sequence[str]) -> dict[str, Any]:
    """OpenAI's list."""
    models = [{"id": ref, "object": "model", "created": 0, "owned_by": ref.partition("/")[0]} for ref in refs]
    return {"object": "list", "data": models}


def anthropic(refs: Sequence[str]) -> dict[str, Any]:
    """Anthropic's page, the only one."""
    created = "1970-01-01T00:00:00Z"
    models = [{"id": ref, "type": "model", "display_name": ref, "created_at": created} for ref in refs]
    ends = {"first_id": refs[0] if refs else None, "last_id": refs[-1] if refs else None}
    return {"data": models, "has_more": False, **ends}
