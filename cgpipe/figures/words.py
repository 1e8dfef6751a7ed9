"""Numbers as they are written, in figures and in texts."""


def per_cent(share: float) -> str:
    """Write a share in per cent."""
    return f"{100 * share:g}%"


def format_p(p: float, sign: str = "") -> str:
    """Write a p-value after a sign: two significant digits, or that it is below what float64 resolves."""
    return "< 1e-16" if p < 1e-16 else f"{sign}{p:.2g}"
