"""Numbers as they are written, in figures and in texts."""


def percent(share: float) -> str:
    """Write a share as a percentage."""
    return f"{100 * share:g}%"


def format_p(p: float, sign: str = "") -> str:
    """Write a p-value after a sign: two significant digits, or "< 1e-16" below the resolution of float64."""
    return "< 1e-16" if p < 1e-16 else f"{sign}{p:.2g}"
