import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from problems import update

from cgpipe.kernels import operators, oracle, reference
from cgpipe.learning.controls import InlierClip, NormClip, RandomDrop, ScaledMean, norm_shares
from cgpipe.networks.dense import Layer


@pytest.fixture(scope="module", autouse=True)
def _compiled():
    assert operators.ready() != "reference"


SMALL = st.integers(-3, 3)  # many ties and zeros; sums, products and halves are exact


@st.composite
def layers_of_integers(draw):
    """What entered a layer, the gradients at its output, and a c from 1 on."""
    batch, into, out = draw(st.integers(3, 24)), draw(st.integers(1, 40)), draw(st.integers(1, 5))
    elements = draw(st.sampled_from([SMALL, st.integers(0, 2), st.sampled_from([0, 0, 0, 1]), st.just(0)]))
    a = draw(hnp.arrays(np.float32, (batch, into), elements=elements.map(float)))
    δ = draw(hnp.arrays(np.float32, (batch, out), elements=SMALL.map(float)))
    return torch.from_numpy(a), torch.from_numpy(δ), draw(st.integers(1, (batch - 1) // 2))


def changes(rule, *factors):
    """By how much a rule moves the parameters of a network with these factors, at rate 1."""
    layers = [Layer(δ.new_zeros(δ.shape[1], a.shape[1]), δ.new_zeros(δ.shape[1])) for a, δ in factors]
    update(rule, layers, *map(list, zip(*factors, strict=True)), 1.0)
    return layers


def per_example(a, δ):
    a, δ = a.double().numpy(), δ.double().numpy()
    return δ[:, :, None] * a[:, None, :]


def norm_of(layers):
    return float(torch.cat([p.double().flatten() for layer in layers for p in layer]).norm())


# --- inlier_clip ----------------------------------------------------------------------------------


def test_the_values_nearest_to_the_median_are_moved_onto_it():
    # The median is 2; 2 and then 1 are moved: 3 is as near as 1, and of higher rank.
    assert oracle.inlier_clipped_mean([1.0, 2.0, 3.0, 10.0, -4.0], 1) == (2 + 2 + 3 + 10 - 4) / 5
    # The median is 2.5, and all but the farthest two are moved.
    assert oracle.inlier_clipped_mean([1.0, 2.0, 3.0, 4.0, 9.0, 0.0], 2) == (4 * 2.5 + 9 + 0) / 6


@pytest.mark.parametrize("threads", [1, 2])
@given(layers_of_integers())
def test_the_gradient_is_that_of_the_oracle(threads, case):
    a, δ, c = case
    wanted = oracle.inlier_clipped_mean(per_example(a, δ), c), oracle.inlier_clipped_mean(δ.double(), c)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for found in (
            torch.ops.cgpipe.inlier_clipped_linear_gradient(a, δ, c),
            reference.inlier_clipped_linear_gradient(a, δ, c),
            [-parameter for parameter in changes(InlierClip(c), (a, δ))[0]],
            [-parameter for parameter in changes(InlierClip(c), (a.double(), δ.double()))[0]],
        ):
            for one, exact in zip(found, wanted, strict=True):
                np.testing.assert_allclose(one, exact, rtol=1e-6, atol=1e-6)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("batch", "c"), [(100, 1), (100, 2), (100, 9), (100, 49), (101, 1), (101, 50), (3, 1)]
)
@pytest.mark.parametrize("signed", [False, True])
def test_a_layer_of_many_tiles_is_that_of_sorting_in_float64(batch, c, signed):
    rng = np.random.default_rng(batch + c)
    a = rng.integers(-9 if signed else 0, 10, (batch, 150)) * (rng.random((batch, 150)) < rng.random(150))
    δ = rng.integers(-9, 10, (batch, 70)) * (rng.random((batch, 70)) < rng.random(70))
    a, δ = torch.from_numpy(a.astype(np.float32)), torch.from_numpy(δ.astype(np.float32))
    found = torch.ops.cgpipe.inlier_clipped_linear_gradient(a, δ, c)
    exact = reference.inlier_clipped_linear_gradient(a.double(), δ.double(), c)
    for one, wanted in zip(found, exact, strict=True):
        torch.testing.assert_close(one.double(), wanted, rtol=1e-6, atol=1e-5)


@given(st.integers(1, 9), st.integers(0, 2**16))
def test_of_values_without_ties_the_farthest_stay(c, seed):
    values = np.random.default_rng(seed).standard_normal(19)
    far = np.argsort(abs(values - np.median(values)))[2 * c :]
    expected = (values[far].sum() + 2 * c * np.median(values)) / 19
    assert oracle.inlier_clipped_mean(values, c) == pytest.approx(expected, abs=1e-12)


def test_without_the_kernel_it_is_sorted(monkeypatch):
    monkeypatch.setattr(operators, "ready", lambda: "reference")
    monkeypatch.setattr(torch.ops.cgpipe, "inlier_clipped_linear_gradient", None)
    δ = torch.tensor([[1.0], [2.0], [3.0], [10.0], [-4.0]])
    ((weight, bias),) = changes(InlierClip(1), (torch.ones(5, 1), δ))
    assert weight.item() == bias.item() == pytest.approx(-13 / 5)


# --- random_drop ----------------------------------------------------------------------------------


def left_out(rule, batch, parameters):
    """Which examples each parameter leaves out at the next step, shape (parameter, example)."""
    # Example e counts 2**e, so the sum tells who is in it.
    δ = (2.0 ** torch.arange(batch, dtype=torch.float64)).repeat(parameters, 1).T
    ((weight, bias),) = changes(rule, (torch.ones(batch, 1, dtype=torch.float64), δ))
    kept = -torch.cat([weight[:, 0], bias]) * (batch - 2 * rule.c)
    return (np.rint(kept.numpy()).astype(np.int64)[:, None] >> np.arange(batch)) & 1 == 0


@pytest.mark.parametrize(("batch", "c"), [(3, 1), (7, 1), (7, 3), (10, 2), (40, 19)])
def test_each_parameter_leaves_out_2c_neighbours_in_the_order_of_the_step(batch, c):
    rule = RandomDrop(c, np.random.default_rng(0))
    for _ in range(3):
        out = left_out(rule, batch, 500)
        assert (out.sum(1) == 2 * c).all()
        assert len(np.unique(out, axis=0)) == batch  # one for each place to begin at


def test_all_subsets_are_as_likely():
    rule, count = RandomDrop(1, np.random.default_rng(1)), 4_000
    out = np.concatenate([left_out(rule, 5, 1) for _ in range(count)])  # a weight and a bias a step
    _, seen = np.unique(out, axis=0, return_counts=True)
    assert len(seen) == 10  # pairs of five examples
    sd = np.sqrt(2 * count * 0.1 * 0.9)
    assert (abs(seen - 2 * count / 10) < 4 * sd).all()


def test_what_is_dropped_depends_on_the_generator_and_the_step():
    first, again, other = (left_out(RandomDrop(2, np.random.default_rng(seed)), 30, 50) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    rule = RandomDrop(2, np.random.default_rng(0))
    assert np.array_equal(left_out(rule, 30, 50), first)
    assert not np.array_equal(left_out(rule, 30, 50), first)


# --- scaled_mean, norm_clip -----------------------------------------------------------------------


@st.composite
def networks_of_integers(draw):
    """Factors of one to three layers, and a c from 1 on."""
    cases = draw(st.lists(layers_of_integers(), min_size=1, max_size=3))
    batch = min(len(a) for a, _, _ in cases)
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    factors = [(a[:batch].to(dtype), δ[:batch].to(dtype)) for a, δ, _ in cases]
    return factors, draw(st.integers(1, (batch - 1) // 2))


def winsorized_norm(factors, c):
    return norm_of([reference.winsorized_linear_gradient(a.double(), δ.double(), c) for a, δ in factors])


@given(networks_of_integers())
def test_the_mean_is_scaled_to_the_norm_of_the_winsorized_gradient(case):
    factors, c = case
    means = [reference.mean_linear_gradient(a, δ) for a, δ in factors]
    scaled, own = changes(ScaledMean(c), *factors), norm_of(means)
    scale = winsorized_norm(factors, c) / own if own else 0.0
    for layer, mean in zip(scaled, means, strict=True):
        for change, of_mean in zip(layer, mean, strict=True):
            torch.testing.assert_close(-change, scale * of_mean, rtol=1e-5, atol=1e-6)


@given(networks_of_integers())
def test_gradients_are_scaled_down_to_a_common_norm(case):
    factors, c = case
    gradients = np.concatenate(
        [part for a, δ in factors for part in (per_example(a, δ).reshape(len(a), -1), δ.double())], axis=1
    )
    target = winsorized_norm(factors, c)
    shares = norm_shares(gradients @ gradients.T, len(gradients) * target)
    changed = changes(NormClip(c, len(gradients)), *factors)
    found = -torch.cat([p.flatten() for layer in changed for p in layer]).double().numpy()
    wanted = (shares[:, None] * gradients).mean(0)
    assert np.linalg.norm(wanted) == pytest.approx(target, rel=1e-6, abs=1e-9) or (shares == 1).all()
    # How far τ is off for an error of the target depends on how flat the norm is there.
    np.testing.assert_allclose(np.linalg.norm(found), np.linalg.norm(wanted), rtol=1e-5, atol=1e-6)


def sum_of_norm_at_most(vectors, τ):
    """The sum of vectors that are scaled down to a norm, and its own norm."""
    norms = np.linalg.norm(vectors, axis=1)
    return np.linalg.norm(sum(v * min(1, τ / n) for v, n in zip(vectors, norms, strict=True) if n > 0))


@given(
    hnp.arrays(np.float64, st.tuples(st.integers(1, 8), st.integers(1, 4)), elements=SMALL.map(float)),
    st.just(0.0) | st.floats(1e-140, 1.2),  # squares of smaller ones have few digits, or none
)
def test_the_common_norm_is_the_least_at_which_the_sum_has_the_norm_to_have(vectors, part):
    norms = np.linalg.norm(vectors, axis=1)
    target = part * max(sum_of_norm_at_most(vectors, τ) for τ in (1.0, *norms))
    shares = norm_shares(vectors @ vectors.T, target)
    grid = np.linspace(0, norms.max(), 101)
    if target == 0:
        assert (shares == 0).all()
    elif (shares < 1).any():
        τ = (shares * norms)[(shares < 1) & (norms > 0)].max()
        some = norms > 0
        np.testing.assert_allclose(shares[some], np.minimum(1, τ / norms[some]), rtol=1e-8)
        assert np.linalg.norm(shares @ vectors) == pytest.approx(target, rel=1e-9)
        assert all(sum_of_norm_at_most(vectors, t) < target for t in grid[grid < τ * (1 - 1e-8)])
    else:
        assert all(sum_of_norm_at_most(vectors, t) < target * (1 + 1e-9) for t in grid)


@pytest.mark.parametrize("rule", [ScaledMean(1), NormClip(1, 5)])
@pytest.mark.parametrize(
    ("gradients", "change"),
    [
        ([0.0, 0, 0, 0, 0], 0.0),
        ([5.0, 0, 0, 0, 0], 0.0),  # the winsorized gradient is 0
        ([-4.0, 1, 1, 1, 1], 0.0),  # the mean is 0, the winsorized gradient 1
    ],
)
def test_what_is_zero_stays_so(rule, gradients, change):
    δ = torch.tensor(gradients)[:, None]
    ((weight, bias),) = changes(rule, (torch.ones(5, 1), δ))
    assert weight.item() == bias.item() == change


def test_where_no_common_norm_will_do_none_is_clipped():
    # The winsorized mean is 2, the mean 1, and with τ = 2 it is 1.2, the most there is.
    δ = torch.tensor([2.0, 2, 2, 2, -3])[:, None]
    ((weight, _),) = changes(NormClip(1, 5), (torch.ones(5, 1), δ))
    assert weight.item() == pytest.approx(-1.0, rel=1e-6)
