"""The networks by name, and modules of one's own by reference: what settings need to know of them.

Imports nothing but Python, so that settings can be checked, and the source of a module be read, without
torch.
"""

import hashlib
import os
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

Size: TypeAlias = tuple[int, int, int]  # of an image: channels, rows, columns

# Fewest rows and columns of an image, by network: with fewer, the pooling leaves nothing.
FEWEST_PIXELS = {"lenet5": 28, "alexnet_small": 7, "vgg11": 28, "resnet18": 8, "conv_small": 4}


def require_size(network: str, shape: Size) -> None:
    """Raise ValueError if a network of the registry does not take images of this size.

    Parameters
    ----------
    network : str
        Its name.
    shape : tuple of int
        Channels, rows and columns of an image.
    """
    fewest = FEWEST_PIXELS[network]
    if min(shape[1:]) < fewest:
        fitting = [name for name, least in FEWEST_PIXELS.items() if min(shape[1:]) >= least]
        raise ValueError(
            f"network {network} takes images of at least {fewest}x{fewest} pixels, and these have "
            f"{shape[1]}x{shape[2]}: give larger images"
            + (f", or take a network for this size: {', '.join(fitting)}" if fitting else "")
        )


def source_path(reference: str) -> Path:
    """Where the source of a module of one's own is.

    Parameters
    ----------
    reference : str
        `path/to/file.py:function` or `package.module:function`. In a path, `~` and variables are expanded.

    Returns
    -------
    Path
        Of the file, which exists; nothing is imported.

    Raises
    ------
    ValueError
        If the reference is none, or its file or module is not found.
    """
    place, _, function = reference.rpartition(":")
    if not place or not function.isidentifier():
        raise ValueError(
            f"module: {reference} names no function: give `path/to/file.py:function` or "
            "`package.module:function`"
        )
    expanded = os.path.expandvars(os.path.expanduser(place))  # noqa: PTH111  (takes a ~ of nobody)
    path = Path(expanded) if place.endswith(".py") else _found(place)
    if path is None or not path.is_file():
        where = f"file {path.absolute()}" if path else f"module {place} among what is installed"
        raise ValueError(f"module: {reference}: there is no {where}")
    return path


def source_hash(reference: str) -> str:
    """SHA-256 of the source of a module of one's own, as hexadecimal digits; of the one file alone.

    Parameters
    ----------
    reference : str
        As for `source_path`, which says what is raised.
    """
    return hashlib.sha256(source_path(reference).read_bytes()).hexdigest()


def _found(module: str) -> Path | None:
    """The file of an installed module; packages that it lies in are not imported."""
    first, *others = module.split(".")
    spec = find_spec(first) if first else None
    for name in others:
        within = spec.submodule_search_locations if spec else None
        spec = PathFinder.find_spec(f"{spec.name}.{name}", within) if spec and within else None
    return Path(spec.origin) if spec and spec.origin else None
