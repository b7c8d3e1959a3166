"""Numbers and texts as a person reads them."""

import math


def number(value: float) -> str:
    """Returns: four significant digits, whole from a thousand on, two where tiny: 0.8496, 45,371, 1.2e-05."""
    if not math.isfinite(value):
        return str(value)
    if 1000 <= abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) >= 1e-3 else f"{value:.2g}"


def percent(share: float) -> str:
    """Returns: three significant digits: 1 %, 16.1 %, 0.032 %; whole from 1,000 % on."""
    return f"{100 * share:.3g} %" if abs(share) < 10 else f"{100 * share:,.0f} %"


def printable(text: str) -> str:
    """Returns: the text as it can be printed, stored and sent: file names may hold bytes that are no UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()
