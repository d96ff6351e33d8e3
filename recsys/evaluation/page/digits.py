"""Numbers as people read them. A minus is a minus sign, a number that isn't there a dash."""

from __future__ import annotations

import math

NOTHING = "–"


def plain(value: float) -> str:
    """Four decimals below 10, fewer above, two digits below 0.001."""
    return _special(value) or _minus(f"{value:,.{_decimals_of(value)}f}")


def signed(value: float, decimals: int) -> str:
    """With its sign, such as +0.0021; what rounds to 0 has none."""
    return fixed(value, decimals) if round(value, decimals) == 0 else _special(value) or _minus(f"{value:+,.{decimals}f}")


def fixed(value: float, decimals: int) -> str:
    """With so many decimals."""
    return _special(value) or _minus(f"{value:,.{decimals}f}").replace("−", "" if round(value, decimals) == 0 else "−")


def interval(low: float, high: float, decimals: int, *, sign: bool = False) -> str:
    """`[low, high]`, a dash where there is none."""
    if math.isnan(low) or math.isnan(high):
        return NOTHING
    write = signed if sign else fixed
    return f"[{write(low, decimals)}, {write(high, decimals)}]"


def decimals_of(low: float, high: float, value: float = math.nan) -> int:
    """Decimals that show two digits of an interval's half width; those of `value` where there is no interval."""
    half = (high - low) / 2
    if not math.isfinite(half) or half <= 0:
        return max(_decimals_of(value), 4) if math.isfinite(value) and abs(value) < 1 else 4 if math.isnan(value) else _decimals_of(value)
    return min(max(1 - math.floor(math.log10(half)), 0), 8)


def p_value(p: float) -> str:
    """Three decimals, `< 0.001` below."""
    return _special(p) or ("< 0.001" if p < 0.001 else f"{p:.3f}")


def count(number: float) -> str:
    """Whole, by thousands."""
    return _special(number) or f"{number:,.0f}"


def percent(share: float) -> str:
    """One decimal below 10 %."""
    return _special(share) or f"{100 * share:.{1 if 0 < abs(share) < 0.1 else 0}f} %"


def duration(seconds: float) -> str:
    """Seconds, or minutes and seconds."""
    return _special(seconds) or (f"{seconds:.1f} s" if seconds < 120 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s")


def _decimals_of(value: float) -> int:
    size = abs(value)
    if size == 0 or size >= 1000:
        return 0
    if size < 0.001:
        return 1 - math.floor(math.log10(size))
    return 4 if size < 10 else 2 if size < 100 else 1


def _special(value: float) -> str | None:
    if math.isnan(value):
        return NOTHING
    return None if math.isfinite(value) else "∞" if value > 0 else "−∞"


def _minus(text: str) -> str:
    return text.replace("-", "−")
