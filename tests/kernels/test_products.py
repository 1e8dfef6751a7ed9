"""Products that leave out zeros, against float64."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import pixels_of

from cgpipe.kernels import operators
from cgpipe.kernels.products import linear, outer_sum


@given(
    st.integers(1, 300),
    st.integers(1, 200),
    st.integers(1, 300),
    st.sampled_from([0.0, 0.2, 1.0]),
    st.booleans(),
    st.sampled_from([torch.float32, torch.float64]),
    st.integers(0, 2**16),
)
def test_products_with_sparse_and_with_dense_images_are_those_of_float64(
    examples, into, out, share, by_input, dtype, seed
):
    rng = np.random.default_rng(seed)
    a = pixels_of(rng, examples, into, share, True).to(dtype)
    δ, bias, weight = (
        torch.from_numpy(rng.standard_normal(shape)).to(dtype)
        for shape in ((examples, out), out, (out, into))
    )
    if by_input:
        weight = weight.T.contiguous().T
    left, summed = linear(a, weight, bias), outer_sum(a, δ)
    assert left.dtype == summed.dtype == dtype
    torch.testing.assert_close(
        left.double(), a.double() @ weight.double().T + bias.double(), rtol=1e-5, atol=1e-4
    )
    torch.testing.assert_close(summed.double(), a.double().T @ δ.double(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_a_zero_times_what_is_not_finite_is_not_left_out(value):
    a, δ = torch.zeros(20, 30), torch.ones(20, 5)
    a[:, 0] = 1
    δ[3, 2] = value
    assert not outer_sum(a, δ)[:, 2].isfinite().any()


def test_without_the_kernel_products_are_torchs(monkeypatch):
    monkeypatch.setattr(operators, "missing", lambda _: "no compiler")
    rng = np.random.default_rng(0)
    a, δ = pixels_of(rng, 40, 50, 0.2, True), torch.ones(40, 3)
    assert torch.equal(outer_sum(a, δ), a.T @ δ)
