"""What a run has used of its limits: pure counting, checked before, during and after each model call.

The middleware of the loop calls it. Streams report their tokens only at their end, so text in flight is estimated and
replaced by the provider's own count once that arrives.
"""

from typing import NoReturn

from agentic_core.contract import ErrorCode, Usage
from agentic_crds.agent import Limits
from agentic_runtime.failures import RunFailed

BYTES_PER_TOKEN = 4
"""UTF-8 bytes of a token, about, over languages and tokenizers."""
TOKENS_PER_CALL = 4
"""Tokens around a tool call's id, name and arguments, about; one that is empty costs them too."""


def estimate(text: str) -> int:
    """Tokens of a text, about."""
    return _size(text) // BYTES_PER_TOKEN


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


class LimitMeter:
    """Counts tokens and model calls of one run; raises `RunFailed` when a limit is passed."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._calls = 0
        self._used = 0
        self._prompt = 0
        self._streamed = 0.0

    def begin(self, prompt: int) -> int:
        """A model call with a prompt of about so many tokens begins. Returns how many tokens may still be used."""
        if self._calls >= self._limits.max_iterations:
            raise RunFailed(
                ErrorCode.MAX_ITERATIONS_EXCEEDED,
                f"The run made {self._calls} model calls and its limit is {self._limits.max_iterations}:"
                " raise limits.maxIterations or give the agent a smaller task.",
            )
        left = self._limits.max_tokens - self._used
        if left <= 0:
            raise self._tokens_exceeded(self._used)
        self._calls += 1
        self._prompt, self._streamed = prompt, 0.0
        return left

    def streamed(self, text: str, *, calls: int = 0) -> None:
        """More text of the response arrived, with which so many tool calls began."""
        self._streamed += _size(text) / BYTES_PER_TOKEN + calls * TOKENS_PER_CALL
        so_far = self._used + self._prompt + int(self._streamed)
        if so_far > self._limits.max_tokens:
            raise self._tokens_exceeded(so_far)

    def settle(self, usage: Usage) -> None:
        """The call ended and this is what it really used."""
        self._used += usage.input_tokens + usage.output_tokens
        self._prompt, self._streamed = 0, 0.0
        if self._used > self._limits.max_tokens:
            raise self._tokens_exceeded(self._used)

    def exhausted(self) -> NoReturn:
        """The provider stopped because no tokens were left."""
        raise self._tokens_exceeded(self._limits.max_tokens)

    def in_flight(self) -> Usage:
        """The estimate of the call in progress, for a stream that ended without reporting its usage."""
        return Usage(input_tokens=self._prompt, output_tokens=int(self._streamed))

    def _tokens_exceeded(self, used: int) -> RunFailed:
        return RunFailed(
            ErrorCode.MAX_TOKENS_EXCEEDED,
            f"The run used about {used} tokens and its limit is {self._limits.max_tokens}: raise limits.maxTokens"
            " or shorten the conversation.",
        )
