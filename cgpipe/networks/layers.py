"""Which module of a network stands for which parameters.

A layer is a module that a forward pass calls once, with tensors alone, one row an example, and that returns
one such tensor. A parameter belongs to the module that holds it if that is a layer, else to the nearest layer
around it. So the output projection of `nn.MultiheadAttention`, which is never called, belongs to the block
that the attention is part of, as the rest of the attention does.
"""

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import nn
from torch.func import functional_call


class Enclosing(nn.Module):
    """A module as a layer whose own parameters are some of those inside it.

    Parameters
    ----------
    module : torch.nn.Module
        The module; shared, not copied.
    names : collection of str
        Parameters inside it. They get the same names here, with / for each dot.
    """

    def __init__(self, module: nn.Module, names: Collection[str]) -> None:
        super().__init__()
        self._enclosed = (module,)  # not as a module of this one
        for name in names:
            self.register_parameter(name.replace(".", "/"), module.get_parameter(name))

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """What the module gives."""
        parameters = {name.replace("/", "."): p for name, p in self._parameters.items()}
        output: torch.Tensor = functional_call(self._enclosed[0], parameters, inputs)  # type: ignore[arg-type]
        return output


def trainable(module: nn.Module, layers: Collection[str]) -> dict[str, list[str]]:
    """Paths of the layers that parameters belong to, and of each the names of these inside it.

    Parameters
    ----------
    module : torch.nn.Module
        The network. Parameters that need no gradient are left out.
    layers : collection of str
        Paths of the modules that are layers, "" for the network itself, which must be one, in the order in
        which they return.
    """
    found: dict[str, list[str]] = {path: [] for path in layers}
    for path, parameter in module.named_parameters():
        owner, _, name = path.rpartition(".")
        while owner not in found:
            owner, _, last = owner.rpartition(".")
            name = f"{last}.{name}"
        if parameter.requires_grad:
            found[owner].append(name)
    return {path: names for path, names in found.items() if names}


def bound(module: nn.Module, layers: Mapping[str, Collection[str]]) -> dict[str, nn.Module]:
    """Each of some layers as a module whose own parameters are those that belong to the layer."""

    def layer(path: str, names: Collection[str]) -> nn.Module:
        inside = module.get_submodule(path)
        own = {name for name, _ in inside.named_parameters(recurse=False)}
        return inside if own == set(names) else Enclosing(inside, names)

    return {path: layer(path, names) for path, names in layers.items()}


def is_layer(inputs: tuple[Any, ...], keywords: Mapping[str, Any], output: Any, examples: int) -> bool:
    """Whether a call is one of a layer: tensors alone, one row an example."""
    rows = (isinstance(value, torch.Tensor) and value.shape[:1] == (examples,) for value in (*inputs, output))
    return not keywords and all(rows)
