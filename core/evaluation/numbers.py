"""Numbers as text, the way JavaScript writes them: clients in every language can do the same."""

import math
from typing import Final

_EXACT: Final = 2**53
_LAST_PLAIN_EXPONENT: Final = 21
_FIRST_PLAIN_EXPONENT: Final = -7


def text_of(number: int | float) -> str:
    """ECMAScript's Number::toString: `1.0` is `1`, `1e21` is `1e+21`. A larger integer than a
    double holds exactly is written as that double."""
    if isinstance(number, int):
        if -_EXACT <= number <= _EXACT:
            return str(number)
        try:
            number = float(number)
        except OverflowError:
            number = math.inf if number > 0 else -math.inf
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    if number == 0:
        return "0"
    sign = "-" if number < 0 else ""
    return sign + _positive(repr(abs(number)))


def _positive(shortest: str) -> str:
    """From Python's shortest digits, which are JavaScript's too; only their layout differs."""
    mantissa, _, exponent = shortest.partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    count = len(digits)
    if count <= point <= _LAST_PLAIN_EXPONENT:
        return digits + "0" * (point - count)
    if 0 < point <= _LAST_PLAIN_EXPONENT:
        return f"{digits[:point]}.{digits[point:]}"
    if _FIRST_PLAIN_EXPONENT + 1 < point <= 0:
        return "0." + "0" * -point + digits
    rest = f".{digits[1:]}" if count > 1 else ""
    return f"{digits[0]}{rest}e{point - 1:+d}"
