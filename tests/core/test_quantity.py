"""Quantities are exact."""

from decimal import Decimal

import pytest

from agentic_core.quantity import format_quantity, parse_quantity


@pytest.mark.parametrize(
    ("text", "value", "back"),
    [
        ("0", "0", "0"), ("8", "8", "8"), ("250m", "0.25", "250m"), ("1.5", "1.5", "1500m"), ("1k", "1000", "1000"),
        ("16Gi", "17179869184", "16Gi"), ("1536Mi", "1610612736", "1536Mi"), ("1e3", "1000", "1000"),
        ("1024", "1024", "1024"),
        ("100M", "100000000", "100000000"),
    ],
)  # fmt: skip
def test_there_and_back(text: str, value: str, back: str) -> None:
    assert parse_quantity(text) == Decimal(value)
    assert format_quantity(Decimal(value)) == back


@pytest.mark.parametrize("text", ["", "x", "1Xi", "m"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a resource quantity"):
        parse_quantity(text)
