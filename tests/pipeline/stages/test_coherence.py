"""From fitted networks to what coherence.nc and nullworlds_exact.nc hold, in float32 beside float64."""

import numpy as np
import pytest
import torch

from cgpipe.gradients.population import example_contributions, group_gradients
from cgpipe.networks.dense import Layer, forward
from cgpipe.pipeline.stages.coherence import of_groups
from cgpipe.pipeline.stages.contributions import Population, as_dataset, at_snapshot
from cgpipe.pipeline.stages.nullworlds import exact_terms, self_term_variables

WIDTHS = (20, 40, 6)
EXAMPLES = 300


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
    of = Population(
        images=images.to(dtype),
        labels=labels,
        corrupt=torch.arange(EXAMPLES) % 3 == 0,
        paired=torch.arange(200),
    )
    return [[Layer(*(p.to(dtype) for p in layer)) for layer in kept] for kept in snapshots], of


@pytest.fixture(scope="module")
def found():
    both = []
    for dtype in (torch.float32, torch.float64):
        snapshots, of = problem(dtype)
        kept = [at_snapshot(layers, of) for layers in snapshots]
        both.append(as_dataset(kept, np.arange(len(kept)), ~of.corrupt.numpy()))
    return both


def test_of_fitted_networks_coherence_in_float32_is_that_of_float64(found):
    single, double = map(of_groups, found)
    assert (double["loss"].sel(group="pristine, not learned") > 0).all()
    for name, values in double.data_vars.items():
        exact = name in ("sign_stiffness", "cosine_stiffness", "size")
        np.testing.assert_allclose(
            single[name], values, rtol=1e-12 if exact else 2e-4, atol=0 if exact else 1e-6, err_msg=name
        )


def test_of_fitted_networks_f_without_self_terms_in_float32_is_that_of_float64(found):
    single, double = (exact_terms(of) for of in found)
    for terms in (single, double):
        f = self_term_variables(terms, terms.u.sum(1))["f_pairs"][1]
        np.testing.assert_allclose(f.sum(0), 1, rtol=1e-9)
    values = [self_term_variables(terms, terms.u.sum(1)) for terms in (single, double)]
    for name in ("self_term_share", "f_pairs"):
        np.testing.assert_allclose(values[0][name][1], values[1][name][1], rtol=2e-4)


def test_the_cosine_is_that_of_the_summed_gradients_of_the_groups(found):
    snapshots, of = problem(torch.float64)
    coherence = of_groups(found[1])
    for step, layers in enumerate(snapshots):
        sums = group_gradients(layers, of.images, of.labels, lambda _, part: of.corrupt[part].long(), 2)
        groups = [
            torch.cat(
                [layer.weight[k].ravel().cpu() for layer in sums.layers]
                + [layer.bias[k] for layer in sums.layers]
            ).numpy()
            for k in (0, 1)
        ]
        expected = groups[0] @ groups[1] / np.prod([np.linalg.norm(of_group) for of_group in groups])
        np.testing.assert_allclose(coherence["cosine"].sel(part="network")[step], expected, rtol=1e-12)
        squares = [
            float(coherence["squared_norm"].sel(group=g, part="network")[step])
            for g in ("pristine", "corrupt")
        ]
        np.testing.assert_allclose(squares, [np.square(of_group).sum() for of_group in groups], rtol=1e-12)
        each = example_contributions(layers, of.images, of.labels, sums.total())
        assert float(coherence["squared_norm"].sel(group="all", part="network")[step]) == pytest.approx(
            each.u.sum()
        )
