from itertools import pairwise

import numpy as np
import pytest
import torch
from problems import by_example, conv_problem

from cgpipe.gradients.contributions import contributions, self_terms
from cgpipe.gradients.per_example import WeightSample, draw_weights, measure_gradients, sampled_gradients
from cgpipe.networks.dense import Layer, initial_layers

WIDTHS = ([6, 4], [6, 5, 4], [7, 6, 5, 4])


def shapes_of(widths):
    return [(out, into) for into, out in pairwise(widths)]


def problem(widths, dtype, batch=8):
    rng = np.random.default_rng(0)
    layers = [Layer(*(p.to(dtype) for p in layer)) for layer in initial_layers(widths, "official", rng)]
    images = torch.from_numpy(rng.standard_normal((batch, widths[0]))).to(dtype)
    labels = torch.from_numpy(rng.integers(0, widths[-1], batch))
    return layers, images, labels


def weights_gradients(layers, image, label):
    """Gradients of one example's own loss with respect to every weight, by autograd."""
    with torch.enable_grad():
        tracked = [Layer(*(p.clone().requires_grad_() for p in layer)) for layer in layers]
        x = image[None]
        for layer in tracked[:-1]:
            x = torch.nn.functional.linear(x, *layer).relu()
        x = torch.nn.functional.linear(x, *tracked[-1])
        torch.nn.functional.cross_entropy(x, label[None]).backward()
    return [layer.weight.grad for layer in tracked]


@pytest.mark.parametrize("widths", [*WIDTHS, "convolutional"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_sampled_gradients_are_those_of_autograd_example_by_example(widths, dtype):
    if widths == "convolutional":
        layers, images, labels = conv_problem(8, dtype)
        shapes = [(4, 2, 3, 3), None, (3, 4, 2, 2), (4, 3)]  # none of the norm
        of_all = [of["weight"] for of in by_example(layers, images, labels)]
    else:
        layers, images, labels = problem(widths, dtype)
        shapes = shapes_of(widths)
        rows = (weights_gradients(layers, image, label) for image, label in zip(images, labels, strict=True))
        of_all = [torch.stack(of) for of in zip(*rows, strict=True)]
    sample = draw_weights(shapes, 11, np.random.default_rng(1))
    found = sampled_gradients(layers, images, labels, sample)
    assert found.shape == (8, sum(11 for shape in shapes if shape))
    assert found.dtype == dtype
    places = zip(sample.layer, sample.output, sample.input, strict=True)
    expected = torch.stack([of_all[layer].flatten(2)[:, o].flatten(1)[:, i] for layer, o, i in places], 1)
    torch.testing.assert_close(found, expected.to(dtype), rtol=0, atol=100 * torch.finfo(dtype).eps)
    assert (found != 0).any(0).sum() > len(shapes)


def test_each_example_is_on_its_own_whatever_the_batch():
    layers, images, labels = problem([6, 5, 4], torch.float64)
    sample = draw_weights(shapes_of([6, 5, 4]), 20, np.random.default_rng(1))
    together = sampled_gradients(layers, images, labels, sample)
    alone = torch.cat([sampled_gradients(layers, images[e, None], labels[e, None], sample) for e in range(8)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-14)


def test_weights_are_drawn_of_each_layer_without_replacement():
    shapes = [(5, 6), (4, 5), (3, 4)]
    sample = draw_weights(shapes, 10, np.random.default_rng(0))
    assert isinstance(sample, WeightSample)
    assert sample.layer.tolist() == [0] * 10 + [1] * 10 + [2] * 10
    for number, (out, into) in enumerate(shapes):
        of_layer = sample.layer == number
        pairs = list(zip(sample.output[of_layer].tolist(), sample.input[of_layer].tolist(), strict=True))
        assert pairs == sorted(set(pairs))
        assert all(0 <= o < out and 0 <= i < into for o, i in pairs)
        assert len(pairs) == 10


def test_as_many_weights_as_a_layer_has_are_all_of_them():
    sample = draw_weights([(3, 4), (4, 3)], 12, np.random.default_rng(0))
    assert (sample.output * 4 + sample.input)[:12].tolist() == list(range(12))
    assert (sample.output * 3 + sample.input)[12:].tolist() == list(range(12))


def test_every_weight_is_drawn_equally_often():
    rng, worlds = np.random.default_rng(0), 2_000
    counts = np.zeros((3, 4))
    for _ in range(worlds):
        sample = draw_weights([(3, 4)], 3, rng)
        counts[sample.output, sample.input] += 1
    assert np.abs(counts - worlds / 4).max() < 5 * np.sqrt(worlds * 0.25 * 0.75)


def test_weights_come_from_the_generator_alone():
    a, b, other = (draw_weights([(30, 40)], 50, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert not np.array_equal(a.output * 40 + a.input, other.output * 40 + other.input)


def test_of_a_layer_with_fewer_weights_all_are_taken_and_of_one_without_none():
    sample = draw_weights([(5, 6), (4, 5), None, (2, 2, 2, 3)], 22, np.random.default_rng(0))
    assert np.bincount(sample.layer).tolist() == [22, 20, 0, 22]
    of_second = sample.layer == 1
    assert (sample.output[of_second] * 5 + sample.input[of_second]).tolist() == list(range(20))
    assert sample.input[sample.layer == 3].max() < 12


def test_a_network_without_weights_has_none_to_sample():
    with pytest.raises(ValueError, match="no layer has a parameter `weight` that is a matrix"):
        draw_weights([None, None], 3, np.random.default_rng(0))


def test_one_sample_of_examples_and_weights_is_measured_over_a_run():
    layers, images, labels = problem([6, 5, 4], torch.float32, batch=30)
    snapshots = [(0, layers), (7, [Layer(*(2 * p for p in layer)) for layer in layers])]
    pristine = np.arange(30) % 2 == 0
    run = measure_gradients(
        iter(snapshots), images, labels, pristine, examples=8, weights=5, rng=np.random.default_rng(2)
    )
    rng = np.random.default_rng(2)
    examples = np.sort(rng.choice(30, 8, replace=False))
    sample = draw_weights(shapes_of([6, 5, 4]), 5, rng)
    assert run["example"].values.tolist() == examples.tolist()
    assert np.array_equal(run["pristine"], pristine[examples])
    for name, values in sample._asdict().items():
        assert np.array_equal(run[name], values)
    assert run["gradient"].dtype == np.float32
    for step, kept in snapshots:
        expected = sampled_gradients(kept, images[examples], labels[examples], sample)
        assert np.array_equal(run["gradient"].sel(step=step), expected.numpy())


def test_of_further_draws_the_contributions_are_kept_and_the_first_stays_as_it_was():
    layers, images, labels = problem([6, 5, 4], torch.float32, batch=30)
    snapshots = [(0, layers), (7, [Layer(*(2 * p for p in layer)) for layer in layers])]
    pristine = np.arange(30) % 2 == 0

    def measured(rng, draws):
        given = (snapshots, images, labels, pristine)
        return measure_gradients(*given, examples=8, weights=5, draws=draws, rng=rng)

    one, three = measured(np.random.default_rng(2), 1), measured(np.random.default_rng(2), 3)
    streams = [np.random.default_rng(2), *np.random.default_rng(2).spawn(2)]
    for draw, stream in enumerate(streams):
        alone, here = measured(stream, 1), three.sel(draw=draw)
        gradients = alone["gradient"].values
        np.testing.assert_allclose(here["contribution"], contributions(gradients), rtol=1e-12)
        np.testing.assert_allclose(here["self_term"], self_terms(gradients), rtol=1e-12)
        np.testing.assert_array_equal(here["drawn_pristine"], alone["pristine"])
    assert three.drop_dims("draw").identical(one.drop_dims("draw"))
    assert len(np.unique(three["contribution"], axis=0)) == 3
    with pytest.raises(ValueError, match="0 draws: ask for at least 1"):
        measured(np.random.default_rng(2), 0)


def test_more_examples_than_there_are_are_refused():
    layers, images, labels = problem([6, 4], torch.float32)
    with pytest.raises(ValueError, match="9 examples to sample of 8: ask for at most 8"):
        measure_gradients(
            [(0, layers)],
            images,
            labels,
            np.arange(8) < 4,
            examples=9,
            weights=1,
            rng=np.random.default_rng(0),
        )
