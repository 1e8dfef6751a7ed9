"""Per-example gradients of one layer by a loop over single examples in float64, and what follows."""

import copy
from unittest import mock

import torch

from cgpipe.networks.dense import Layer
from cgpipe.networks.per_example.base import own_parameters, rows


def problem(module, inputs, seed=0, dtype=torch.float64):
    """The layer and its floating-point inputs in a precision, and a δ of which some values are 0."""
    if not isinstance(module, Layer):
        module = module.to(dtype)
    inputs = tuple(value.to(dtype) if value.is_floating_point() else value for value in inputs)
    with torch.no_grad():
        left = output(module, inputs)
    generator = torch.Generator().manual_seed(seed)
    δ = torch.randn(left.shape, generator=generator, dtype=torch.float64).to(dtype)
    δ[torch.rand(left.shape, generator=generator) < 0.2] = 0
    return module, inputs, δ


def output(module, inputs):
    if isinstance(module, Layer):
        return torch.nn.functional.linear(*inputs, module.weight, module.bias)
    return module(*inputs)


def by_loop(module, inputs, δ):
    """Gradient of each own parameter, by name: (e, *shape), float64."""
    if isinstance(module, Layer):
        module = Layer(*(p.double().requires_grad_() for p in module))
        own = module._asdict()
    else:
        module = copy.deepcopy(module).double()
        own = dict(module.named_parameters(recurse=False))
    rows = []
    for number in range(len(δ)):
        alone = tuple(value[number : number + 1] for value in inputs)
        alone = tuple(value.double() if value.is_floating_point() else value for value in alone)
        loss = (output(module, alone) * δ[number : number + 1].double()).sum()
        rows.append(torch.autograd.grad(loss, list(own.values())))
    return {name: torch.stack(of) for name, of in zip(own, zip(*rows, strict=True), strict=True)}


def check(gradients, expected, seed=0, values=40, tolerance=1e-12, least=1):
    """All that `LayerGradients` gives, against the gradients of the loop.

    The tolerance is relative to the largest value of its kind. A tile has `least` parameters at least.
    """

    def near(found, sought):
        assert found.shape == sought.shape
        scale = max(float(sought.abs().max()), 0.01) if sought.numel() else 0.0
        torch.testing.assert_close(found.double().cpu(), sought, rtol=tolerance, atol=tolerance * scale)

    examples = len(gradients.δ)
    generator = torch.Generator().manual_seed(seed)
    assert list(gradients.parameters) == list(expected)
    direction = {
        name: torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.device)
        for name, p in gradients.parameters.items()
    }
    sums, products = gradients.sums(), gradients.products(direction)
    squares = gradients.squared_norms()
    assert products.dtype == squares.dtype == torch.float64
    near(squares, sum(rows(g).square().sum(1) for g in expected.values()))
    size = sum(float((rows(g).abs() @ direction[n].flatten().abs().cpu()).max()) for n, g in expected.items())
    exact = sum(rows(g) @ direction[name].flatten().cpu() for name, g in expected.items())
    torch.testing.assert_close(products.cpu(), exact, rtol=0, atol=tolerance * max(size, 0.01))
    assert list(sums) == list(expected)
    for name, g in expected.items():
        scale = float(g.abs().sum(0).max())
        torch.testing.assert_close(
            sums[name].double().cpu(), g.sum(0), rtol=0, atol=tolerance * max(scale, 0.01)
        )
        index = torch.randint(g[0].numel(), (5,), generator=generator)
        near(gradients.sampled(name, index.to(gradients.δ.device)), rows(g)[:, index])
    for most in (values, 10**9):
        seen = {name: torch.zeros(p.shape) for name, p in gradients.parameters.items()}
        for name, index, found in gradients.tiles(most):
            assert found.numel() <= max(most, examples * least)
            near(found, expected[name][:, *index])
            found.zero_()  # a tile may be written to
            seen[name][index] += 1
        assert all(bool((times == 1).all()) for times in seen.values())


def check_all(module, inputs, kind, *, seed=0, values=40, least=1):
    """A layer's gradients in float64, of some examples, times numbers, and in float32, against the loop."""
    module, inputs, δ = problem(module, inputs, seed)
    expected = by_loop(module, inputs, δ)
    gradients = kind(module, inputs, δ)
    assert list(own_parameters(module)) == list(expected)
    check(gradients, expected, seed, values, least=least)
    members = torch.tensor([len(δ) - 1, 0])
    some = {name: g[members] for name, g in expected.items()}
    check(gradients.of(members), some, seed, values, least=least)
    weights = torch.linspace(-1, 2, len(δ), dtype=torch.float64)
    times = {name: g * weights.view(-1, *(1 for _ in g.shape[1:])) for name, g in expected.items()}
    with mock.patch.dict("cgpipe.networks.per_example.base.VALUES", cpu=50):  # few examples at a time
        check(gradients.scaled(weights), times, seed, values, least=least)
    module, inputs, δ = problem(module, inputs, seed, torch.float32)
    check(kind(module, inputs, δ), by_loop(module, inputs, δ), seed, values, 1e-4, least)
