"""A network by its name or by reference to a function of one's own, under a seed."""

import inspect
import os
import traceback
import types
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from cgpipe.networks.registry import Size, source_path
from cgpipe.networks.zoo import ZOO

# Errors inside these are told at the place that called them.
_OTHERS = (f"{Path(torch.__file__).parent}{os.sep}", f"{Path(__file__).parents[1]}{os.sep}", "<frozen")

T = TypeVar("T")


def build(
    network: str, shape: Size, classes: int, *, seed: int, args: Mapping[str, Any] | None = None
) -> nn.Module:
    """Build a network of the registry, or by a function of one's own.

    Parameters
    ----------
    network : str
        Its name in `ZOO`, or a reference: `path/to/file.py:function` or `package.module:function`. The
        function returns a `torch.nn.Module`, or is one's class. It gets `shape` and `classes` by these names
        if it has such parameters. A file runs as a module of its own: what it imports must be installed.
    shape : tuple of int
        Channels, rows and columns of an image.
    classes : int
        How many there are.
    seed : int
        The initial weights are drawn on the CPU from torch's global generator, which is seeded with this for
        the time of the call.
    args : mapping of str to any, optional
        Further arguments of the function.

    Returns
    -------
    torch.nn.Module
        On the CPU, unless the function moves it.

    Raises
    ------
    ValueError
        If the name is unknown, the source is not found, cannot be imported or raises, lacks the function or
        returns anything else than a module, or the arguments or sizes do not fit.

    Examples
    --------
    >>> build("conv_small", (1, 8, 8), 10, seed=0)[-1]
    Linear(in_features=128, out_features=10, bias=True)
    """
    if ":" not in network and network not in ZOO:
        raise ValueError(f"network {network} is unknown: it is one of {', '.join(ZOO)}, or a reference")
    function = ZOO[network] if network in ZOO else _referred(network)
    signature = inspect.signature(function)
    anything = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    offered = {"shape": shape, "classes": classes}
    given = {name: value for name, value in offered.items() if anything or name in signature.parameters}
    given |= args or {}
    try:
        signature.bind(**given)
    except TypeError as error:
        raise ValueError(
            f"network {network} takes {signature}, and was given {', '.join(given) or 'nothing'}: {error}"
        ) from None
    if network in ZOO:
        return _seeded(seed, lambda: ZOO[network](**given))
    # Twice, to see that the weights follow from the seed.
    built, again = (_seeded(seed, lambda: _told(network, lambda: function(**given))) for _ in range(2))
    if not isinstance(built, nn.Module):
        raise ValueError(f"module: {network} returned {built!r:.80}: let it return a torch.nn.Module")
    others = again.state_dict()
    for name, values in built.state_dict().items():
        if isinstance(values, torch.Tensor) and not is_lazy(values) and not torch.equal(values, others[name]):
            raise ValueError(
                f"module: {network} gives {name} other values when called again with the same seed: let it "
                "draw initial weights from torch's global generator on the CPU"
            )
    return built


def place(error: BaseException) -> str:
    """An error in the code of users: its type, what it says, and where it was, outside torch and cgpipe."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not frame.filename.startswith(_OTHERS)]
    where = f" (at {theirs[-1].filename}:{theirs[-1].lineno})" if theirs else ""
    return f"{type(error).__name__}: {error}{where}"


def _seeded(seed: int, run: Callable[[], T]) -> T:
    """What a function returns that draws from torch's global generator, which is left as it was."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        return run()


def _referred(reference: str) -> Callable[..., Any]:
    """The function that a reference names."""
    path = source_path(reference)
    place, _, name = reference.rpartition(":")
    run = (lambda: _run(path)) if place.endswith(".py") else (lambda: import_module(place))
    module = _told(reference, run)
    function = getattr(module, name, None)
    if not callable(function):
        own = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise ValueError(
            f"module: {reference}: {path} has no function {name}; it has {', '.join(own) or 'none'}"
        )
    return function  # type: ignore[no-any-return]


def _run(path: Path) -> types.ModuleType:
    """Run a file as a module: its source itself, and not compiled code that lies beside it from before."""
    module = types.ModuleType(f"cgpipe_module_{path.stem}")
    module.__file__ = str(path)
    exec(compile(path.read_bytes(), str(path), "exec"), vars(module))
    return module


def _told(reference: str, run: Callable[[], T]) -> T:
    """What the code of users returns; what it raises, as one error."""
    try:
        return run()
    except Exception as error:
        raise ValueError(f"module: {reference} failed: {place(error)}") from error
