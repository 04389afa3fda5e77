"""Kubernetes resource quantities as exact numbers; drift compares them, the status of a Tenant adds them up."""

import re
from decimal import Decimal

SCALES = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1),
    "k": Decimal(10) ** 3, "M": Decimal(10) ** 6, "G": Decimal(10) ** 9, "T": Decimal(10) ** 12,
    "P": Decimal(10) ** 15, "E": Decimal(10) ** 18,
    "Ki": Decimal(2) ** 10, "Mi": Decimal(2) ** 20, "Gi": Decimal(2) ** 30, "Ti": Decimal(2) ** 40,
    "Pi": Decimal(2) ** 50, "Ei": Decimal(2) ** 60,
}  # fmt: skip
BINARY = ("Ei", "Pi", "Ti", "Gi", "Mi")
"""Units of sizes. Smaller ones would show 1024 agents as 1Ki."""
QUANTITY = re.compile(r"([+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?)([numkMGTPE]|[KMGTPE]i)?")


def parse_quantity(text: str) -> Decimal:
    """The number of a quantity such as 250m or 2Gi. Raises ValueError for other text."""
    found = QUANTITY.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a resource quantity")
    return Decimal(found[1]) * SCALES[found[2] or ""]


def same_quantity(one: str, other: str) -> bool:
    """Whether both are quantities of the same amount, such as 1 and 1000m."""
    try:
        return parse_quantity(one) == parse_quantity(other)
    except ValueError:
        return False


def format_quantity(value: Decimal) -> str:
    """The number as a quantity: whole binary units for large sizes, thousandths for fractions."""
    if value != value.to_integral_value():
        return f"{(value * 1000).to_integral_value():f}m"
    for unit in BINARY:
        if value and value % SCALES[unit] == 0:
            return f"{value / SCALES[unit]:f}{unit}"
    return f"{value.quantize(Decimal(1)):f}"
