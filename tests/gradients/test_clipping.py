"""What winsorizing clips, against a loop over the parameters in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import Temperature, by_example, conv_problem, flat, problem

from cgpipe.gradients import clipping
from cgpipe.gradients.clipping import OTHERS, clip, compared, measure_clipping, odds_ratio
from cgpipe.networks.dense import Layer, forward, output_gradients
from cgpipe.networks.module import ModuleNetwork

LEVELS = [1, 2, 4]


def by_loop(values, corrupt, c):
    """Mean, changed values of both groups, and whether all clipped values are 0, of one parameter."""
    lowest_first = sorted(map(float, values))
    low, high = lowest_first[c], lowest_first[len(values) - 1 - c]
    clipped = [min(max(float(v), low), high) for v in values]
    changed = [0, 0]
    for before, after, of_corrupt in zip(values, clipped, corrupt, strict=True):
        changed[int(of_corrupt)] += float(before) != after
    return sum(clipped) / len(clipped), changed, not any(clipped)


@given(
    st.integers(1, 4),
    st.lists(st.booleans(), min_size=5, max_size=12),
    st.randoms(use_true_random=False),
    st.booleans(),
)
def test_clipping_is_that_of_a_loop_over_the_parameters_with_ties(parameters, corrupt, random, few):
    levels = [0, *(c for c in LEVELS if 2 * c < len(corrupt))]
    kinds = [-1.0, 0.0, 0.0, 0.0, 2.0] if few else [random.uniform(-1, 1) for _ in range(9)]
    values = np.array([[random.choice(kinds) for _ in corrupt] for _ in range(parameters)])
    found = clip(torch.from_numpy(values), torch.tensor(corrupt), levels)
    for k, c in enumerate(levels):
        means, changed, zero = zip(*(by_loop(row, corrupt, c) for row in values), strict=True)
        np.testing.assert_allclose(found.mean[k], means, rtol=1e-12, atol=1e-15)
        np.testing.assert_array_equal(found.changed[k], np.sum(changed, axis=0))
        assert found.zero[k] == sum(zero)


def gradients_of(layers, images, labels):
    """Per-example gradients of all parameters, flat: (example, parameter), float64."""
    if isinstance(layers, ModuleNetwork):
        return flat(by_example(layers, images, labels))
    inputs, logits = forward(layers, images)
    δ = output_gradients(layers, inputs, logits, labels)
    parts = [
        part
        for a, d in zip(inputs, δ, strict=True)
        for part in ((d[:, :, None] * a[:, None, :]).flatten(1), d)
    ]
    return torch.cat(parts, 1).double().numpy()


def cosine(one, other):
    return one @ other / np.sqrt(one @ one) / np.sqrt(other @ other)


def measured(layers, images, labels, pristine, **changed):
    options = {"levels": LEVELS, "batches": 3, "batch_size": 9, "rng": np.random.default_rng(1), **changed}
    return measure_clipping([(0, layers), (10, layers)], images, labels, pristine, **options)


@pytest.mark.parametrize("at_once", [1, 100, 2**22])
@pytest.mark.parametrize("widths", [[6, 5], [6, 7, 5, 3], "convolutional"])
def test_all_that_is_measured_is_what_the_definitions_give(monkeypatch, widths, at_once):
    monkeypatch.setattr(clipping, "VALUES_AT_ONCE", at_once)
    of_images = conv_problem(40, last=[Temperature()]) if widths == "convolutional" else problem(widths, 40)
    layers, images, labels = of_images
    images[:, 1] = 0  # a pixel, or a channel, of no image
    images[torch.rand(images.shape, generator=torch.Generator().manual_seed(0)) < 0.4] = 0
    pristine = np.arange(40) < 25
    found = measured(layers, images, labels, pristine)

    each = gradients_of(layers, images, labels)
    sums = {"all": each.sum(0), "pristine": each[pristine].sum(0), "corrupt": each[~pristine].sum(0)}
    rng = np.random.default_rng(1)
    d = []
    for batch in range(3):
        rows = rng.choice(40, 9, replace=False)
        plain = each[rows].mean(0)
        assert found["size"][batch].values.tolist() == [pristine[rows].sum(), (~pristine[rows]).sum()]
        d.append([])
        for c in [0, *LEVELS]:
            at = found.sel(step=10, winsor=c).isel(batch=batch)
            means, changed, zero = zip(
                *(by_loop(each[rows, p], ~pristine[rows], c) for p in range(each.shape[1])), strict=True
            )
            mean, changed = np.array(means), np.sum(changed, axis=0)
            np.testing.assert_array_equal(at["changed"], changed)
            np.testing.assert_allclose(at["zero"], np.mean(zero))
            np.testing.assert_allclose(at["norm_ratio"], np.linalg.norm(mean) / np.linalg.norm(plain))
            for other, of in {"minibatch": plain, **sums}.items():
                np.testing.assert_allclose(at["cosine"].sel(other=other), cosine(mean, of), rtol=1e-9)
            if c:
                share = (~pristine[rows]).sum() / pristine[rows].sum()
                np.testing.assert_allclose(at["odds"], changed[1] / changed[0] / share)
            d[-1].append(mean - plain)
    for k, c in enumerate([0, *LEVELS]):
        pairs = [d[n][k] @ d[other][k] for n in range(3) for other in range(3) if n != other]
        expected = np.mean(pairs) / np.sum((sums["all"] / 40) ** 2)
        np.testing.assert_allclose(
            found["squared_bias"].sel(step=0, winsor=c), expected, rtol=1e-9, atol=1e-14
        )
    assert found["other"].values.tolist() == list(OTHERS)


def test_float32_is_as_close_to_float64_as_it_can_be():
    layers, images, labels = problem([30, 20, 10], 60)
    pristine = np.arange(60) < 30
    exact = measured(layers, images, labels, pristine)
    single = [Layer(*(p.float() for p in layer)) for layer in layers]
    found = measured(single, images.float(), labels, pristine)
    for name in ("norm_ratio", "cosine", "zero"):
        np.testing.assert_allclose(found[name], exact[name], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found["changed"], exact["changed"], atol=2)


@pytest.mark.parametrize("small", [1e-4, 1e-7, 1e-10])
def test_what_is_clipped_leaves_no_trace_in_the_mean(small):
    generator = torch.Generator().manual_seed(0)
    values = small * torch.randn(50, 100, generator=generator)
    values[:, :3] = torch.tensor([1.0, 0.7, -0.5])
    nobody = torch.zeros(100, dtype=torch.bool)
    found, exact = (clip(of, nobody, [0, 4]).mean[1].double() for of in (values, values.double()))
    torch.testing.assert_close(found, exact, rtol=1e-6, atol=0)


def test_the_squared_bias_is_free_of_the_variance_of_the_minibatches():
    """Of differences d without a mean its expectation is 0, of those with one that mean's square."""
    rng = np.random.default_rng(0)
    g = rng.normal(size=200)
    means = []
    for _ in range(400):
        d = rng.normal(size=(4, 200)) + 0.5 * g
        vectors = np.concatenate([np.stack([0 * d, d], 1).reshape(8, 200), [0.5 * g, 0.5 * g]])
        means.append(compared(vectors @ vectors.T, 4, 2, 1)["squared_bias"])
    assert np.mean(means, 0) == pytest.approx([0, 0.25], abs=0.01)


def test_odds_of_values_that_are_clipped_blindly_are_one():
    rng = np.random.default_rng(0)
    corrupt = torch.arange(100) < 30
    found = clip(torch.from_numpy(rng.normal(size=(4000, 100))), corrupt, [0, 4])
    assert odds_ratio(found.changed[1], [70, 30]) == pytest.approx(1, abs=0.05)
    assert np.isnan(odds_ratio(found.changed[0], [70, 30]))


def test_a_group_without_examples_has_no_odds_and_no_direction():
    layers, images, labels = problem([6, 5], 20)
    found = measured(layers, images, labels, np.ones(20, bool))
    assert np.isnan(found["odds"]).all()
    assert np.isnan(found["cosine"].sel(other="corrupt")).all()
    np.testing.assert_allclose(found["cosine"].sel(other="pristine"), found["cosine"].sel(other="all"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"batches": 1}, "1 minibatches: give at least 2"),
        ({"batch_size": 8}, "2c below"),
        ({"batch_size": 41}, "at most all examples"),
    ],
)
def test_minibatches_that_cannot_be_are_refused(changed, said):
    layers, images, labels = problem([6, 5], 40)
    with pytest.raises(ValueError, match=said):
        measured(layers, images, labels, np.ones(40, bool), **changed)
