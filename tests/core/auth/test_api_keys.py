"""API keys: what is kept cannot be turned back, what is wrong is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentic_core.auth import api_keys
from tests.requirements import requirement

PEPPER = b"p" * 32


@requirement("api-auth-key")
def test_a_created_key_is_parsed_and_matches_its_digest() -> None:
    key = api_keys.create()
    parsed = api_keys.parse(key.text)
    assert parsed == key
    assert api_keys.matches(key.secret, api_keys.digest(key.secret, pepper=PEPPER), pepper=PEPPER)


def test_another_secret_or_pepper_does_not_match() -> None:
    key, other = api_keys.create(), api_keys.create()
    stored = api_keys.digest(key.secret, pepper=PEPPER)
    assert not api_keys.matches(other.secret, stored, pepper=PEPPER)
    assert not api_keys.matches(key.secret, stored, pepper=b"q" * 32)


def test_the_secret_is_not_shown_by_repr() -> None:
    key = api_keys.create()
    assert key.secret not in repr(key)


@pytest.mark.parametrize("text", ["", "agk_", "agk_short_x", "Bearer agk_a_b", "agk_" + "a" * 16 + "_" + "é" * 43])
def test_what_is_no_key_is_not_parsed(text: str) -> None:
    assert api_keys.parse(text) is None


@given(st.text(max_size=200))
def test_any_text_is_parsed_or_refused_without_an_error(text: str) -> None:
    parsed = api_keys.parse(text)
    assert parsed is None or parsed.text == text
