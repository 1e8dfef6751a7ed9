"""What enters and leaves the layers of a module, seen by hooks for the time of one forward pass."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from cgpipe.networks.dense import logit_gradients

Before = Callable[[str], None]
After = Callable[[str, tuple[Any, ...], dict[str, Any], Any], Any]

_RELUS = (
    functional.relu,
    functional.relu_,
    functional.relu6,
    torch.relu,
    torch.relu_,
    torch.Tensor.relu,
    torch.Tensor.relu_,
)


class Call(NamedTuple):
    """One layer in a forward pass."""

    inputs: tuple[torch.Tensor, ...]  # (e, ...) each
    versions: tuple[int, ...]  # of these tensors, when the layer returned
    output: GradientEdge  # in the graph of the logits; the values are not held
    shape: torch.Size  # of the output, (e, ...)


@contextmanager
def hooked(
    modules: Mapping[str, nn.Module], after: After, before: Before = lambda name: None
) -> Iterator[None]:
    """Call functions before and after the forward pass of some modules, with their names.

    What `after` returns takes the place of the module's output, unless it is None.
    """
    handles = []
    try:
        for name, module in modules.items():
            handles += [
                module.register_forward_pre_hook(lambda _, inputs, name=name: before(name)),
                module.register_forward_hook(
                    lambda _, *passed, name=name: after(name, *passed), with_kwargs=True
                ),
            ]
        yield
    finally:
        for handle in handles:
            handle.remove()


def forward(
    module: nn.Module,
    layers: Mapping[str, nn.Module],
    copied: Collection[str],
    images: torch.Tensor,
    look: Callable[[str, torch.Tensor], object] = lambda name, output: None,
) -> tuple[torch.Tensor, dict[str, Call]]:
    """Take some examples forward, with a graph for the backward pass.

    Parameters
    ----------
    module : torch.nn.Module
        The network.
    layers : mapping of str to torch.nn.Module
        The layers to see, by name.
    copied : collection of str
        Layers of which what enters is changed in place afterwards. A copy of it is kept.
    images : tensor of float, shape (e, ...)
        The examples.
    look : callable
        Called with the name of each layer and what leaves it.

    Returns
    -------
    logits : tensor, shape (e, class)
        In the graph.
    calls : dict of str to Call
        One a layer, in the order in which the layers returned.
    """
    calls: dict[str, Call] = {}

    def keep(
        name: str, inputs: tuple[Any, ...], keywords: dict[str, Any], output: Any
    ) -> torch.Tensor | None:
        look(name, output)
        if not output.requires_grad:
            raise ValueError(
                f"layer {name} has parameters that need a gradient, and runs without gradients "
                "(torch.no_grad, or a checkpoint that enters again): set their requires_grad to False, or "
                "let it run with gradients (use_reentrant=False)"
            )
        if name in copied:
            inputs = tuple(value.detach().clone() for value in inputs)
        versions = tuple(value._version for value in inputs)
        calls[name] = Call(inputs, versions, get_gradient_edge(output), output.shape)
        # A view that is changed in place gets another place in the graph.
        return output.clone() if output._is_view() else None

    with torch.enable_grad(), hooked(layers, keep):
        logits = module(images)
    return logits, calls


def changed_in_place(calls: Mapping[str, Call]) -> list[str]:
    """Layers of which something that entered was changed in place after they returned."""
    return [
        name
        for name, call in calls.items()
        if call.versions != tuple(value._version for value in call.inputs)
    ]


def backward(
    logits: torch.Tensor, calls: Mapping[str, Call], labels: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Gradient of the *summed* loss at the output of each layer, shapes (e, ...); none for parameters.

    Parameters
    ----------
    logits, calls
        As `forward` returned them.
    labels : tensor of int, shape (e,)
        The classes to learn.

    Returns
    -------
    dict of str to tensor
        By layer; zeros where the output does not reach the logits.
    """
    δ = logit_gradients(logits.detach(), labels)
    found = torch.autograd.grad(logits, [call.output for call in calls.values()], δ, allow_unused=True)
    return {
        name: δ.new_zeros(call.shape) if gradient is None else gradient
        for (name, call), gradient in zip(calls.items(), found, strict=True)
    }


class Relus(TorchFunctionMode):
    """How many examples of a forward pass activate each unit of each ReLU, called as a module or a function.

    A unit is an element of what a ReLU gives for one example, and active where that is positive. Counted are
    nn.ReLU, nn.ReLU6, classes derived from these, and their functions, by the names of the module that calls
    them; from its second call on with a number.

    Attributes
    ----------
    counts : dict of str to tensor of int64
        Shapes those of the units, in the order of the forward pass.
    shapes : dict of str to tuple of int
        Of what a ReLU gives, units and all. Where the first axis is not the examples, counts have no meaning.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, torch.Tensor] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._running: list[tuple[str, nn.Module]] = []

    @classmethod
    def of(cls, module: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, "Relus"]:
        """The logits of some examples, without a graph, and what was counted."""
        modules = dict(module.named_modules())
        seen = cls()

        def entered(name: str) -> None:
            seen._running.append((name, modules[name]))

        def left(*call: Any) -> None:
            seen._running.pop()

        with torch.no_grad(), hooked(modules, left, entered), seen:
            logits = module(images)
        return logits, seen

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        output = function(*args, **kwargs)
        if function in _RELUS or (function is functional.hardtanh and kwargs.get("min_val") == 0):
            path, module = self._running[-1]
            own = isinstance(module, (nn.ReLU, nn.ReLU6))
            name = path if own and path else f"{path}.relu".lstrip(".")
            times = sum(known.rpartition(":")[0] == name or known == name for known in self.counts)
            name = f"{name}:{times + 1}" if times else name
            self.counts[name], self.shapes[name] = (output > 0).sum(0), tuple(output.shape)
        return output
