#!/usr/bin/env python3
"""Asks an agent and prints its answer as it comes: `ask.py AGENT TEXT`. quickstart.sh calls it.

AGENTIC_URL and AGENTIC_API_KEY are the API's URL and the caller's key. The exit code is 0 when the run succeeded.
"""

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any


def events(agent: str, text: str) -> Iterator[dict[str, Any]]:
    """The events of a new run."""
    request = urllib.request.Request(  # noqa: S310 - the caller's own URL
        f"{os.environ['AGENTIC_URL']}/api/v1/agents/{agent}/execute",
        data=json.dumps({"input": text, "stream": True}).encode(),
        headers={"Authorization": f"Bearer {os.environ['AGENTIC_API_KEY']}", "Content-Type": "application/json"},
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=300) as response:
        for line in response:
            if line.startswith(b"data:"):
                yield json.loads(line[5:])


def main(agent: str, text: str) -> int:
    try:
        for event in events(agent, text):
            match event.get("type"):
                case "message.delta":
                    print(event["text"], end="", flush=True)
                case "final":
                    print(flush=True)
                    return 0
                case "error":
                    print(f"\nthe run failed: {json.dumps(event)}", file=sys.stderr)
                    return 1
    except urllib.error.HTTPError as refused:
        print(f"HTTP {refused.code}: {refused.read().decode()}", file=sys.stderr)
        return 1
    print("the stream ended before the run", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
