"""The Triton kernel: interpreted on the CPU, compiled without a GPU, and, where there is one, run on it."""

import json
import os
import subprocess
import sys
from itertools import product

import numpy as np
import pytest
import torch

from cgpipe.kernels import operators, oracle, reference
from cgpipe.learning.rules import update_rule
from cgpipe.learning.trainer import Trainer
from cgpipe.networks.dense import initial_layers

# (batch, in, out, c): a tile and its edges, odd and even batches, and one that leaves a single value.
LAYERS = [
    (1, 1, 1, 0),
    (3, 2, 3, 1),
    (5, 33, 17, 2),
    (7, 40, 16, 3),
    (20, 31, 20, 1),
    (24, 5, 9, 8),
    (17, 6, 5, 8),
    (40, 3, 4, 17),
]


def layer(batch, width, units, kind):
    rng = np.random.default_rng([batch, width, units])
    a, δ = rng.normal(size=(batch, width)), rng.normal(size=(batch, units))
    if kind == "ties and zeros":
        a, δ = np.maximum(a.round(), 0), (δ * (rng.random(δ.shape) < 0.5)).round()
    return a.astype(np.float32), δ.astype(np.float32)


def assert_is_winsorized(weight, bias, a, δ, c, trimmed):
    ordered = np.sort(δ.astype(float)[:, :, None] * a.astype(float)[:, None, :], axis=0)
    batch = len(a)
    middle = ordered[c : batch - c]
    if trimmed:
        expected, of_bias = middle.mean(0), np.sort(δ.astype(float), axis=0)[c : batch - c].mean(0)
    else:
        expected, of_bias = oracle.winsorized_linear_gradient(a, δ, c)
    largest = max(1e-30, np.abs(a).max() * np.abs(δ).max())
    np.testing.assert_allclose(weight, expected, rtol=0, atol=2e-6 * largest)
    np.testing.assert_allclose(bias, of_bias, rtol=0, atol=2e-6 * max(1e-30, np.abs(δ).max()))


# In a process of its own: Triton decides at its import whether it interprets.
INTERPRETED = """
import json, sys
import numpy as np, torch
from cgpipe.kernels import gpu
found = []
for a, d, c, trimmed in json.load(sys.stdin):
    a, d = torch.tensor(a, dtype=torch.float32), torch.tensor(d, dtype=torch.float32)
    weight, bias = gpu.winsorized_linear_gradient(a, d, c, trimmed)
    # Into weights that lie input by input, from inputs that are columns of something wider.
    start = torch.full_like(weight, 2.0).T.contiguous().T
    start_bias = torch.full_like(bias, 2.0)
    wide = torch.stack([a, a], 2)[:, :, 0]
    gpu.winsorized_linear_update_(start, start_bias, wide, d, c, 0.5, trimmed)
    found.append([x.tolist() for x in (weight, bias, (2 - start) * 2, (2 - start_bias) * 2)])
print(json.dumps(found))
"""


def test_interpreted_it_is_the_oracle():
    cases = []
    for (batch, width, units, c), kind, trimmed in product(
        LAYERS, ("normal", "ties and zeros"), (False, True)
    ):
        cases.append((*layer(batch, width, units, kind), c, trimmed))
    given = json.dumps([(a.tolist(), δ.tolist(), c, trimmed) for a, δ, c, trimmed in cases])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", INTERPRETED],
        input=given,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == len(cases) == 4 * len(LAYERS)
    for (a, δ, c, trimmed), (weight, bias, change, change_of_bias) in zip(cases, found, strict=True):
        assert_is_winsorized(np.array(weight), np.array(bias), a, δ, c, trimmed)
        np.testing.assert_allclose(change, weight, rtol=0, atol=2e-5)
        np.testing.assert_allclose(change_of_bias, bias, rtol=0, atol=2e-5)


COMPILED = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from cgpipe.kernels import gpu
pointers = dict.fromkeys(("inputs", "gradients", "to"), "*fp32")
sizes = dict.fromkeys(("batch", "width", "units", "stride_o", "stride_i"), "i32")
for c in (0, 1, 8, gpu.MOST_LISTED):
    constants = {"ADD": True, "TRIMMED": False, "C": c, "UNITS": 16, "INPUTS": 32}
    source = ASTSource(
        fn=gpu.winsorize,
        signature={**pointers, **sizes, "scale": "fp32", **dict.fromkeys(constants, "constexpr")},
        constexprs=constants,
    )
    options = {"num_warps": 4, "enable_fp_fusion": False}
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    spilled = ".local" in made.asm["ptx"]
    print(c, len(made.asm["cubin"]) > 0, spilled)
"""


def test_it_compiles_for_a_gpu_and_keeps_its_lists_in_registers(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", COMPILED],
        env={**environment, "TRITON_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{c} True False" for c in (0, 1, 8, 16)]


# --- where Triton cannot compile ------------------------------------------------------------------

BROKEN = {
    "no compiler": ({"PATH": "/nonexistent"}, "RuntimeError: Failed to find C compiler"),
    "CC not there": ({"CC": "/nonexistent"}, "FileNotFoundError: .*'/nonexistent'"),
    "CC of two words": ({"CC": "ccache gcc"}, "FileNotFoundError: .*'ccache gcc'"),
    "CC that fails": ({"CC": "false"}, "CalledProcessError: .*returned non-zero exit status 1"),
    "no folder": ({"TRITON_CACHE_DIR": "/dev/null/x"}, "NotADirectoryError: .*/dev/null/x"),
}


@pytest.fixture
def _fresh():
    """What is found out once a process is found out anew, before and after."""
    cached = (operators.missing, operators._warn)
    for function in cached:
        function.cache_clear()
    yield
    for function in cached:
        function.cache_clear()


def broken(monkeypatch, tmp_path, environment):
    """As on a GPU: Triton compiles a launcher, by its own means."""
    build = pytest.importorskip("triton.runtime.build")
    build._find_compiler.cache_clear()
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(operators, "_try", lambda *_: build.compile_module_from_src("int x;", "x"))


@pytest.mark.usefixtures("_fresh")
@pytest.mark.parametrize("name", BROKEN)
def test_where_triton_cannot_compile_the_reference_stands_in_and_the_reason_is_told(
    monkeypatch, tmp_path, name
):
    environment, reason = BROKEN[name]
    broken(monkeypatch, tmp_path, environment)
    with pytest.warns(
        RuntimeWarning, match=f"GPU kernel cannot be used.*sorting on the GPU.*{reason}.*CC, or"
    ):
        assert operators.ready("cuda") == "reference"
    assert operators.ready("cuda") == "reference"  # told once
    a, δ = map(torch.from_numpy, layer(20, 31, 20, "normal"))
    expected = reference.winsorized_linear_gradient(a, δ, 3)
    found = operators._gpu_gradient(a, δ, 3)
    weight, bias = torch.ones(20, 31), torch.ones(20)
    operators._gpu_update(weight, bias, a, δ, 3, 0.5)
    for one, changed, right in zip(found, (weight, bias), expected, strict=True):
        assert torch.equal(one, right)
        assert torch.equal(changed, 1 - 0.5 * right)


@pytest.mark.usefixtures("_fresh")
@pytest.mark.parametrize("c", [0, 17])
def test_levels_that_the_kernel_is_not_made_for_do_not_ask_for_it(monkeypatch, c):
    monkeypatch.setattr(operators, "missing", lambda _: pytest.fail("it was asked for"))
    a, δ = map(torch.from_numpy, layer(40, 3, 4, "normal"))
    found = operators._gpu_gradient(a, δ, c)
    for one, right in zip(found, reference.winsorized_linear_gradient(a, δ, c), strict=True):
        torch.testing.assert_close(one, right)


@pytest.mark.parametrize("refused", [(30, 31, 3, ValueError), (30, 30, 15, ValueError)])
def test_the_same_is_refused_where_the_values_are_sorted(monkeypatch, refused):
    rows, others, c, error = refused
    monkeypatch.setattr(operators, "ready", lambda _: "reference")
    with pytest.raises(error):
        operators._gpu_gradient(torch.ones(rows, 4), torch.ones(others, 5), c)


# --- on a GPU -------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("trimmed", [False, True])
@pytest.mark.parametrize(("batch", "width", "units", "c"), [*LAYERS, (100, 784, 256, 2), (100, 256, 10, 8)])
def test_on_a_gpu_it_is_the_oracle(batch, width, units, c, trimmed):
    a, δ = layer(batch, width, units, "normal")
    operator = torch.ops.cgpipe.winsorized_linear_gradient
    weight, bias = operator(torch.from_numpy(a).cuda(), torch.from_numpy(δ).cuda(), c, trimmed)
    assert_is_winsorized(weight.cpu().numpy(), bias.cpu().numpy(), a, δ, c, trimmed)


@pytest.mark.gpu
def test_on_a_gpu_the_kernel_is_found_to_be_right():
    assert operators.missing("cuda") == ""
    assert operators.ready("cuda") == "triton"


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["winsorized_mean", "median", "m3", "rm3", "sum_of_signs"])
def test_a_captured_step_is_one_that_is_not_captured(name):
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.uniform(size=(200, 20)).astype(np.float32)).cuda()
    labels = torch.from_numpy(rng.integers(0, 4, 200)).cuda()
    batches = [rng.permutation(200)[:40] for _ in range(10)]
    ends = []
    for warm_up in (3, 10**9):
        layers = initial_layers([20, 16, 4], "xavier", np.random.default_rng(1), "cuda")
        rule = update_rule(name, 2 if name == "winsorized_mean" else 0, 40)
        trainer = Trainer(layers, images, labels, 40, rule)
        trainer.WARM_UP = warm_up
        for batch in batches:
            trainer.step(batch, 0.1)
        trainer.check()
        ends.append([p.cpu() for of_layer in layers for p in of_layer])
    for captured, plain in zip(*ends, strict=True):
        torch.testing.assert_close(captured, plain, rtol=0, atol=1e-6)
