"""From fitted networks to coherence by group and f, in float32 against float64."""

import numpy as np
import pytest
import torch

from cgpipe.gradients.contributions import terms
from cgpipe.gradients.groups import GROUPS, coherence_by_group
from cgpipe.gradients.population import example_contributions, group_gradients, measure_contributions
from cgpipe.inference.groups import null_worlds
from cgpipe.networks.dense import Layer, forward

WIDTHS = (20, 40, 6)
EXAMPLES = 300
PRISTINE = np.arange(EXAMPLES) % 3 != 0


def problem(dtype):
    """Networks that classify all but a few examples with margins that grow from snapshot to snapshot."""
    rng = np.random.default_rng(3)
    shapes = list(zip(WIDTHS[1:], WIDTHS, strict=False))
    layers = [
        Layer(
            torch.from_numpy(rng.normal(size=shape)).float(),
            torch.from_numpy(rng.normal(size=shape[0])).float(),
        )
        for shape in shapes
    ]
    images = torch.from_numpy(rng.uniform(size=(EXAMPLES, WIDTHS[0]))).float()
    labels = forward(layers, images)[1].argmax(1)
    labels[::50] = (labels[::50] + 1) % WIDTHS[-1]
    snapshots = [[*layers[:-1], Layer(*(scale * p for p in layers[-1]))] for scale in (0.125, 0.5, 1.0, 2.0)]
    kept = [[Layer(*(p.to(dtype) for p in layer)) for layer in layers] for layers in snapshots]
    return kept, images.to(dtype), labels


@pytest.fixture(scope="module")
def both():
    """Contributions, in float32 and in float64."""
    measured = []
    for dtype in (torch.float32, torch.float64):
        kept, images, labels = problem(dtype)
        rng = np.random.default_rng(0)
        measured.append(
            measure_contributions(enumerate(kept), images, labels, PRISTINE, stiffness_examples=200, rng=rng)
        )
    return measured


def test_of_fitted_networks_coherence_in_float32_is_that_of_float64(both):
    single, double = map(coherence_by_group, both)
    assert (double["loss"].sel(group="pristine, not learned") > 0).all()
    for name, values in double.data_vars.items():
        exact = name in ("sign_stiffness", "cosine_stiffness", "size")
        np.testing.assert_allclose(
            single[name], values, rtol=1e-12 if exact else 2e-4, atol=0 if exact else 1e-6, err_msg=name
        )


def test_of_fitted_networks_f_without_self_terms_in_float32_is_that_of_float64(both):
    single, double = (
        null_worlds(*terms(whole), whole["step"], worlds=1, rng=np.random.default_rng(0)) for whole in both
    )
    for worlds in (single, double):
        np.testing.assert_allclose(worlds["f_pairs"].sum("group"), 1, rtol=1e-9)
    for name in ("self_term_share", "f_pairs"):
        np.testing.assert_allclose(single[name], double[name], rtol=2e-4)


def test_groups_are_unions_by_designation_and_by_what_is_learned(both):
    coherence = coherence_by_group(both[1])
    kept, images, labels = problem(torch.float64)
    for step, layers in enumerate(kept):
        wrong = (forward(layers, images)[1].argmax(1) != labels).numpy()
        members = {
            "all": np.full(EXAMPLES, True),
            "pristine": PRISTINE,
            "corrupt": ~PRISTINE,
            "not learned": wrong,
            "pristine, not learned": PRISTINE & wrong,
            "corrupt, not learned": ~PRISTINE & wrong,
        }
        assert list(members) == list(GROUPS) == coherence["group"].values.tolist()
        for name, group in members.items():
            index = torch.from_numpy(group).long()
            sums = group_gradients(layers, images, labels, lambda _, part, index=index: index[part], 2)
            here = coherence.sel(group=name).isel(step=step)
            assert here["size"] == group.sum()
            np.testing.assert_allclose(here["loss"], sums.loss[1] / group.sum(), rtol=1e-12)
            np.testing.assert_allclose(here["energy"][1:], sums.energy[1], rtol=1e-12)
            np.testing.assert_allclose(here["squared_norm"][1:], sums.gram()[:, 1, 1], rtol=1e-9)
            np.testing.assert_allclose(
                here["m_coherence"][0], sums.gram()[:, 1, 1].sum() / sums.energy[1].sum(), rtol=1e-9
            )


def test_the_cosine_is_that_of_the_summed_gradients_of_the_groups(both):
    kept, images, labels = problem(torch.float64)
    coherence, corrupt = coherence_by_group(both[1]), torch.from_numpy(~PRISTINE).long()
    for step, layers in enumerate(kept):
        sums = group_gradients(layers, images, labels, lambda _, part: corrupt[part], 2)
        groups = [
            torch.cat(
                [layer["weight"][k].ravel().cpu() for layer in sums.layers]
                + [layer["bias"][k] for layer in sums.layers]
            ).numpy()
            for k in (0, 1)
        ]
        expected = groups[0] @ groups[1] / np.prod([np.linalg.norm(g) for g in groups])
        np.testing.assert_allclose(coherence["cosine"].sel(part="network")[step], expected, rtol=1e-12)
        squares = [
            float(coherence["squared_norm"].sel(group=name, part="network")[step])
            for name in ("pristine", "corrupt")
        ]
        np.testing.assert_allclose(squares, [np.square(g).sum() for g in groups], rtol=1e-12)
        each = example_contributions(layers, images, labels, sums.total())
        assert float(coherence["squared_norm"].sel(group="all", part="network")[step]) == pytest.approx(
            each.u.sum()
        )
