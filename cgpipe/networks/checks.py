"""What a module must be to have per-example gradients, found out by passes of a few random images.

All errors are ValueErrors that name the layer.
"""

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_leaves

from cgpipe.networks.build import place
from cgpipe.networks.capture import Relus, backward, changed_in_place, forward, hooked
from cgpipe.networks.dense import losses
from cgpipe.networks.layers import bound, is_layer, trainable
from cgpipe.networks.per_example.registry import layer_gradients

EXAMPLES = 3  # of a probe
CLOSE = 1e-3  # of the largest value: far above the rounding of float32, far below any of these errors


class Found(NamedTuple):
    """What passes have shown of a module."""

    layers: dict[str, list[str]]  # by path, in the order of the forward pass: names of their parameters
    copied: list[str]  # paths of layers of which what enters is changed in place afterwards
    activations: tuple[str, ...]  # names of the ReLUs
    uncounted: list[str]  # other ReLUs, whose first axis is not the examples
    classes: int
    width: int  # numbers that an example has where it has most
    by_mode: list[str]  # paths of what gives, or saves, something else in training mode than in eval mode


class Returned(NamedTuple):
    """A module that returned during a pass."""

    path: str
    layer: bool  # whether the call was that of a layer
    output: list[torch.Tensor]  # copies


@torch.enable_grad()
def found(module: nn.Module, shape: Sequence[int], classes: int | None) -> Found:
    """Check a module, and find its layers.

    Parameters
    ----------
    module : torch.nn.Module
        On the CPU, in eval mode; left as it was.
    shape : tuple of int
        Channels, rows and columns of an image.
    classes : int, optional
        How many logits an example must have; by default any number.

    Returns
    -------
    Found
        Its layers, and more.

    Raises
    ------
    ValueError
        If it has tied or no parameters, draws random numbers, lets an example depend on others, does not
        take the images or return logits, or has parameters whose gradients do not come by its layers.
    """
    _require_parameters(module)
    dtype = next(p.dtype for p in module.parameters() if p.requires_grad)
    images = torch.rand((EXAMPLES, *shape), generator=torch.Generator().manual_seed(0)).to(dtype)
    logits, returned = _passed(module, images)
    _require_logits(module, logits, classes)
    called = Counter(one.path for one in returned)
    _require_one_call(module, called)
    module.train()
    in_training = _twice(module, images, classes)
    module.eval()
    in_eval = _twice(module, images, classes)
    if in_eval.changed:
        raise ValueError(
            f"{_named(module, in_eval.changed[0])} changes a buffer in eval mode, so that results would "
            "depend on what was evaluated before: change it in training mode alone"
        )
    by_mode = in_training.changed or _first_difference(in_training.returned, returned, CLOSE)
    alone = _passed(module, images[:1])[1]
    if path := _first_difference(returned, alone, CLOSE):
        raise ValueError(
            f"{_named(module, *path)} gives something else for an image alone than among others, and the "
            "gradient of an example must not depend on others: use GroupNorm, or keep running statistics"
        )
    single = {one.path for one in alone if one.layer and called[one.path] == 1}
    layers = trainable(module, [one.path for one in returned if one.layer and one.path in single])
    _require_float64(module, images)
    copied = _require_sums(module, layers, images, logits.shape[1])
    outputs = [value for one in returned for value in one.output if value.shape[:1] == (EXAMPLES,)]
    width = max(value.numel() // EXAMPLES for value in [images, *outputs])
    relus, of_one = (Relus.of(module, some)[1].shapes for some in (images, images[:1]))
    of_both = {name: (shape[:1], of_one.get(name, ())[:1]) for name, shape in relus.items()}
    counted = tuple(name for name, first in of_both.items() if first == ((EXAMPLES,), (1,)))
    uncounted = [name for name in relus if name not in counted]
    return Found(layers, copied, counted, uncounted, logits.shape[1], width, by_mode)


def duplicate(module: nn.Module) -> nn.Module:
    """A copy of a module.

    Raises
    ------
    ValueError
        If it keeps a tensor that was computed, as of a forward pass, which cannot be copied.
    """
    for path, inside in module.named_modules():
        for name, value in vars(inside).items():
            if isinstance(value, torch.Tensor) and not value.is_leaf:
                raise ValueError(
                    f"{_named(module, path)} keeps {name}, a tensor that was computed, and cannot be copied: "
                    "keep no tensors of a forward pass, use torch.nn.utils.parametrizations for normalized "
                    "weights, and end pruning by torch.nn.utils.prune.remove"
                )
    try:
        return copy.deepcopy(module)
    except Exception as error:
        raise ValueError(f"{_named(module, '')} cannot be copied: {place(error)}") from error


class Twice(NamedTuple):
    """What two passes of the same images have shown."""

    returned: list[Returned]
    changed: list[str]  # paths of what changed a buffer


def _twice(module: nn.Module, images: torch.Tensor, classes: int | None) -> Twice:
    """Pass images through a copy of a module twice, in the mode that it is in; ValueError if that differs.

    Its buffers are set back in between, as a checkpoint does. What it keeps elsewhere is lost in one.
    """
    copied = duplicate(module)
    logits, first = _passed(copied, images)
    _require_logits(module, logits, classes)
    after = dict(copied.named_buffers())
    before = dict(duplicate(module).named_buffers())
    changed = [name for name, old in before.items() if not _same(old, after[name])]
    for name in changed:
        if after[name].shape == before[name].shape:
            after[name].copy_(before[name])  # in place, for whatever else holds it
        else:
            setattr(copied.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2], before[name])
    if path := _first_difference(first, _passed(copied, images)[1], 0):
        raise ValueError(_random(module, *path))
    return Twice(first, list(dict.fromkeys(name.rpartition(".")[0] for name in changed)))


def _same(old: torch.Tensor, new: torch.Tensor) -> bool:
    return old.shape == new.shape and torch.allclose(old, new, rtol=0, atol=0, equal_nan=True)


def _random(module: nn.Module, path: str) -> str:
    return (
        f"{_named(module, path)} draws random numbers, or gives something else when it sees the same images "
        "again: build the network without dropout, or with a rate of 0, and keep what changes in buffers"
    )


def _require_float64(module: nn.Module, images: torch.Tensor) -> None:
    """Raise ValueError if a module does not work in float64, in which some gradients are taken."""
    try:
        _passed(duplicate(module).double(), images.double())
    except ValueError as error:
        raise ValueError(
            f"in float64, {error}: use the dtype of what enters (x.dtype), and register constants as buffers"
        ) from error


def _require_logits(module: nn.Module, logits: Any, classes: int | None) -> None:
    """Raise ValueError if a module's output is not (batch, classes)."""
    if isinstance(logits, torch.Tensor):
        examples, *units = logits.shape or (0,)
        fits = examples == EXAMPLES and len(units) == 1 and classes in (None, units[0])
        if fits and logits.is_floating_point():
            ones = torch.ones(EXAMPLES, dtype=logits.dtype)
            if len(logits[0]) > 1 and bool((logits >= 0).all()) and torch.allclose(logits.sum(1), ones):
                raise ValueError(
                    f"{_named(module, '')} returns probabilities: let it return logits, without a softmax"
                )
            return
    is_tensor = isinstance(logits, torch.Tensor)
    given = f"{logits.dtype}, shape {tuple(logits.shape)}" if is_tensor else type(logits).__name__
    raise ValueError(
        f"{_named(module, '')} returns {given} for {EXAMPLES} images: let it return a tensor of float, shape "
        f"(batch, classes)" + ("" if classes is None else f" = ({EXAMPLES}, {classes})")
    )


def _require_one_call(module: nn.Module, called: Mapping[str, int]) -> None:
    """Raise ValueError if a module with parameters of its own is called more than once."""
    for path, inside in module.named_modules():
        own = any(p.requires_grad for p in inside.parameters(recurse=False))
        if own and called.get(path, 0) > 1:
            raise ValueError(
                f"{_named(module, path)} is called {called[path]} times in a forward pass, so that its "
                "parameters are those of several layers (tied weights): give each call a layer of its own"
            )


def _require_parameters(module: nn.Module) -> None:
    """Raise ValueError if a parameter has two names, or none needs a gradient."""
    names: dict[nn.Parameter, str] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if is_lazy(parameter):
            raise ValueError(
                f"parameter {name} has no values yet (a lazy module): give sizes when you build the network"
            )
        if parameter.requires_grad and parameter.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"parameter {name} is {parameter.dtype}: let parameters be torch.float32")
        if parameter in names:
            raise ValueError(
                f"parameters {names[parameter]} and {name} are the same (tied weights), so that their "
                "gradient is that of two layers: give each layer parameters of its own"
            )
        names[parameter] = name
    if not any(parameter.requires_grad for parameter in names):
        raise ValueError(f"{_named(module, '')} has no parameters that need a gradient: nothing to train")


def _passed(module: nn.Module, images: torch.Tensor) -> tuple[Any, list[Returned]]:
    """What a module returns, and what every module in it returns, in this order."""
    images = images.clone()
    modules = dict(module.named_modules())
    running: list[str] = []
    returned: list[Returned] = []
    drew: list[str] = []

    def before(path: str) -> None:
        look()
        running.append(path)

    def after(path: str, inputs: tuple[Any, ...], keywords: dict[str, Any], output: Any) -> None:
        look()
        running.pop()
        tensors = [value.detach().clone() for value in tree_leaves(output) if isinstance(value, torch.Tensor)]
        returned.append(Returned(path, is_layer(inputs, keywords, output, len(images)), tensors))

    def look() -> None:
        """Note which module has drawn random numbers first, from torch's generator."""
        if not drew and not torch.equal(torch.default_generator.get_state(), state):
            drew.extend(running[-1:])

    try:
        with (
            torch.enable_grad(),
            torch.random.fork_rng(devices=[]),
            hooked(modules, after, before),
        ):
            torch.default_generator.seed()
            state = torch.default_generator.get_state()
            output = module(images)
    except Exception as error:
        sizes = "x".join(map(str, images.shape[1:]))
        raise ValueError(
            f"the network does not take images of {sizes} (channels, rows, columns): "
            f"{_named(module, running[-1] if running else '')} raised {place(error)}"
        ) from error
    if drew:
        raise ValueError(_random(module, drew[0]))
    if images._version:
        raise ValueError(f"{_named(module, '')} changes its images in place: let it work on a copy")
    return output, returned


def _first_difference(first: list[Returned], second: list[Returned], close: float) -> list[str]:
    """The path of the first module that returns something else for the images that both have seen."""
    for one, other in zip(first, second, strict=False):
        for a, b in zip(one.output, other.output, strict=False):
            if a.shape != b.shape and (a.shape[:1], b.shape[:1]) != ((EXAMPLES,), (1,)):
                continue  # such as what has the examples along another axis
            a, b = a[: len(b)].double() if a.ndim else a.double(), b.double()
            largest = float(b.abs().max()) if b.numel() else 0.0
            if a.shape != b.shape or not torch.allclose(a, b, rtol=0, atol=close * largest, equal_nan=True):
                return [one.path]
    return []


def _require_sums(
    module: nn.Module, layers: dict[str, list[str]], images: torch.Tensor, classes: int
) -> list[str]:
    """Raise ValueError if gradients of single examples do not add up to that of the loss; `Found.copied`.

    In float64, where gradients of any size are exact. Where weights that are 0 let a gradient be 0
    everywhere, this is looked at with a little noise on them.
    """
    module, images = duplicate(module).double(), images.double()
    copied, gradients = _compare_sums(module, layers, images, classes)
    if not all(gradient.any() for gradient in gradients.values()):
        noisy, generator = duplicate(module), torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in noisy.parameters():
                if parameter.requires_grad:
                    size = float(parameter.square().mean().sqrt()) or 1.0
                    parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1 * size)
        _compare_sums(noisy, layers, images, classes)
    return copied


def _compare_sums(
    module: nn.Module, layers: dict[str, list[str]], images: torch.Tensor, classes: int
) -> tuple[list[str], dict[str, torch.Tensor]]:
    """As `_require_sums`; and the gradient of the loss, by parameter."""
    named = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
    labels = torch.arange(EXAMPLES) % classes
    seen = {path: module.get_submodule(path) for path in layers}
    logits, calls = forward(module, seen, (), images)
    copied = changed_in_place(calls)
    try:
        whole = torch.autograd.grad(losses(logits, labels).sum(), list(named.values()), allow_unused=True)
    except RuntimeError as error:
        raise ValueError(f"{_named(module, '')} has no gradient: {place(error)}") from error
    for name, gradient in zip(named, whole, strict=True):
        if gradient is None:
            raise ValueError(
                f"parameter {name} takes no part in the forward pass: remove it, or set its requires_grad "
                "to False"
            )
    expected = dict(zip(named, (g for g in whole if g is not None), strict=True))
    least = 1e-12 * max(float(gradient.abs().max()) for gradient in expected.values())
    logits, calls = forward(module, seen, copied, images)
    δ = backward(logits, calls, labels)
    for path, layer in bound(module, layers).items():
        try:
            sums = layer_gradients(layer, calls[path].inputs, δ[path]).sums()
        except Exception as error:
            raise ValueError(
                f"{_named(module, path)} has no gradients of single examples by torch.func: {place(error)}. "
                "Register closed forms for its class: cgpipe.networks.register"
            ) from error
        pairs = [(sums[n.replace(".", "/")], expected[f"{path}.{n}".lstrip(".")]) for n in layers[path]]
        if not all(torch.allclose(a, b, rtol=0, atol=CLOSE * b.abs().max().item() + least) for a, b in pairs):
            raise ValueError(
                f"{_named(module, path)}: gradients of single examples do not add up to that of the loss. "
                "Its parameters are used outside its own call, too, or it changes what enters it: give each "
                "use parameters of its own, and use operations that are not in place"
            )
    return copied, expected


def _named(module: nn.Module, path: str) -> str:
    kind = type(module.get_submodule(path)).__name__
    return f"layer {path} ({kind})" if path else f"the network ({kind})"
