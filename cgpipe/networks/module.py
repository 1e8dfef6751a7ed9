"""Any `torch.nn.Module` as a network: layers by the module's own names, per-example gradients by hooks."""

import copy
import warnings
from collections.abc import Sequence

import torch
from torch import nn

from cgpipe.networks.capture import Relus, backward, changed_in_place, forward
from cgpipe.networks.checks import duplicate, found
from cgpipe.networks.dense import logit_gradients
from cgpipe.networks.layers import bound
from cgpipe.networks.network import Network, Pass
from cgpipe.networks.per_example.base import own_parameters
from cgpipe.networks.per_example.registry import layer_gradients


class ModuleNetwork(Network):
    """A module as a network, in eval mode.

    A layer with parameters has the module's own name, such as `features.0`; parameters of the module itself
    are those of a layer by the name of its class. `cgpipe.networks.layers` says which layer a parameter
    belongs to. Parameters that need no gradient (`requires_grad`) are part of the state alone.

    Parameters
    ----------
    module : torch.nn.Module
        Takes images (e, c, h, w) and returns logits (e, classes). It is copied. What gives something else in
        training mode, as batch normalization does, is taken in eval mode, with a warning.
    shape : tuple of int
        Channels, rows and columns of an image.
    classes : int, optional
        How many logits an example must have; by default any number.
    device : torch.device or str
        Where the copy goes; the module is checked on the CPU.

    Attributes
    ----------
    by_mode : list of str
        Paths of what gives something else in training mode, as batch normalization does.

    Raises
    ------
    ValueError
        If the module has no per-example gradients, or none that its layers give: `cgpipe.networks.checks`.

    Examples
    --------
    >>> import torch
    >>> module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3))
    >>> network = ModuleNetwork(module, (1, 2, 2))
    >>> network.layers, [tuple(p.shape) for p in network.state().values()]
    (('1',), [(3, 4), (3,)])
    >>> images, labels = torch.ones(5, 1, 2, 2), torch.tensor([0, 1, 2, 0, 1])
    >>> [one.layers[0].squared_norms().shape for one in network.passes(images, labels, at_once=3)]
    [torch.Size([3]), torch.Size([2])]
    """

    def __init__(
        self,
        module: nn.Module,
        shape: Sequence[int],
        classes: int | None = None,
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        for name, parameter in module.named_parameters():
            if parameter._backward_hooks or parameter._post_accumulate_grad_hooks:
                raise ValueError(
                    f"parameter {name} has a hook on its gradient, which gradients of single examples do not "
                    "see: do the same in the forward pass, such as a mask"
                )
        self.module = duplicate(module).cpu().eval()
        seen = found(self.module, shape, classes)
        self._parameters, self._copied = seen.layers, seen.copied
        self.activations, self.classes, self.width = seen.activations, seen.classes, seen.width
        self.by_mode = seen.by_mode
        if self.by_mode:
            warnings.warn(
                f"{self._first_by_mode()}: taken in eval mode, with saved statistics, so that the gradient "
                "of an example does not depend on others. A training step of plain SGD is taken in training "
                "mode, and has another gradient (cosine_to_training)",
                stacklevel=2,
            )
        if seen.uncounted:
            warnings.warn(
                f"{seen.uncounted[0]}: the first axis of what it gives is not the examples, so its dead and "
                "active units are not counted",
                stacklevel=2,
            )
        self.layers = tuple(path or type(module).__name__ for path in self._parameters)
        self.module.to(device)
        self._bind()

    def parameters(self) -> list[dict[str, torch.Tensor]]:
        """The live parameters of each layer that need a gradient, by name."""
        return [own_parameters(layer) for layer in self._layers.values()]

    def state(self) -> dict[str, torch.Tensor]:
        """All that the logits depend on, live: `layer.name`, and what is not trained by its own name."""
        trained = {f"{path}.{name}".lstrip(".") for path, names in self._parameters.items() for name in names}
        frozen = {name: p.detach() for name, p in self.module.named_parameters() if name not in trained}
        return super().state() | frozen | dict(self.module.named_buffers())

    def copy(self) -> "ModuleNetwork":
        """A copy."""
        twin = copy.deepcopy(self)
        twin._bind()
        return twin

    def double(self) -> "ModuleNetwork":
        """A copy in float64."""
        double = self.copy()
        double.module.double()
        double._bind()
        return double

    @torch.no_grad()
    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """What the network makes of some images, shape (e, class); without gradients."""
        logits: torch.Tensor = self.module(images)
        return logits

    def active(self, images: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The logits, and at each of `activations` how many of the examples activate each unit, int64."""
        logits, seen = Relus.of(self.module, images)
        return logits, [seen.counts[name] for name in self.activations]

    def pass_examples(self, images: torch.Tensor, labels: torch.Tensor, part: slice = slice(None)) -> Pass:
        """Take some examples forward and backward together; no gradient of a parameter is formed."""
        logits, calls = forward(self.module, self._seen, self._copied, images)
        if wrong := [*changed_in_place(calls), *(path for path in self._seen if path not in calls)]:
            raise ValueError(
                f"layer {wrong[0]} is not called, or what it got is changed in place, and this was "
                "not so in the first pass: let what is called not depend on the values of the images"
            )
        δ = backward(logits, calls, labels)
        layers = [layer_gradients(layer, calls[path].inputs, δ[path]) for path, layer in self._layers.items()]
        return Pass(part, logits.detach(), layers)

    def non_finite(self, images: torch.Tensor, labels: torch.Tensor) -> str:
        """Where the first value is that is not finite, forward and then backward, as a sentence."""
        names = dict(zip(self._parameters, self.layers, strict=True))
        finite: dict[str, bool] = {}

        def look(place: str, values: torch.Tensor) -> None:
            finite[place] = bool(torch.isfinite(values).all())

        logits, calls = forward(
            *(self.module, self._seen, self._copied, images),
            lambda path, output: look(f"output of layer {names[path]}", output),
        )
        look("output of the network", logits)
        δ = backward(logits, calls, labels)
        for path in reversed(calls):
            look(f"gradient at the output of layer {names[path]}", δ[path])
        return next((f"the {place} is not finite" for place, good in finite.items() if not good), "")

    def training_gradient(self, images: torch.Tensor, labels: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        """Mean gradient of a minibatch in training mode, by torch, of each layer by parameter.

        It differs from the mean of the per-example gradients where something is `by_mode`: batch
        normalization then takes the statistics of the minibatch, and moves those that it saves.

        Parameters
        ----------
        images, labels
            The minibatch, as of `pass_examples`.
        """
        self.module.train()
        try:
            return self._mean_gradient(images, labels)
        finally:
            self.module.eval()

    def cosine_to_training(self, images: torch.Tensor, labels: torch.Tensor) -> float:
        """Cosine between the mean of the per-example gradients of a minibatch and `training_gradient`.

        Over all parameters that need a gradient. Saved statistics stay as they are.

        Parameters
        ----------
        images, labels
            The minibatch, as of `pass_examples`.
        """
        both = self._mean_gradient(images, labels), self.copy().training_gradient(images, labels)
        here, training = (
            torch.cat([g.flatten() for of in by_layer for g in of.values()]) for by_layer in both
        )
        return float(torch.cosine_similarity(here.double(), training.double(), dim=0, eps=0))

    def require_per_example_gradients(self) -> None:
        """Raise ValueError if training cannot go by per-example gradients, as with batch normalization."""
        if self.by_mode:
            raise ValueError(
                f"{self._first_by_mode()}: in training mode it gives something else, as batch normalization "
                "does, which gradients of single examples do not have: train it by plain SGD (winsor 0), or "
                "use GroupNorm"
            )

    def _first_by_mode(self) -> str:
        first, *others = self.by_mode
        return (f"layer {first}" if first else "the network") + (f" and {len(others)} more" if others else "")

    def _mean_gradient(self, images: torch.Tensor, labels: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        """Mean gradient by torch, in the mode that the module is in."""
        named, layers = self.parameters(), self._layers.values()
        trained = [layer.get_parameter(name) for layer, of in zip(layers, named, strict=True) for name in of]
        with torch.enable_grad():
            logits = self.module(images)
        δ = logit_gradients(logits.detach(), labels) / len(labels)
        gradients = iter(torch.autograd.grad(logits, trained, δ))
        return [{name: next(gradients) for name in of} for of in named]

    def _bind(self) -> None:
        """Let the layers be those of the module as it is."""
        self._seen = {path: self.module.get_submodule(path) for path in self._parameters}
        self._layers = bound(self.module, self._parameters)
