"""The tool `calculator`: arithmetic on numbers, bounded in time and size. Found by entry point.

The expression is parsed by Python but never evaluated by it: only the node types below are computed, each result
checked for its size before the next operation sees it.
"""

import ast
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from agentic_core.builtins import CALCULATOR
from agentic_runtime.tools.base import ToolContext, ToolFailed

MAX_NODES = 200
MAX_BITS = 4096
MAX_DIGITS = 100
"""Decimal places that round() accepts."""

Number = int | float

BINARY: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
UNARY: dict[type[ast.unaryop], Callable[[Number], Number]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "ceil": math.ceil,
    "cos": math.cos,
    "exp": math.exp,
    "floor": math.floor,
    "log": math.log,
    "log10": math.log10,
    "log2": math.log2,
    "max": lambda *values: max(values),
    "min": lambda *values: min(values),
    "sin": math.sin,
    "sqrt": math.sqrt,
    "tan": math.tan,
}
CONSTANTS = {"pi": math.pi, "e": math.e, "tau": math.tau}


class CalculatorInput(BaseModel):
    """Arguments of the calculator."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    expression: str = Field(min_length=1, max_length=1000)
    """Arithmetic such as (2 + 3) * 4 ** 2 / sqrt(16)."""


@dataclass(frozen=True)
class Calculator:
    """Computes an arithmetic expression."""

    name: str = CALCULATOR.name
    description: str = CALCULATOR.description
    input: type[BaseModel] = CalculatorInput

    async def __call__(self, arguments: BaseModel, context: ToolContext) -> str:
        """The value as text."""
        return str(compute(CalculatorInput.model_validate(arguments).expression))


def compute(expression: str) -> Number:
    """The value of an expression; `ToolFailed` says what is wrong with it."""
    try:
        tree = ast.parse(expression.strip(), mode="eval")
        if sum(1 for _ in ast.walk(tree)) > MAX_NODES:
            raise ToolFailed(f"The expression has more than {MAX_NODES} parts; compute it in steps.")
        return _value(tree.body)
    except ZeroDivisionError:
        raise ToolFailed("Division by zero.") from None
    except (SyntaxError, RecursionError, MemoryError):
        raise ToolFailed(f"Not an arithmetic expression: {expression[:100]!r}.") from None
    except (ArithmeticError, ValueError, TypeError) as error:
        raise ToolFailed(f"Cannot be computed: {error}.") from None


def _value(node: ast.expr) -> Number:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return _bounded(number)
        case ast.Name(id=name) if name in CONSTANTS:
            return CONSTANTS[name]
        case ast.UnaryOp(op=op, operand=operand) if type(op) in UNARY:
            return _bounded(UNARY[type(op)](_value(operand)))
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _bounded(_power(_value(left), _value(right)))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in BINARY:
            return _bounded(BINARY[type(op)](_value(left), _value(right)))
        case ast.Call(func=ast.Name(id="round"), args=[value, *digits], keywords=[]) if len(digits) <= 1:
            return _round(_value(value), *(_value(digit) for digit in digits))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS:
            return _bounded(FUNCTIONS[name](*(_value(arg) for arg in args)))
        case _:
            raise ToolFailed(f"Not arithmetic: {ast.unparse(node)[:100]}.")


def _power(base: Number, exponent: Number) -> Number:
    if isinstance(base, int) and isinstance(exponent, int) and (base.bit_length() - 1) * exponent > MAX_BITS:
        raise ToolFailed(f"The power is larger than 2**{MAX_BITS}.")
    power: Number | complex = base**exponent
    if isinstance(power, complex):
        raise ToolFailed("The power is not a real number.")
    return power


def _round(value: Number, digits: Number = 0) -> Number:
    if not isinstance(digits, int) or abs(digits) > MAX_DIGITS:
        raise ToolFailed(f"round() takes whole digits between -{MAX_DIGITS} and {MAX_DIGITS}.")
    return round(value, digits) if digits else round(value)


def _bounded(value: Number) -> Number:
    if isinstance(value, int):
        if value.bit_length() > MAX_BITS:
            raise ToolFailed(f"A number is larger than 2**{MAX_BITS}.")
        return value
    if not math.isfinite(value):
        raise ToolFailed("The result is not a finite number.")
    return value


calculator = Calculator()
