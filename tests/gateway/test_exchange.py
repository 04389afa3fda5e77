"""Bodies of requests, before anything is sent to a provider."""

import pytest

from agentic_core.errors import Malformed, TooLarge
from agentic_gateway.accepted import accept
from agentic_gateway.wires.openai import Embeddings

MANY = 400_000


@pytest.mark.parametrize("body", [b'{"input":[' + b"[]," * MANY + b"0]}", b'{"input":[' + b"1," * (6 * MANY) + b"0]}"])
def test_a_body_of_too_many_values_is_not_even_parsed(body: bytes) -> None:
    with pytest.raises(TooLarge, match="more than"):
        accept(Embeddings(), body, {})


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"a": "\xff"}'])
def test_a_body_that_is_no_object_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        accept(Embeddings(), body, {})


def test_a_long_text_is_fine() -> None:
    text = "for (i = 0; i < n; i++) { a[i] = f(i, n); }\n" * 50_000
    written = text.replace("\n", "\\n").encode()
    accepted = accept(Embeddings(), b'{"model":"a/m","input":"' + written + b'"}', {})
    assert accepted.rest == b'{"input":"' + written + b'"}'
