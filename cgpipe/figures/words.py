"""Numbers and names as they are written, in figures and in texts."""

import re

# What the settings call an experiment, word by word, where it is not the usual word.
USUAL = {
    "alexnet": "AlexNet",
    "lenet5": "LeNet-5",
    "m3": "M3",
    "private": "DP-SGD",
    "ra3": "RA3",
    "rm3": "RM3",
    "sgd": "SGD",
}


def percent(share: float) -> str:
    """Write a share as a percentage."""
    return f"{100 * share:g}%"


def usual(name: str) -> str:
    """Write the name of an experiment, or of a part of a claim about some, in the usual words.

    Examples
    --------
    >>> usual("lenet5_twin, parameters"), usual("width_64 over width_16")
    ('LeNet-5 twin, parameters', 'width 64 over width 16')
    """
    return re.sub(r"\w+", lambda word: USUAL.get(word[0], word[0]), name.replace("_", " "))


def labels(noise: float) -> str:
    """Write which labels a run has: real ones, random ones, or a share of noise."""
    names: dict[float, str] = {0: "real labels", 1: "random labels"}
    return names.get(noise, f"{percent(noise)} noise")


def rounded(number: float) -> str:
    """Write a positive number with three significant digits and, if it is large, commas.

    Examples
    --------
    >>> rounded(93025.5), rounded(2.5)
    ('93,000', '2.5')
    """
    digits = float(f"{number:.3g}")
    return f"{digits:,.0f}" if digits >= 100 else f"{digits:g}"


def format_p(p: float, sign: str = "") -> str:
    """Write a p-value after a sign: two significant digits, or "< 1e-16" below the resolution of float64."""
    return "< 1e-16" if p < 1e-16 else f"{sign}{p:.2g}"
