"""The generic way, on layers without a closed form."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from layer_loop import by_loop, check_all, problem
from torch import nn

from cgpipe.networks.per_example.base import LayerGradients, blocks, rows

# Of some operators torch has no batched form: it takes example by example, and says so.
UNBATCHED = "ignore:There is a performance drop:UserWarning"


class Curved(nn.Module):
    """Not linear in its parameters."""

    def __init__(self, features):
        super().__init__()
        self.w = nn.Parameter(torch.randn(features, generator=torch.Generator().manual_seed(1)))
        self.b = nn.Parameter(torch.ones(()))

    def forward(self, a):
        return torch.exp(self.w) * a + self.b * torch.sin(self.w)


class Tokens(nn.Module):
    """Owns a class token and positions, and contains layers with parameters."""

    def __init__(self, positions, features):
        super().__init__()
        self.token = nn.Parameter(torch.ones(1, 1, features))
        self.positions = nn.Parameter(torch.randn(1, positions + 1, features))
        self.mixed = nn.Sequential(nn.Linear(features, features), nn.Tanh())
        self.register_buffer("shift", torch.ones(features))

    def forward(self, a):
        whole = torch.cat([self.token.expand(len(a), -1, -1), a], dim=1)
        return self.mixed(whole * self.positions) + self.shift


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))

    def forward(self, a):
        return nn.functional.dropout(a) * self.w


@pytest.mark.filterwarnings(UNBATCHED)
@pytest.mark.parametrize(
    ("module", "shapes"),
    [
        (Curved(3), [(3,)]),
        (Curved(3), [(2, 3)]),
        (Tokens(2, 3), [(2, 3)]),
        (nn.PReLU(2), [(2, 3, 3)]),
        (nn.Bilinear(3, 2, 4), [(3,), (2,)]),
        (nn.ConvTranspose2d(2, 3, 2), [(2, 3, 3)]),
        (nn.Conv3d(2, 3, 2), [(2, 3, 3, 2)]),
        (nn.InstanceNorm1d(2, affine=True), [(2, 5)]),
        (nn.BatchNorm1d(3).eval(), [(3,)]),
        (nn.GRUCell(3, 2), [(3,), (2,)]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
@pytest.mark.parametrize("examples", [1, 5])
def test_any_layer_has_the_gradients_of_a_loop(module, shapes, examples):
    generator = torch.Generator().manual_seed(0)
    inputs = tuple(torch.randn(examples, *shape, generator=generator) for shape in shapes)
    check_all(module, inputs, LayerGradients)


@pytest.mark.filterwarnings(UNBATCHED)
def test_an_input_may_be_of_integers():
    module = nn.EmbeddingBag(5, 3, mode="sum")
    check_all(module, (torch.tensor([[0, 0, 4], [1, 2, 3], [1, 1, 1]]),), LayerGradients)


def test_parts_of_examples_give_the_same(monkeypatch):
    monkeypatch.setattr("cgpipe.networks.per_example.base.VALUES", {"cpu": 9})
    module, inputs = Curved(3), (torch.randn(5, 3),)
    assert [len(part.δ) for part in LayerGradients(module, inputs, inputs[0]).parts()] == [2, 2, 1]
    check_all(module, inputs, LayerGradients)


def test_gradients_whose_square_is_not_a_float32_have_a_norm():
    module, inputs, δ = problem(Curved(3), (torch.randn(4, 3),), dtype=torch.float32)
    δ[0], δ[1], δ[2] = 0, δ[1] * 1e-30, δ[2] * 1e30
    expected = sum(rows(g).square().sum(1) for g in by_loop(module, inputs, δ).values())
    found = LayerGradients(module, inputs, δ).squared_norms()
    assert found[0] == 0
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


def test_what_is_not_finite_stays_so():
    δ = torch.ones(3, 3)
    δ[1, 1], δ[2, 2] = torch.nan, torch.inf
    found = LayerGradients(Curved(3), (torch.ones(3, 3),), δ).squared_norms()
    assert found.isfinite().tolist() == [True, False, False]


def test_a_layer_that_draws_random_numbers_is_an_error():
    a = torch.ones(2, 3)
    gradients = LayerGradients(Noisy(), (a,), a)
    for of in (gradients.sums, gradients.squared_norms, lambda: gradients.products({"w": torch.ones(3)})):
        with pytest.raises(RuntimeError, match="random"):
            of()


def test_a_direction_is_of_all_parameters():
    a = torch.ones(2, 3)
    with pytest.raises(KeyError, match="b"):
        LayerGradients(Curved(3), (a,), a).products({"w": torch.ones(3)})


@given(st.lists(st.integers(1, 5), max_size=4), st.integers(0, 30))
def test_blocks_cover_a_shape_once_and_in_order(shape, most):
    places = torch.arange(int(torch.tensor([1, *shape]).prod())).view(shape)
    found = [places[index].flatten() for index in blocks(tuple(shape), most)]
    assert torch.cat(found).tolist() == places.flatten().tolist()
    assert all(len(block) <= max(1, most) for block in found)
