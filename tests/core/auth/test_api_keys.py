"""API keys: what is kept cannot be turned back, what is wrong is refused."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentic_core.auth import api_keys
from tests.requirements import requirement

PEPPER = b"p" * 32
TENANT = UUID(int=1)
KEY = api_keys.create()


@requirement("api-auth-key")
def test_a_created_key_is_parsed_and_matches_its_digest() -> None:
    key = api_keys.create()
    parsed = api_keys.parse(key.text)
    assert parsed == key
    row: dict[str, Any] = {"tenant_id": TENANT, "role": "viewer", "pepper": PEPPER}
    assert api_keys.matches(key, api_keys.digest(key, **row), **row)


@pytest.mark.parametrize(
    "change",
    [
        {"key": replace(KEY, id="b" * 16)},
        {"key": replace(KEY, secret="other")},
        {"tenant_id": UUID(int=2)},
        {"role": "owner"},
        {"pepper": b"q" * 32},
    ],
    ids=["id", "secret", "tenant", "role", "pepper"],
)
def test_a_digest_matches_in_its_own_row_alone(change: dict[str, Any]) -> None:
    row: dict[str, Any] = {"key": KEY, "tenant_id": TENANT, "role": "viewer", "pepper": PEPPER}
    stored = api_keys.digest(**row)
    assert not api_keys.matches(stored=stored, **row | change)


ROW = st.tuples(*[st.text("ab", max_size=3)] * 3)


@given(ROW, ROW)
def test_no_two_rows_have_the_same_digest(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    def digest(id_: str, role: str, secret: str) -> bytes:
        return api_keys.digest(api_keys.NewKey(id_, secret), tenant_id=TENANT, role=role, pepper=PEPPER)

    assert (digest(*one) == digest(*other)) == (one == other)


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
