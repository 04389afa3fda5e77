"""The least that a runtime could be: passes a request on to the model and its stream back, with no agent in between.

`benchmarks.runtime` runs it as the baseline: `python -m benchmarks.runtime_bare PORT MODEL_URL`.
"""

import sys
from collections.abc import AsyncIterator

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route


def app(model_url: str) -> Starlette:
    """The application."""
    http = httpx2.AsyncClient()

    async def run(request: Request) -> Response:
        messages = (await request.json())["messages"]
        return StreamingResponse(relay({"model": "echo", "messages": messages, "stream": True}))

    async def relay(body: dict[str, object]) -> AsyncIterator[bytes]:
        async with http.stream("POST", f"{model_url}/v1/chat/completions", json=body) as answer:
            async for line in answer.aiter_lines():
                yield line.encode() + b"\n"

    async def ready(_request: Request) -> Response:
        return PlainTextResponse("ok")

    return Starlette(routes=[Route("/v1/run", run, methods=["POST"]), Route("/readyz", ready)])


def main() -> None:
    """The program."""
    port, model_url = int(sys.argv[1]), sys.argv[2]
    uvicorn.run(app(model_url), host="127.0.0.1", port=port, loop="uvloop", http="httptools", log_level="error")


if __name__ == "__main__":
    main()
