"""Gradients of each example's own loss with respect to one layer's parameters, for any layer.

What entered the layer, a, and the gradient of the *summed* loss at its output, δ, say everything about them.
`LayerGradients` serves any module by torch.func; layers with closed forms have subclasses.

Index letters: e example. All gradients are at the scale of one example, and sums are sums.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from math import prod
from typing import NamedTuple, Self, TypeAlias

import torch
from torch.func import functional_call, vjp, vmap
from torch.nn import Module
from torch.nn.attention import SDPBackend, sdpa_kernel

from cgpipe.networks.dense import Layer

AnyLayer: TypeAlias = Module | Layer

# Numbers formed at once, examples × parameters: on a CPU what its cache holds, on a GPU few large operations.
VALUES = {"cpu": 2**18}
VALUES_ELSEWHERE = 2**26


class Tile(NamedTuple):
    """Every example's gradient at a block of one parameter."""

    name: str
    index: tuple[slice, ...]  # type: ignore[assignment]  # which block: parameter[index]
    gradients: torch.Tensor  # (e, *shape of the block)


class LayerGradients:
    """Per-example gradients of one layer, by torch.func.

    It serves a layer that treats each example on its own, along the first axis: of one or several inputs, not
    linear in its parameters, or with layers of its own, whose parameters are not its. A layer that draws
    random numbers is an error. `formed` forms the gradients, of a few examples; everything else is what is
    taken from them, some examples at a time, or without forming them.

    Parameters
    ----------
    module : torch.nn.Module or Layer
        The layer.
    inputs : tuple of tensors, shapes (e, ...)
        What entered it.
    δ : tensor of float, shape (e, ...)
        Gradient of the *summed* loss at its output, so that row e is that of example e's own loss.

    Attributes
    ----------
    parameters : dict of str to tensor
        The layer's own, by name; those of layers inside it are left out.
    """

    # Whether its sums are the same after the parameters have changed: not by torch.func, unless the layer
    # is linear in them.
    lasting = False

    def __init__(self, module: AnyLayer, inputs: tuple[torch.Tensor, ...], δ: torch.Tensor) -> None:
        self.module = module
        self.inputs = tuple(value.detach() for value in inputs)
        self.δ = δ.detach()
        self.parameters = own_parameters(module)

    @staticmethod
    def serves(module: AnyLayer) -> bool:
        """Whether this class is right for the layer as it is set; if not, torch.func takes its place."""
        return True

    def of(self, members: torch.Tensor) -> Self:
        """Those of some examples.

        Parameters
        ----------
        members : tensor of int, shape (n,)
            Which, one at least.
        """
        # On a CPU index_select copies rows whole, in a third of the time that indexing takes.
        inputs = tuple(value.index_select(0, members) for value in self.inputs)
        return type(self)(self.module, inputs, self.δ.index_select(0, members))

    def scaled(self, weights: torch.Tensor) -> Self:
        """Each example's gradient times a number.

        Parameters
        ----------
        weights : tensor of float, shape (e,)
            The numbers.
        """
        return type(self)(self.module, self.inputs, self.δ * _by_example(weights.to(self.δ.dtype), self.δ))

    def formed(self) -> dict[str, torch.Tensor]:
        """Every example's gradient, shapes (e, *shape of the parameter); take a few examples, by `parts`."""

        def gradient(inputs: tuple[torch.Tensor, ...], δ: torch.Tensor) -> dict[str, torch.Tensor]:
            pull = vjp(lambda parameters: self._output(parameters, *inputs), self.parameters)[1]
            gradients: dict[str, torch.Tensor] = pull(δ)[0]
            return gradients

        gradients: dict[str, torch.Tensor] = vmap(gradient, randomness="error")(self.inputs, self.δ)
        return gradients

    def sums(self) -> dict[str, torch.Tensor]:
        """Σ_e g_e, shapes of the parameters."""
        sums: dict[str, torch.Tensor] = vjp(self._outputs, self.parameters)[1](self.δ)[0]
        return sums

    def squared_norms(self) -> torch.Tensor:
        """‖g_e‖² over the layer's parameters, float64, shape (e,).

        Each example's δ is first divided by its largest value: in float32, the square of a gradient below
        1e-23 comes to nothing. The squares are summed in the layer's precision.
        """
        largest = rows(self.δ).abs().amax(1)
        largest = torch.where(largest == 0, 1, largest)  # (e,)
        level = type(self)(self.module, self.inputs, self.δ / _by_example(largest, self.δ))
        return level._squared_norms().double() * largest.double().square()

    def products(self, direction: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """⟨direction, g_e⟩ over the layer's parameters, float64 of sums in the layer's precision, shape (e,).

        Parameters
        ----------
        direction : mapping of str to tensor
            By name, of the parameters' shapes.
        """
        along = {name: direction[name].to(p.dtype) for name, p in self.parameters.items()}
        pull = vjp(self._outputs, self.parameters)[1]
        with suppress(NotImplementedError):  # an operator without a second derivative
            # ⟨along, pull(δ)⟩ is linear in δ. Forward mode would not see the padding of an embedding.
            return dot(vjp(pull, self.δ)[1]((along,))[0], self.δ)
        return self._formed_products(along)

    def pairs(self) -> torch.Tensor:
        """⟨g_e, g_e'⟩ of all pairs of the examples, float64, shape (e, e); some parameters at a time."""
        products = self.δ.new_zeros((len(self.δ), len(self.δ)), dtype=torch.float64)
        for _, _, gradients in self.tiles(values_at_once(self.δ)):
            flat = rows(gradients).double()
            products += flat @ flat.T
        return products

    def tiles(self, values: int) -> Iterator[Tile]:
        """Gradients of all examples, all parameters a block at a time.

        Parameters
        ----------
        values : int
            Numbers in a tile, at most; a tile has one parameter at least. A tile may be written to.
        """
        fits = len(self.δ) * size_of(self.parameters) <= values
        formed = self.formed() if fits else None
        for name, parameter in self.parameters.items():
            for index in blocks(parameter.shape, values // len(self.δ)):
                whole = [formed] if formed else (part.formed() for part in self.parts())
                found = [gradients[name][:, *index] for gradients in whole]
                yield Tile(name, index, found[0] if formed else torch.cat(found))

    def sampled(self, name: str, index: torch.Tensor) -> torch.Tensor:
        """Gradients of some parameters, shape (e, n).

        Parameters
        ----------
        name : str
            Of which parameter.
        index : tensor of int, shape (n,)
            Places in it, flattened.
        """
        return torch.cat([rows(part.formed()[name])[:, index] for part in self.parts()])

    def parts(self, each: int | None = None) -> Iterator[Self]:
        """Some examples at a time, at least one.

        Parameters
        ----------
        each : int, optional
            Numbers that one example takes; by default the parameters, or more that leave the layer.
        """
        each = each or max(1, size_of(self.parameters), self.δ[:1].numel())
        at_once = max(1, values_at_once(self.δ) // each)
        if at_once >= len(self.δ):
            yield self
            return
        for start in range(0, len(self.δ), at_once):
            part = slice(start, start + at_once)
            yield type(self)(self.module, tuple(value[part] for value in self.inputs), self.δ[part])

    def _squared_norms(self) -> torch.Tensor:
        """‖g_e‖², shape (e,); no value of δ is above 1."""
        return torch.cat(
            [torch.stack([dot(g, g) for g in part.formed().values()]).sum(0) for part in self.parts()]
        )

    def _formed_products(self, along: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """⟨along, g_e⟩ from the formed gradients, float64, shape (e,)."""
        return torch.cat(
            [
                torch.stack([dot(g, along[name][None]) for name, g in part.formed().items()]).sum(0)
                for part in self.parts()
            ]
        )

    def _output(self, parameters: Mapping[str, torch.Tensor], *inputs: torch.Tensor) -> torch.Tensor:
        """What one example gives."""
        alone = tuple(value[None] for value in inputs)
        with sdpa_kernel(SDPBackend.MATH):  # torch's other ways of attention know neither vmap nor jvp
            left: torch.Tensor = functional_call(self.module, dict(parameters), alone)  # type: ignore[arg-type]
        return left[0]

    def _outputs(self, parameters: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """What all examples give, each on its own: a layer that draws numbers is an error here too."""
        each = vmap(self._output, (None, *(0 for _ in self.inputs)), randomness="error")
        outputs: torch.Tensor = each(parameters, *self.inputs)
        return outputs


class SmallLayerGradients(LayerGradients):
    """For layers with few parameters and a closed form of `formed`: all else follows from it.

    Set `lasting` if that form does not depend on the values of the parameters.
    """

    def sums(self) -> dict[str, torch.Tensor]:
        """Σ_e g_e, shapes of the parameters."""
        parts = [part.formed() for part in self.parts()]
        return {name: torch.stack([part[name].sum(0) for part in parts]).sum(0) for name in self.parameters}

    def products(self, direction: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """⟨direction, g_e⟩, as in `LayerGradients`."""
        return self._formed_products({name: v.to(self.δ.dtype) for name, v in direction.items()})


def own_parameters(module: AnyLayer) -> dict[str, torch.Tensor]:
    """A layer's own parameters by name, those of layers inside it left out; the bias last.

    A module has them in the order in which they were set, and pruning, for one, sets a weight anew.
    """
    named = module._asdict().items() if isinstance(module, Layer) else module.named_parameters(recurse=False)
    own = {name: parameter.detach() for name, parameter in named if parameter is not None}
    return {name: own[name] for name in sorted(own, key="bias".__eq__)}


def has_weight_and_bias(module: AnyLayer) -> bool:
    """Whether `weight`, with or without `bias`, are its parameters; with torch's weight_norm they are not."""
    return set(own_parameters(module)) in ({"weight"}, {"weight", "bias"})


def blocks(shape: tuple[int, ...], most: int) -> Iterator[tuple[slice, ...]]:
    """Blocks of a tensor in order, each of at most so many places and of at least one."""
    if not shape or prod(shape) <= most:
        yield tuple(slice(0, length) for length in shape)
        return
    at_once = max(1, most // prod(shape[1:]))
    for start in range(0, shape[0], at_once):
        for rest in blocks(shape[1:], most):
            yield (slice(start, min(start + at_once, shape[0])), *rest)


def dot(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Inner products of the examples, summed in their precision, float64, shape (e,)."""
    product: torch.Tensor = torch.linalg.vecdot(rows(first), rows(second))
    return product.double()


def rows(values: torch.Tensor) -> torch.Tensor:
    """The values of each example (e, ...) as one row, (e, n)."""
    return values.flatten(1) if values.ndim > 1 else values[:, None]


def values_at_once(like: torch.Tensor) -> int:
    """How many numbers are formed at once, on the device of a tensor."""
    return VALUES.get(like.device.type, VALUES_ELSEWHERE)


def size_of(parameters: Mapping[str, torch.Tensor]) -> int:
    """How many numbers some parameters have."""
    return sum(parameter.numel() for parameter in parameters.values())


def _by_example(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Values of the examples (e,) as (e, 1, ...), to go with a tensor."""
    return values.view(-1, *(1 for _ in like.shape[1:]))
