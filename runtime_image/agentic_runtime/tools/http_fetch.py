"""The tool `http_fetch`: the text of a public web page or API. Found by entry point."""

import asyncio
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from agentic_core.builtins import HTTP_FETCH
from agentic_runtime.tools.base import ToolContext

MAX_BYTES = 256 * 1024
TIMEOUT_SECONDS = float(HTTP_FETCH.policy.timeout_seconds or 20)


class HttpFetchInput(BaseModel):
    """Arguments of http_fetch."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    url: str = Field(min_length=1, max_length=2048)
    """Public http or https URL."""


@dataclass(frozen=True)
class HttpFetch:
    """Fetches a URL with GET."""

    name: str = HTTP_FETCH.name
    description: str = HTTP_FETCH.description
    input: type[BaseModel] = HttpFetchInput

    async def __call__(self, arguments: BaseModel, context: ToolContext) -> str:
        """Status line, then the text."""
        url = HttpFetchInput.model_validate(arguments).url
        left = context.deadline - asyncio.get_running_loop().time()
        page = await context.http.get(url, max_bytes=MAX_BYTES, seconds=min(TIMEOUT_SECONDS, left))
        cut = f"\n[cut after {MAX_BYTES} bytes]" if page.truncated else ""
        return f"{page.url} answered {page.status} ({page.content_type})\n\n{page.text}{cut}"


http_fetch = HttpFetch()
