"""Coherence on several sets of examples, against a loop over single examples in float64."""

from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import by_example, conv_problem, flat, problem
from torch.nn.functional import cross_entropy

from cgpipe.gradients.heldout import Sample, measure_heldout
from cgpipe.networks.dense import Layer
from cgpipe.networks.module import ModuleNetwork


def dense_problem(examples, dtype=torch.float64):
    """As `conv_problem`, and a module that has the gradients of it by plain autograd."""
    layers, images, labels = problem([6, 9, 4], examples, dtype)
    linear = [torch.nn.Linear(6, 9), torch.nn.Linear(9, 4)]
    for module, of in zip(linear, layers, strict=True):
        module.load_state_dict(of._asdict())
    stack = torch.nn.Sequential(linear[0], torch.nn.ReLU(), linear[1])
    alike = SimpleNamespace(
        module=stack, layers=("0", "2"), parameters=lambda: [of._asdict() for of in layers]
    )
    return layers, alike, images, labels


def conv(examples):
    network, images, labels = conv_problem(examples)
    return network, network, images, labels


def by_loop(alike, sample):
    """What is measured of a set, by group, from the gradients of its examples one at a time."""
    images, labels, pristine = sample
    layers = [flat([of]) for of in by_example(alike, images, labels)]  # (e, parameter) each
    whole = np.concatenate(layers, axis=1)
    logits = alike.module.double()(images.double()).detach()
    loss = cross_entropy(logits, labels, reduction="none").numpy()
    right = (logits.argmax(1) == labels).numpy()
    everyone = np.full(len(labels), True)
    near = (loss >= 0.5 * np.log(4)) & (loss <= 1.5 * np.log(4))
    groups = {"all": everyone, "pristine": pristine, "corrupt": ~pristine, "near chance": near}
    lengths = np.linalg.norm(whole, axis=1)
    found = {}
    for name, members in groups.items():
        pairs = permutations(np.flatnonzero(members & (lengths > 0)), 2)
        cosines = [whole[e] @ whole[f] / (lengths[e] * lengths[f]) for e, f in pairs]
        found[name] = {
            "squared_norm": [np.square(of[members].sum(0)).sum() for of in layers],
            "product": [of.sum(0) @ of[members].sum(0) for of in layers],
            "energy": [np.square(of[members]).sum() for of in layers],
            "size": members.sum(),
            "loss": loss[members].mean() if members.any() else np.nan,
            "accuracy": right[members].mean() if members.any() else np.nan,
            "cosine": np.mean(cosines) if cosines else np.nan,
        }
    return found


@pytest.mark.parametrize("case", [dense_problem, conv])
@given(st.integers(2, 14), st.integers(0, 2**16))
def test_what_is_measured_is_that_of_a_loop(case, examples, seed):
    network, alike, images, labels = case(examples + 3)
    rng = np.random.default_rng(seed)
    images[0] *= 1e5  # fitted to the last bit, or far from it
    pristine = rng.random(examples + 3) < 0.6
    sets = {
        name: Sample(images[some], labels[some], pristine[some])
        for name, some in {"training": slice(0, examples), "held-out": slice(3, None)}.items()
    }
    made = measure_heldout([(4, 6, network)], sets).squeeze("burst_step")
    assert (int(made["burst_step"]), int(made["snapshot"])) == (6, 4)
    for name, sample in sets.items():
        expected = by_loop(alike, sample)
        of_sums = 1e-10 * examples * np.max(expected["all"]["energy"])
        for group, values in expected.items():
            for quantity, value in values.items():
                found = made[quantity].sel(set=name, group=group).values
                atol = of_sums if quantity in ("product", "squared_norm") else 1e-10
                np.testing.assert_allclose(found, value, rtol=1e-8, atol=atol, err_msg=quantity)


def test_steps_and_layers_are_named():
    network, images, labels = conv_problem(6)
    sample = Sample(images, labels, np.full(6, True))
    made = measure_heldout([(0, 0, network), (0, 1, network), (5, 5, network)], {"held-out": sample})
    assert made["burst_step"].values.tolist() == [0, 1, 5]
    assert made["snapshot"].values.tolist() == [0, 0, 5]
    assert made["layer_kind"].values.tolist() == ["Conv2d", "GroupNorm", "Conv2d", "Linear"]
    layers, _, images, labels = dense_problem(6)
    dense = measure_heldout([(0, 0, layers)], {"held-out": Sample(images, labels, np.full(6, True))})
    assert dense["layer_kind"].values.tolist() == ["Linear", "Linear"]


def test_float32_is_near_float64():
    network, images, labels = conv_problem(40)
    pristine = np.arange(40) % 3 > 0
    exact = measure_heldout([(0, 0, network)], {"training": Sample(images, labels, pristine)})
    single = ModuleNetwork(network.module.float(), (2, 4, 4), 4)
    near = measure_heldout([(0, 0, single)], {"training": Sample(images.float(), labels, pristine)})
    for name in exact:
        np.testing.assert_allclose(
            near[name], exact[name], rtol=1e-4, atol=1e-5 * float(abs(exact[name]).max())
        )


def test_gradients_too_small_to_be_divided_by_have_no_direction():
    layers = [Layer(torch.tensor([[60.0], [0.0]]), torch.zeros(2))]  # losses of 1e-26 and 1e-39
    images, labels = torch.tensor([[1.0], [1.5], [0.0]]), torch.tensor([0, 0, 1])
    made = measure_heldout([(0, 0, layers)], {"training": Sample(images, labels, np.full(3, True))})
    all_of_it = made["cosine"].squeeze(["burst_step", "set"]).sel(group="all")
    # ⟨g_0, g_2⟩ of [-1, 1] on input and bias, and [1, -1] on the bias alone.
    assert float(all_of_it) == pytest.approx(-np.sqrt(0.5), rel=1e-6)


def test_gradients_that_are_not_finite_are_named():
    layers, _, images, labels = dense_problem(6)
    layers[1].weight[0, 0] = np.nan
    with pytest.raises(ValueError, match=r"layers 0, 1 are not finite.*diverged"):
        measure_heldout([(0, 0, layers)], {"training": Sample(images, labels, np.full(6, True))})
