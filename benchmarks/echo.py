"""An instant model: answers OpenAI's and Anthropic's wires with the last user message. Benchmarks call models there.

`python -m benchmarks.echo` prints its port. It does as little as it can, so that what is measured is the platform.
"""

import argparse
import asyncio
from typing import Any

import httptools
import orjson
import uvloop

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
PIECES = 8
"""Events of text in a stream."""


class Echo(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.url = b""
        self.body = b""
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.url, self.body = url, b""

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        request = orjson.loads(self.body) if self.body else {}
        if self.url.endswith(b"/embeddings"):
            self.answer(embedding(request))
        elif self.url.endswith(b"/messages"):
            self.stream(message_events(request)) if request.get("stream") else self.answer(message(request))
        elif self.url.endswith(b"/chat/completions"):
            self.stream(chunks(request)) if request.get("stream") else self.answer(completion(request))
        else:
            self.answer({"object": "list", "data": [{"id": "echo", "object": "model"}]})

    def answer(self, body: dict[str, Any]) -> None:
        data = orjson.dumps(body)
        self.transport.write(HEAD % (b"application/json", len(data), data))

    def stream(self, events: list[bytes]) -> None:
        self.transport.write(STREAM_HEAD)
        for event in events:
            self.transport.write(b"%x\r\n%b\r\n" % (len(event), event))
        self.transport.write(b"0\r\n\r\n")


def last_text(request: dict[str, Any]) -> str:
    """The text of the last message."""
    content = request["messages"][-1]["content"]
    if isinstance(content, list):
        content = "".join(part.get("text", "") for part in content)
    return str(content)


def words(text: str) -> list[str]:
    """The text in about `PIECES` pieces."""
    size = max(1, -(-len(text) // PIECES))
    return [text[start : start + size] for start in range(0, len(text), size)] or [""]


def usage(request: dict[str, Any], text: str) -> dict[str, int]:
    """Token counts in OpenAI's words."""
    prompt, completion = max(1, len(orjson.dumps(request["messages"])) // 4), max(1, len(text) // 4)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def completion(request: dict[str, Any]) -> dict[str, Any]:
    text = last_text(request)
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", "logprobs": None}
    head = {"id": "chatcmpl-echo", "object": "chat.completion", "created": 1, "model": request["model"]}
    return head | {"choices": [choice], "usage": usage(request, text)}


def chunks(request: dict[str, Any]) -> list[bytes]:
    head = {"id": "chatcmpl-echo", "object": "chat.completion.chunk", "created": 1, "model": request["model"]}

    def chunk(delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
        return head | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": None}

    text = last_text(request)
    events = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": piece}) for piece in words(text))]
    events.append(chunk({}, "stop"))
    if (request.get("stream_options") or {}).get("include_usage"):
        events.append(head | {"choices": [], "usage": usage(request, text)})
    return [*(b"data: " + orjson.dumps(event) + b"\n\n" for event in events), b"data: [DONE]\n\n"]


def message(request: dict[str, Any]) -> dict[str, Any]:
    text = last_text(request)
    counts = usage(request, text)
    return {
        "id": "msg_echo",
        "type": "message",
        "role": "assistant",
        "model": request["model"],
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": counts["prompt_tokens"], "output_tokens": counts["completion_tokens"]},
    }


def message_events(request: dict[str, Any]) -> list[bytes]:
    whole = message(request)
    output = whole["usage"]["output_tokens"]
    start = whole | {"content": [], "stop_reason": None, "usage": whole["usage"] | {"output_tokens": 1}}
    deltas = [{"type": "text_delta", "text": piece} for piece in words(last_text(request))]
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": end, "usage": {"output_tokens": output}},
        {"type": "message_stop"},
    ]
    return [b"event: %b\ndata: %b\n\n" % (event["type"].encode(), orjson.dumps(event)) for event in events]


def embedding(request: dict[str, Any]) -> dict[str, Any]:
    texts = request["input"] if isinstance(request["input"], list) else [request["input"]]
    data = [{"object": "embedding", "index": index, "embedding": [0.5] * 8} for index in range(len(texts))]
    counts = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    return {"object": "list", "data": data, "model": request["model"], "usage": counts}


async def serve(host: str, port: int) -> None:
    """Serve until the process ends; the port goes to standard output."""
    server = await asyncio.get_running_loop().create_server(Echo, host, port, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.echo", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.host, arguments.port))


if __name__ == "__main__":
    main()
