"""Contributions of a whole population, against autodiff and against loops over the examples in float64."""

from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import Temperature, by_example, conv_problem, flat, pixels_of
from torch.nn.functional import cross_entropy

from cgpipe.gradients.autodiff import example_contributions_by_autodiff
from cgpipe.gradients.coherence import stiffness
from cgpipe.gradients.population import (
    VARIABLES,
    example_contributions,
    group_gradients,
    inner_products,
    measure_contributions,
)
from cgpipe.gradients.sums import SUMMED
from cgpipe.learning.evaluation import evaluate
from cgpipe.learning.rules import Mean
from cgpipe.learning.trainer import Trainer
from cgpipe.networks.dense import Layer, forward, initial_layers
from cgpipe.networks.given import network_of


def problem(widths, examples, seed=0, dtype=torch.float64):
    rng = np.random.default_rng(seed)
    layers = [
        Layer(of.weight.to(dtype), torch.from_numpy(rng.normal(size=len(of.bias))).to(dtype))
        for of in initial_layers(widths, "official", rng)
    ]
    images = torch.from_numpy(rng.normal(size=(examples, widths[0]))).to(dtype)
    return layers, images, torch.from_numpy(rng.integers(0, widths[-1], examples))


def loss(parameters, x, y):
    """Loss of each example."""
    for number in range(len(parameters) // 2):
        if number:
            x = torch.relu(x)
        x = torch.nn.functional.linear(x, parameters[f"weight{number}"], parameters[f"bias{number}"])
    return cross_entropy(x, y, reduction="none")


def named(layers):
    return {
        f"{name}{number}": value for number, of in enumerate(layers) for name, value in of._asdict().items()
    }


def by_loop(layers, images, labels):
    """Gradient of each example's own loss, layer by layer: (example, layer) of flat float64 arrays."""
    rows = []
    for x, y in zip(images, labels, strict=True):
        parameters = {name: p.detach().clone().requires_grad_() for name, p in named(layers).items()}
        with torch.enable_grad():
            loss(parameters, x[None], y[None]).sum().backward()
        rows.append(
            [
                np.concatenate(
                    [parameters[f"{name}{number}"].grad.numpy().ravel() for name in ("weight", "bias")]
                )
                for number in range(len(layers))
            ]
        )
    return rows


def two_groups(_logits, part):
    return torch.arange(part.start, part.stop) % 2


def groups_of(of):
    return lambda _, part: torch.from_numpy(of)[part]


def assert_those_of_a_loop(layers, images, labels, rows, at_once, summed, seed):
    of = np.random.default_rng(seed).integers(0, 3, len(images))
    with mock.patch("cgpipe.gradients.sums.SUMMED", summed):
        sums = group_gradients(layers, images, labels, groups_of(of), 3, at_once=at_once)
    found = example_contributions(layers, images, labels, sums.total(), at_once=at_once)
    gram = sums.gram()
    for number in range(len(rows[0])):
        each = np.array([row[number] for row in rows])  # (example, parameter)
        totals = np.array([each[of == k].sum(0) for k in range(3)])
        # Of the terms of the sums. Autograd rounds the gradient of a fitted example to 1e-16.
        scale = np.square(each).sum() + 1e-10
        np.testing.assert_allclose(gram[number], totals @ totals.T, rtol=1e-9, atol=1e-12 * scale)
        np.testing.assert_allclose(
            sums.energy[:, number], [np.square(each[of == k]).sum() for k in range(3)], rtol=1e-9, atol=1e-15
        )
        u = each @ each.sum(0)
        np.testing.assert_allclose(found.u[:, number], u, rtol=1e-9, atol=1e-10 * (np.abs(u).max() + 1e-12))
        np.testing.assert_allclose(
            found.squared_norm[:, number], np.square(each).sum(1), rtol=1e-9, atol=1e-15
        )
    assert sums.size.tolist() == [int((of == k).sum()) for k in range(3)]
    z = network_of(layers, images).logits(images)
    losses = cross_entropy(z, labels, reduction="none").numpy()
    np.testing.assert_allclose(sums.loss, [losses[of == k].sum() for k in range(3)], rtol=1e-9, atol=1e-12)
    flat = np.array([np.concatenate(row) for row in rows])
    products = inner_products(layers, images, labels)
    np.testing.assert_allclose(products, flat @ flat.T, rtol=1e-9, atol=1e-12 * np.square(flat).sum())


@given(
    st.lists(st.integers(1, 6), min_size=2, max_size=4),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(0, 2**16),
)
def test_sums_and_contributions_are_those_of_a_loop(widths, examples, at_once, summed, seed):
    given = problem(widths, examples, seed)
    assert_those_of_a_loop(*given, by_loop(*given), at_once, summed, seed)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(0, 2**16))
def test_of_a_convolutional_network_too(examples, at_once, summed, seed):
    network, images, labels = given = conv_problem(examples, last=[Temperature()])
    each = [flat([of]) for of in by_example(*given)]  # by layer: (example, parameter)
    rows = [[of[e] for of in each] for e in range(examples)]
    assert_those_of_a_loop(network, images, labels, rows, at_once, summed, seed)


@given(
    st.lists(st.integers(1, 150), min_size=2, max_size=3),
    st.integers(1, 40),
    st.integers(1, 20),
    st.integers(1, 30),
    st.sampled_from([0.0, 0.2, 1.0]),
    st.integers(0, 2**16),
)
def test_of_sparse_and_dense_images_sums_and_contributions_are_those_of_float64(
    widths, examples, at_once, summed, share, seed
):
    rng = np.random.default_rng(seed)
    # In eighths, so that what enters a ReLU is exact, and of one sign in both.
    layers, _, labels = problem(widths, examples, seed, torch.float32)
    layers = [Layer(*((8 * p).round() / 8 for p in layer)) for layer in layers]
    images = (8 * pixels_of(rng, examples, widths[0], share, False)).round() / 8
    of = groups_of(rng.integers(0, 3, examples))
    exact = [Layer(*(p.double() for p in layer)) for layer in layers]
    with mock.patch("cgpipe.gradients.sums.SUMMED", summed):
        near = group_gradients(layers, images, labels, of, 3, at_once=at_once)
    sums = group_gradients(exact, images.double(), labels, of, 3)
    found = example_contributions(layers, images, labels, near.total(), at_once=at_once)
    wanted = example_contributions(exact, images.double(), labels, sums.total())
    for made_of, true_of in zip(near.layers, sums.layers, strict=True):
        for name, true in true_of.items():
            made = made_of[name]
            torch.testing.assert_close(made, true, rtol=1e-4, atol=1e-5 * float(true.abs().max()))
    for made, true in ((found.u, wanted.u), (found.squared_norm, wanted.squared_norm)):
        np.testing.assert_allclose(made, true, rtol=1e-4, atol=1e-5 * np.abs(true).max())


@pytest.mark.parametrize("widths", [[5, 3], [6, 5, 4], [7, 6, 5, 3]])
def test_closed_form_and_autodiff_agree(widths):
    layers, images, labels = problem(widths, 23, seed=4)
    sums = group_gradients(layers, images, labels, two_groups, 2, at_once=10)
    found = example_contributions(layers, images, labels, sums.total(), at_once=10)
    u, squares = example_contributions_by_autodiff(loss, named(layers), images, labels, at_once=7)
    np.testing.assert_allclose(found.u.sum(1), u, rtol=1e-10)
    np.testing.assert_allclose(found.squared_norm.sum(1), squares, rtol=1e-10)


def test_float32_is_near_float64():
    layers, images, labels = problem([40, 30, 20, 10], 300, seed=1)
    single = [Layer(*(p.float() for p in layer)) for layer in layers]
    exact = group_gradients(layers, images, labels, two_groups, 2)
    near = group_gradients(single, images.float(), labels, two_groups, 2)
    np.testing.assert_allclose(near.gram(), exact.gram(), rtol=1e-4)
    wanted = example_contributions(layers, images, labels, exact.total())
    found = example_contributions(single, images.float(), labels, near.total())
    assert np.abs(found.u - wanted.u).max() < 1e-5 * np.abs(wanted.u).max()
    np.testing.assert_allclose(found.squared_norm, wanted.squared_norm, rtol=1e-4)


def test_one_example_that_is_fitted():
    layers = [Layer(torch.tensor([[18.0], [0.0], [0.0]]), torch.zeros(3))]
    images, labels = torch.ones(1, 1), torch.zeros(1, dtype=torch.int64)
    p = np.exp(-18.0) / (1 + 2 * np.exp(-18.0))
    expected = 2 * ((2 * p) ** 2 + 2 * p**2)  # 2.78e-15
    sums = group_gradients(layers, images, labels, lambda _, part: labels[part], 1)
    found = example_contributions(layers, images, labels, sums.total())
    assert sums.energy[0, 0] == pytest.approx(expected, rel=1e-5)
    assert sums.gram()[0, 0, 0] == pytest.approx(expected, rel=1e-5)
    assert sums.loss[0] == pytest.approx(np.log1p(2 * np.exp(-18.0)), rel=1e-6)
    assert found.squared_norm[0, 0] == pytest.approx(expected, rel=1e-5)
    assert found.u[0, 0] == pytest.approx(expected, rel=1e-5)
    assert inner_products(layers, images, labels)[0, 0] == pytest.approx(expected, rel=1e-12)


@pytest.fixture(scope="module")
def trained(digits):
    """Fitted networks and what they were trained on: digits, a tenth of them with labels at random."""
    images = torch.from_numpy(digits["train_images"].values.reshape(-1, 64)[:800].astype(np.float32) / 16)
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(digits["train_labels"].values[:800].astype(np.int64))
    labels[:80] = torch.from_numpy(rng.integers(0, 10, 80))
    layers = initial_layers([64, 128, 64, 10], "xavier", rng)
    trainer = Trainer(layers, images, labels, 50, Mean())
    for _ in range(3_000):
        trainer.step(rng.choice(800, 50, replace=False), 0.2)
    assert evaluate(layers, images, labels).loss < 0.03
    return layers, images, labels


@pytest.fixture(scope="module", params=[1, 4], ids=["as trained", "margins four times as large"])
def both(request, trained):
    """All quantities of a fitted network, in float32 and in float64."""
    found = []
    for dtype in (torch.float32, torch.float64):
        layers, images, labels = trained
        layers = [Layer(*(p.to(dtype) for p in layer)) for layer in layers]
        layers[-1] = Layer(*(request.param * p for p in layers[-1]))
        images = images.to(dtype)
        sums = group_gradients(layers, images, labels, lambda _, part: (part_of(part) < 80).long(), 2)
        each = example_contributions(layers, images, labels, sums.total())
        products = inner_products(layers, images, labels)
        found.append((sums, each, products))
    return found


def part_of(part):
    return torch.arange(part.start, part.stop)


def test_of_a_fitted_network_each_example_is_that_of_float64(both):
    (_, single, _), (sums, double, _) = both
    squares, exact = single.squared_norm, double.squared_norm
    # The examples are fitted to very different degrees.
    assert exact.sum(1).max() > 1e10 * exact.sum(1).min()
    np.testing.assert_allclose(squares, exact, rtol=1e-3)  # a unit may be at its threshold
    assert np.median(np.abs(squares / exact - 1)) < 1e-5
    lengths = np.sqrt(np.square(sums.gram().sum((1, 2))).sum() ** 0.5 * exact.sum(1))
    assert (np.abs(single.u - double.u).sum(1) / lengths).max() < 1e-3
    clear = np.abs(double.u.sum(1)) > 1e-3 * lengths
    assert clear.mean() > 0.8
    assert np.array_equal(np.sign(single.u.sum(1))[clear], np.sign(double.u.sum(1))[clear])


def test_of_a_fitted_network_sums_are_those_of_float64(both):
    (single, each, _), (double, of_double, _) = both
    np.testing.assert_allclose(single.loss, double.loss, rtol=1e-4)  # large logits are rounded
    np.testing.assert_allclose(single.energy, double.energy, rtol=1e-4)
    gram, exact = single.gram(), double.gram()
    np.testing.assert_allclose(gram, exact, rtol=1e-4, atol=1e-5 * np.abs(exact).max())
    coherence, expected = (of.gram().sum() / of.energy.sum() for of in (single, double))
    assert coherence == pytest.approx(expected, rel=1e-4)
    # Of the first 80 examples, f, from contributions as they are stored.
    stored = each.u.astype(np.float32).astype(np.float64)
    f, f_exact = (u[:80].sum() / u.sum() for u in (stored, of_double.u))
    assert f == pytest.approx(f_exact, rel=1e-4)


def test_of_a_fitted_network_stiffness_is_that_of_float64(both):
    (_, _, single), (_, _, double) = both
    everyone = np.ones(len(double), bool)
    np.testing.assert_allclose(single, double, rtol=1e-12, atol=0)
    flat = np.sqrt(np.diag(double))
    assert (flat > 0).all()
    assert stiffness(single, everyone, everyone) == stiffness(double, everyone, everyone)


def test_of_a_fitted_network_inner_products_are_those_of_a_loop_in_float64(trained):
    layers, images, labels = trained
    some = slice(60, 100)
    exact = [Layer(*(p.double() for p in layer)) for layer in layers]
    flat = np.array([np.concatenate(row) for row in by_loop(exact, images[some].double(), labels[some])])
    lengths = np.linalg.norm(flat, axis=1)
    found = inner_products(layers, images[some], labels[some])
    np.testing.assert_allclose(np.sqrt(np.diag(found)), lengths, rtol=1e-5)
    cosines = flat @ flat.T / np.outer(lengths, lengths)
    np.testing.assert_allclose(found / np.outer(lengths, lengths), cosines, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_contributions_add_up_to_the_squared_norm(dtype):
    layers, images, labels = problem([8, 7, 5], 50, dtype=dtype)
    sums = group_gradients(layers, images, labels, two_groups, 2)
    found = example_contributions(layers, images, labels, sums.total())
    np.testing.assert_allclose(found.u.sum(0), sums.gram().sum((1, 2)), rtol=1e-4)
    np.testing.assert_allclose(found.squared_norm.sum(0), sums.energy.sum(0), rtol=1e-6)


def test_an_empty_group_is_zero():
    layers, images, labels = problem([4, 3], 6)
    sums = group_gradients(layers, images, labels, lambda _, part: torch.zeros(6, dtype=torch.int64)[part], 2)
    assert sums.size.tolist() == [6, 0]
    assert not sums.gram()[:, 1].any()
    assert not sums.energy[1].any()


def test_groups_may_depend_on_what_is_learned():
    layers, images, labels = problem([4, 6, 3], 40)
    logits = torch.relu(images @ layers[0].weight.T + layers[0].bias) @ layers[1].weight.T + layers[1].bias
    wrong = logits.argmax(1) != labels
    sums = group_gradients(
        layers, images, labels, lambda z, part: (z.argmax(1) != labels[part]).long(), 2, at_once=9
    )
    assert sums.size.tolist() == [int((~wrong).sum()), int(wrong.sum())]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_gradients_that_are_not_finite_are_named(value):
    layers, images, labels = problem([4, 6, 3], 10)
    layers[1].weight[0, 0] = value
    with pytest.raises(ValueError, match=r"layers 0, 1 are not finite.*diverged"):
        group_gradients(layers, images, labels, two_groups, 2)


# --- over a training run --------------------------------------------------------------------------


def test_what_is_measured_over_a_run_is_what_is_summed_at_each_snapshot():
    layers, images, labels = problem([6, 5, 4], 40)
    snapshots = [(0, layers), (7, [Layer(*(2 * p for p in layer)) for layer in layers])]
    pristine = np.arange(40) % 3 > 0
    rng = np.random.default_rng(0)
    whole = measure_contributions(
        iter(snapshots), images, labels, pristine, stiffness_examples=9, rng=np.random.default_rng(0)
    )
    assert whole["step"].values.tolist() == [0, 7]
    assert np.array_equal(whole["pristine"], pristine)
    for of_caller, name in ((pristine, "pristine"), (labels.numpy(), "label")):
        assert not np.shares_memory(whole[name].values, of_caller)
    paired = np.sort(rng.choice(40, 9, replace=False))
    for step, kept in snapshots:
        here = whole.sel(step=step)
        sums = group_gradients(kept, images, labels, groups_of(pristine.astype(int)), 2)
        each = example_contributions(kept, images, labels, sums.total())
        np.testing.assert_allclose(here["contribution"], each.u, rtol=1e-6)
        np.testing.assert_allclose(here["squared_norm"], each.squared_norm, rtol=1e-6)
        for k, flag in enumerate((False, True)):
            members = here["group_pristine"].values == flag
            gram = here["gram"].values[:, members][:, :, members]
            np.testing.assert_allclose(gram.sum((1, 2)), sums.gram()[:, k, k], rtol=1e-9)
            np.testing.assert_allclose(here["energy"][:, members].sum("group"), sums.energy[k])
            assert here["size"][members].sum() == sums.size[k]
        learned = (forward(kept, images)[1].argmax(1) == labels).sum()
        assert here["size"][here["group_learned"].values].sum() == int(learned)
        index = torch.from_numpy(paired)
        products = inner_products(kept, images[index], labels[index])
        for pair, (first, second) in {
            "all": (np.full(9, True), np.full(9, True)),
            "pristine": (pristine[paired], pristine[paired]),
            "corrupt": (~pristine[paired], ~pristine[paired]),
            "pristine with corrupt": (pristine[paired], ~pristine[paired]),
        }.items():
            found = [float(here[name].sel(pair=pair)) for name in ("sign_stiffness", "cosine_stiffness")]
            np.testing.assert_allclose(found, stiffness(products, first, second), rtol=1e-12)


def test_parameters_that_track_gradients_are_measured_all_the_same():
    layers, images, labels = problem([6, 5, 4], 10)
    tracked = [Layer(*(p.clone().requires_grad_() for p in layer)) for layer in layers]
    found, expected = (
        measure_contributions(
            [(0, kept)],
            images,
            labels,
            np.arange(10) < 5,
            stiffness_examples=3,
            rng=np.random.default_rng(0),
        )
        for kept in (tracked, layers)
    )
    assert found.identical(expected)


def test_more_examples_in_pairs_than_there_are_are_refused():
    layers, images, labels = problem([4, 3], 6)
    with pytest.raises(ValueError, match="7 examples for stiffness of 6: ask for at most 6"):
        measure_contributions(
            [(0, layers)],
            images,
            labels,
            np.arange(6) < 3,
            stiffness_examples=7,
            rng=np.random.default_rng(0),
        )


# --- on a GPU -------------------------------------------------------------------------------------


@pytest.mark.gpu
def test_on_a_gpu_a_run_is_measured_as_in_float64():
    layers, images, labels = problem([40, 300, 60, 10], 5_000, seed=2, dtype=torch.float32)
    assert len(images) > 2 * SUMMED
    found, exact = (
        measure_contributions(
            [(7, [Layer(*(place(p) for p in layer)) for layer in layers])],
            place(images),
            labels.to(place(images).device),
            np.arange(5_000) % 3 > 0,
            stiffness_examples=50,
            rng=np.random.default_rng(0),
        )
        for place in (torch.Tensor.cuda, torch.Tensor.double)
    )
    assert found["size"].equals(exact["size"])
    for name in VARIABLES:
        error = np.abs(found[name] - exact[name]).max()
        assert error <= 1e-5 * np.abs(exact[name]).max(), name


@pytest.mark.gpu
def test_on_a_gpu_few_examples_at_once_are_summed_as_many_are():
    layers, images, labels = problem([30, 50, 7], 3_000, seed=3)
    few, many = (
        group_gradients(
            [Layer(*(p.cuda() for p in layer)) for layer in layers],
            images.cuda(),
            labels.cuda(),
            lambda _, part: (torch.arange(part.start, part.stop) % 3).cuda(),
            4,
            at_once=at_once,
        )
        for at_once in (700, None)
    )
    assert few.size.tolist() == many.size.tolist() == [1_000, 1_000, 1_000, 0]
    np.testing.assert_allclose(few.gram(), many.gram(), rtol=1e-9)
    np.testing.assert_allclose(few.energy, many.energy, rtol=1e-9)


def test_of_a_network_with_batch_normalization_the_cosine_to_a_training_step_is_kept():
    torch.manual_seed(0)
    layers = torch.nn.Conv2d(1, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.ReLU(), torch.nn.Flatten()
    module = torch.nn.Sequential(*layers, torch.nn.Linear(48, 4))
    images, labels, rng = torch.rand(30, 1, 6, 6), torch.arange(30) % 4, np.random.default_rng(0)
    with pytest.warns(UserWarning, match="taken in eval mode"):
        whole = measure_contributions(
            [(0, module)], images, labels, np.ones(30, bool), stiffness_examples=30, rng=rng
        )
    gradients = []
    for training in (False, True):
        with torch.enable_grad():
            loss = cross_entropy(module.train(training)(images), labels)
        found = torch.autograd.grad(loss, list(module.parameters()))
        gradients.append(torch.cat([g.flatten() for g in found]))
    expected = torch.cosine_similarity(*gradients, dim=0).item()
    assert expected < 0.999
    assert whole["training_cosine"].values == pytest.approx([expected], rel=1e-4)
