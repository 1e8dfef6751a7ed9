"""The displacement and its parts, against loops over examples in float64 and against averaged weights."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import by_example, conv_problem
from problems import flat as flat_rows
from torch.nn.functional import cross_entropy

from cgpipe.gradients.displacement import (
    Window,
    displacement,
    measure_displacement,
    rising_and_falling,
    starts,
    weighted_sum,
)
from cgpipe.learning.batches import BatchOrder
from cgpipe.learning.rules import update_rule
from cgpipe.learning.training import trainer
from cgpipe.networks.dense import Layer, initial_layers
from cgpipe.networks.fully_connected import Dense
from cgpipe.networks.module import ModuleNetwork
from cgpipe.networks.per_example import SmallLayerGradients, register

RATE = 0.3


def run_of(widths, examples, batch_size, updates, dtype=torch.float64, c=0, seed=0):
    """A run of plain or winsorized SGD: its updates, as often as they are asked for, and its examples."""
    rng = np.random.default_rng(seed)
    if widths == "convolutional":
        first, images, labels = conv_problem(examples, dtype)
    else:
        first = Dense([Layer(*(p.to(dtype) for p in of)) for of in initial_layers(widths, "official", rng)])
        images = torch.from_numpy(rng.normal(size=(examples, widths[0]))).to(dtype)
        labels = torch.from_numpy(rng.integers(0, widths[-1], examples))

    def replay(after=None):
        network = first.copy()
        order = BatchOrder(examples, batch_size, np.random.default_rng(seed))
        stepping = trainer(network, images, labels, batch_size, update_rule("winsorized_mean", c, batch_size))
        for _ in range(updates):
            batch = order.next()
            yield network, batch
            stepping.step(batch, RATE)
        if after is not None:
            after.append(network.copy())

    return replay, images, labels


def gradient(network, x, y):
    """Gradient of one example's loss, all parameters in one float64 array."""
    if isinstance(network, ModuleNetwork):
        return flat_rows(by_example(network, x[None], y[None]))[0]
    parameters = [p.double().clone().requires_grad_() for p in network.state().values()]
    x = x.double()
    for weight, bias in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
        x = torch.relu(weight @ x + bias)
    cross_entropy((parameters[-2] @ x + parameters[-1])[None], y[None]).backward()
    return np.concatenate([p.grad.numpy().ravel() for p in parameters])


def flat(layers):
    return np.concatenate([p.double().numpy().ravel() for of in layers for p in of.values()])


def by_loop(replay, half, images, labels):
    """T, c_e, Σ (ω ‖g_e‖)² and visits by their definitions."""
    weights = [(k + 0.5) / half if k < half else (2 * half - k - 0.5) / half for k in range(2 * half)]
    visits = [
        (e, ω * gradient(layers, images[e], labels[e]))
        for ω, (layers, batch) in zip(weights, replay(), strict=True)
        for e in batch
    ]
    total = sum(g for _, g in visits)
    c, squares, counts = np.zeros((3, len(images)))
    for e, g in visits:
        c[e] += total @ g
        squares[e] += g @ g
        counts[e] += 1
    return total, c, squares, counts


@given(
    st.lists(st.integers(1, 5), min_size=2, max_size=4) | st.just("convolutional"),
    st.integers(1, 9),
    st.data(),
    st.integers(1, 4),
    st.sampled_from([0, 0, 1]),
)
def test_it_is_a_loop_over_the_visits_in_float64(widths, examples, data, half, c):
    batch_size = data.draw(st.integers(2 * c + 1, max(examples, 2 * c + 1)))
    examples = max(examples, batch_size)
    replay, images, labels = run_of(widths, examples, batch_size, 2 * half, c=c)
    found = displacement(Window(0, half, replay), images, labels)
    total, contribution, squares, visits = by_loop(replay, half, images, labels)
    np.testing.assert_allclose(
        flat(weighted_sum(replay(), rising_and_falling(half), images, labels)), total, atol=1e-10
    )
    np.testing.assert_allclose(found.contribution, contribution, atol=1e-9)
    np.testing.assert_allclose(found.squared_norm_sum, squares, atol=1e-9)
    assert found.visits.tolist() == visits.tolist()
    assert found.way == pytest.approx(total @ total, abs=1e-9)


def test_many_visits_are_counted():
    replay, images, labels = run_of([3, 2], 4, 4, 400)
    made = measure_displacement([Window(0, 200, replay)], images, labels, np.arange(4) < 2)
    assert (made["visits"] == 400).all()
    assert not np.shares_memory(made["label"].values, labels.numpy())


def test_many_updates_and_large_minibatches_are_summed_in_parts():
    """More examples than are summed at once, in one minibatch and in several."""
    for examples, batch_size, half in ((5_000, 4_999, 1), (3_000, 700, 2)):
        replay, images, labels = run_of([3, 4, 3], examples, batch_size, 2 * half)
        found = displacement(Window(0, half, replay), images, labels)
        total, contribution, _, _ = by_loop(replay, half, images, labels)
        np.testing.assert_allclose(found.contribution, contribution, rtol=1e-9, atol=1e-9 * total @ total)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_contributions_sum_to_the_squared_norm(dtype, tolerance):
    replay, images, labels = run_of([20, 30, 10], 230, 10, 92, dtype)
    found = displacement(Window(0, 46, replay), images, labels)
    assert found.contribution.sum() == pytest.approx(found.way, rel=tolerance)


@pytest.mark.parametrize("half", [1, 2, 7, 20])
def test_of_plain_sgd_it_is_the_way_between_the_means_of_the_weights_over_the_halves(half):
    """Means by the trapezoid rule: the weights at the ends of a half count half."""
    after = []
    replay, images, labels = run_of([6, 8, 4], 53, 10, 2 * half)
    path = np.array(
        [flat(network.parameters()) for network, _ in replay(after)] + [flat(after[0].parameters())]
    )  # (update, weight)
    first, second = (np.trapezoid(path[part : part + half + 1], axis=0) / half for part in (0, half))
    total = flat(weighted_sum(replay(), rising_and_falling(half), images, labels))
    np.testing.assert_allclose(total, 10 / RATE * (first - second), rtol=1e-9, atol=1e-10)


def weights_by_their_directions():
    """A linear layer whose output is not linear in its parameters."""

    class ByDirection(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.length = torch.nn.Parameter(torch.linspace(1, 2, 4, dtype=torch.float64))
            self.direction = torch.nn.Parameter(torch.randn(4, 6, dtype=torch.float64))

        def forward(self, x):
            return x @ (self.length[:, None] * self.direction / self.direction.norm(dim=1, keepdim=True)).T

    return ByDirection()


def by_a_form_that_depends_on_the_parameters():
    """With a closed form that is not that of a layer linear in its parameters."""

    class Scale(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.s = torch.nn.Parameter(torch.linspace(-1, 1, 6, dtype=torch.float64))
            self.w = torch.nn.Parameter(torch.randn(4, 6, dtype=torch.float64))

        def forward(self, x):
            return (x * self.s.exp()) @ self.w.T

    class ScaleGradients(SmallLayerGradients):
        def formed(self):
            x, s, w = self.inputs[0], self.parameters["s"], self.parameters["w"]
            return {
                "s": (self.δ @ w) * x * s.exp(),
                "w": self.δ[:, :, None] * (x * s.exp())[:, None],
            }

    register(Scale, ScaleGradients)
    return Scale()


def by_torch():
    return torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(6, 4).double())


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
@pytest.mark.parametrize(
    "last", [weights_by_their_directions, by_a_form_that_depends_on_the_parameters, by_torch]
)
def test_of_a_layer_not_linear_in_its_parameters_it_is_the_way_too(last):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(4, 6).double(), torch.nn.Tanh(), last()
        )
        images, labels = torch.randn(40, 1, 2, 2, dtype=torch.float64), torch.arange(40) % 4
    first, half = ModuleNetwork(module, (1, 2, 2), 4), 4

    def replay(after=None):
        network, order = first.copy(), BatchOrder(40, 10, np.random.default_rng(0))
        stepping = trainer(network, images, labels, 10, update_rule("winsorized_mean", 0, 10))
        for _ in range(2 * half):
            batch = order.next()
            yield network, batch
            stepping.step(batch, RATE)
        if after is not None:
            after.append(network.copy())

    after = []
    path = np.array(
        [flat(network.parameters()) for network, _ in replay(after)] + [flat(after[0].parameters())]
    )
    means = [np.trapezoid(path[part : part + half + 1], axis=0) / half for part in (0, half)]
    total = flat(weighted_sum(replay(), rising_and_falling(half), images, labels))
    np.testing.assert_allclose(total, 10 / RATE * (means[0] - means[1]), rtol=1e-8, atol=1e-9)
    found = displacement(Window(0, half, replay), images, labels)
    assert found.contribution.sum() == pytest.approx(found.way)


def test_examples_that_are_not_visited_contribute_nothing():
    replay, images, labels = run_of([4, 3], 50, 5, 6)
    seen = np.unique(np.concatenate([batch for _, batch in replay()]))
    made = measure_displacement([Window(70, 3, replay)], images, labels, np.arange(50) < 20)
    unseen = np.setdiff1d(np.arange(50), seen)
    assert len(unseen) == 20
    for name in ("contribution", "squared_norm_sum", "visits"):
        assert not made[name].sel(step=70)[unseen].any()
        assert made[name].sel(step=70)[seen].astype(bool).all()


def test_windows_are_measured_one_after_the_other():
    runs = [run_of([4, 5, 3], 30, 10, 2 * half, seed=3) for half in (2, 3)]
    _, images, labels = runs[0]
    pristine = np.arange(30) % 4 > 0
    windows = [Window(10 * half, half, replay) for half, (replay, _, _) in zip((2, 3), runs, strict=True)]
    made = measure_displacement(iter(windows), images, labels, pristine)
    assert made["step"].values.tolist() == [20, 30]
    assert made["half"].values.tolist() == [2, 3]
    assert np.array_equal(made["pristine"], pristine)
    assert np.array_equal(made["label"], labels)
    assert made["visits"].dtype == np.int32
    for window in windows:
        alone = displacement(window, images, labels)
        for name, values in alone._asdict().items():
            np.testing.assert_allclose(made[name].sel(step=window.start), values, rtol=1e-6)
    with pytest.raises(ValueError, match=r"from step 7 on are not finite.*diverged"):
        measure_displacement([Window(7, 2, runs[0][0])], images * np.inf, labels, pristine)


@given(st.lists(st.integers(0, 30_000), unique=True), st.integers(2, 40_000), st.integers(1, 700))
def test_windows_lie_in_the_run_and_are_an_epoch_or_less(snapshots, steps, epoch):
    kept = sorted({0, *snapshots})
    chosen = starts(kept, steps, epoch)
    assert chosen[0][0] == 0
    for start, half in chosen:
        assert start in kept
        assert 1 <= half <= epoch
        assert start + 2 * half <= steps


def test_windows_of_the_papers_run():
    decades = [10**k * d for k in range(4) for d in range(1, 10)]
    chosen = starts([0, *decades, *range(10_000, 100_001, 10_000)], 100_000, 600)
    assert [half for start, half in chosen if start < 1_000] == [10, 10, 20, 50, 100, 200, 500]
    later = [1_000, 2_000, 3_000, 5_000, 7_000, *range(10_000, 100_000, 10_000)]
    assert chosen[7:] == [(start, 600) for start in later]
    with pytest.raises(ValueError, match="a run of 1 updates has no window: give one of at least 2"):
        starts([0, 1], 1, 600)
