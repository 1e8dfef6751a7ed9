"""Numbers in other ways than YAML takes them, and how to write them for it."""

import math
import re
from contextlib import suppress
from decimal import Decimal
from typing import Any


def number_hint(given: str, *, whole: bool = False) -> str:
    """The end of a message on text that should be a number: how to write it; empty if it is none.

    Parameters
    ----------
    given : str
        The text, such as `50%`, `60,000` or `1e-3`.
    whole : bool
        Whether the number is to be a whole one.

    Examples
    --------
    >>> number_hint("50%"), number_hint("60,000", whole=True)
    ('. Write 0.5', '. Write 60000')
    """
    meant = as_people_write(given)
    if meant is not None:
        return f". Write {meant}" if isinstance(meant, int) or not whole else ""
    try:
        number = float(given)
    except ValueError:
        try:
            number = int(given, 0)  # 0o10 of YAML 1.2
        except ValueError:
            return ""
    if not math.isfinite(number):
        return ""
    if whole:
        return f". It was read as text: write {int(number)}" if number == int(number) else ""
    mantissa, e, exponent = given.strip().lower().partition("e")
    # YAML wants both the point and the sign of the exponent.
    point = "" if "." in mantissa else ".0"
    sign = "" if exponent[:1] in ("-", "+") else "+"
    written = f"{mantissa}{point}e{sign}{exponent}" if e else repr(number)
    return f". YAML reads {given} as text: write {written}"


def list_hint(given: object, of: type) -> str:
    """The end of a message on what should be a list: how to write it; empty if that is not known.

    Parameters
    ----------
    given : object
        What was given.
    of : type
        Of its members: str, int or float.

    Examples
    --------
    >>> list_hint(2048, int), list_hint("0, 50%", float), list_hint("one", str)
    ('. Write [2048]', '. Write [0, 0.5]', '. Write [one]')
    """
    members: list[Any] = [given] if type(given) in (int, float) else []
    if isinstance(given, str):
        members = [part.strip() for part in given.strip("()").split(",")]
        if of is not str:
            alone = _number(given, of)
            members = [_number(part, of) for part in members] if alone is None else [alone]
    if not members or any(member in (None, "") for member in members):
        return ""
    return f". Write [{', '.join(map(str, members))}]"


def as_people_write(given: str) -> int | float | None:
    """The number in text such as `50%`, `60,000` or `0,5`; None for all other text."""
    digits = given.strip().removesuffix("%").strip()
    if re.fullmatch(r"[-+]?[1-9][0-9]{0,2}([ ,'][0-9]{3})+(\.[0-9]+)?", digits):
        digits = re.sub("[ ,']", "", digits)
    elif re.fullmatch(r"[-+]?[0-9]+,[0-9]+", digits):
        digits = digits.replace(",", ".")
    if digits == given.strip() or not re.fullmatch(r"[-+]?[0-9]{1,15}(\.[0-9]{1,15})?", digits):
        return None
    number = Decimal(digits) / (100 if given.strip().endswith("%") else 1)
    return int(number) if number == int(number) else float(number)


def _number(given: str, of: type) -> int | float | None:
    """The number in any text; None if there is none of this type."""
    meant = as_people_write(given)
    for kind in (int, float):
        with suppress(ValueError):
            meant = kind(given) if meant is None else meant
    fits = meant is not None and math.isfinite(meant) and (of is float or isinstance(meant, int))
    return meant if fits else None
