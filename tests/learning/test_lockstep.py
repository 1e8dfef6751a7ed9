"""Runs in lockstep: interpreted on the CPU, compiled without a GPU, and, where there is one, run on it."""

import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from cgpipe.learning import train_pack
from cgpipe.learning.batches import BatchOrder
from cgpipe.learning.run import examples, start_run
from cgpipe.learning.trainer import Trainer
from cgpipe.networks.dense import Layer

HERE = Path(__file__).parent

# Widths, minibatch, update rule and c of each run: tiles and their edges, no hidden layer, dense images, a
# median, c so large that nothing is known to be zero.
PACKS = [
    ([9, 6, 5, 4], 12, "winsorized_mean", [0, 1, 2, 5]),
    ([20, 33, 17, 3], 20, "winsorized_mean", [2, 3, 1, 8]),
    ([40, 7], 20, "winsorized_mean", [0, 2, 1, 8]),
    ([30, 66, 3], 33, "trimmed_mean", [1, 16, 0, 5]),
    ([9, 6, 5, 4], 13, "median", [0, 0]),
]


def problem(widths, kind, examples_=40, seed=0):
    rng = np.random.default_rng([seed, *widths])
    images = rng.uniform(0.1, 1, (examples_, widths[0]))
    if kind == "sparse":
        images *= rng.random(images.shape) < 0.3
        images[:, 0] = 0
    if kind == "signed":
        images *= rng.choice([-1, 0, 1], images.shape)
    if kind == "ties":
        images = images.round()
    return examples(images.astype(np.float32), rng.integers(0, widths[-1], examples_))


def pack_of(data, widths, batch, update, levels):
    """Runs of which two have the same minibatches, those of the same network too."""
    return [
        start_run(
            data,
            data,
            hidden=widths[1:-1],
            batch_size=batch,
            learning_rate=0.5,
            update=update,
            c=c,
            init="official",
            classes=widths[-1],
            rng=number // 2,
            batch_rng=np.random.default_rng(number // 2),
        )
        for number, c in enumerate(levels)
    ]


def largest_error(runs, others, steps, advance):
    """Of the parameters after some steps, beside those of runs alone in float64."""
    exact = []
    for run in others:
        layers = [Layer(layer.weight.double(), layer.bias.double()) for layer in run.network.stack]
        images, labels = run.training
        settings = (run.order.batch_size, run.rule)
        exact.append((layers, run.order, Trainer(layers, images.double(), labels, *settings)))
    advance(runs, steps)
    worst = 0.0
    for run, (layers, order, trainer) in zip(runs, exact, strict=True):
        assert run.step == steps
        for _ in range(steps):
            trainer.step(order.next(), run.rate.learning_rate)
        for found, wanted in zip(run.network.stack, layers, strict=True):
            for mine, right in zip(found, wanted, strict=True):
                worst = max(worst, float((mine.cpu() - right).abs().max()))
    return worst


def check_packs(to_device, advance, cases, steps):
    for (widths, batch, update, levels), kind in cases:
        data = problem(widths, kind)
        others = pack_of(data, widths, batch, update, levels)
        runs = pack_of(to_device(data), widths, batch, update, levels)
        error = largest_error(runs, others, steps, advance)
        assert error < 1e-6, (widths, batch, update, levels, kind, error)


# In a process of its own: Triton decides at its import whether it interprets.
INTERPRETED = """
import numpy as np
import torch
import test_lockstep
from cgpipe.learning.lockstep.step import Lockstep

def advance(runs, steps):
    pack = Lockstep(runs)
    for _ in range(steps):
        pack.step()
    for run in runs:
        pack.check(run)

torch.set_grad_enabled(False)
kinds = ["dense", "signed", "sparse", "sparse", "ties"]  # interpreted, each takes seconds
test_lockstep.check_packs(lambda data: data, advance, zip(test_lockstep.PACKS, kinds, strict=True), 2)
test_lockstep.check_company(lambda data: data, advance, [0, 2, 4], 2)
with np.errstate(invalid="ignore"):
    test_lockstep.check_divergence(lambda data: data, Lockstep)
"""


def check_company(to_device, advance, levels, steps):
    """A run has the same bits alone and in company."""
    widths, batch = [12, 10, 9, 5], 15
    data = to_device(problem(widths, "sparse"))
    together = pack_of(data, widths, batch, "winsorized_mean", levels)
    advance(together, steps)
    for number, run in enumerate(pack_of(data, widths, batch, "winsorized_mean", levels)):
        advance([run], steps)
        for mine, its in zip(run.network.stack, together[number].network.stack, strict=True):
            assert torch.equal(mine.weight, its.weight)
            assert torch.equal(mine.bias, its.bias)


def check_divergence(to_device, lockstep):
    """What is not finite stays in its run."""
    widths, batch = [12, 10, 9, 5], 15
    data = to_device(problem(widths, "sparse"))
    runs, alone = (pack_of(data, widths, batch, "winsorized_mean", [0, 1, 4]) for _ in range(2))
    runs[1].network.stack[1].weight[0, 0] = torch.inf
    pack, one = lockstep(runs), lockstep([alone[0]])
    pack.step()
    one.step()
    for number, run in enumerate(runs):
        if number == 1:
            with pytest.raises(ArithmeticError, match="not finite"):
                pack.check(run)
            pack.leave(run)
        else:
            pack.check(run)
    pack.step()
    one.step()
    assert [run.step for run in runs] == [2, 1, 2]
    assert torch.equal(runs[0].network.stack[0].weight, alone[0].network.stack[0].weight)


def test_interpreted_it_is_training_alone_in_float64():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", INTERPRETED],
        env={**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": f"{HERE.parents[1]}:{HERE}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


COMPILED = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from cgpipe.learning.lockstep import products, selection

KINDS = {"batch": "*i64", "labels": "*i64", "labels_of": "*i64"}
KINDS |= dict.fromkeys(("slots", "feed_of", "counts", "examples", "finite"), "*i32")
PAPER, TILE = {"BATCH": 100, "WIDTH": 784, "UNITS": 256}, {"ROWS": 32, "COLUMNS": 64, "INNER": 32}
LAYER = PAPER | {"STRIDE_O": 1, "STRIDE_I": 256, "FIRST": True, "PRECISION": "tf32x3"}

def compile(kernel, **constants):
    function = getattr(products, kernel, None) or getattr(selection, kernel)
    kinds = {name: KINDS.get(name, "*fp32") for name in function.arg_names}
    source = ASTSource(
        fn=function, signature=kinds | dict.fromkeys(constants, "constexpr"), constexprs=constants
    )
    options = {"num_warps": 4, "enable_fp_fusion": False}
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    print(kernel, len(made.asm["cubin"]) > 0, ".local" in made.asm["ptx"])

compile("forward", **LAYER, RELU=True, **TILE)
compile("loss_gradient", BATCH=100, CLASSES=10, ROWS=16, COLUMNS=16)
compile("backward", **PAPER, PRECISION="tf32x3", **TILE)
compile("plain_update", **LAYER, **TILE | {"ROWS": 64})
compile("list_pixels", BATCH=100, WIDTH=784, EXAMPLES=128, PIXELS=32)
compile("list_units", BATCH=100, UNITS=256, EXAMPLES=128, COLUMNS=32)
for c in (1, 8, 16):
    compile("update_by_pixel", **PAPER, C=c, TRIMMED=False, LANES=256)
    compile("update_by_unit", **PAPER, C=c, TRIMMED=False, LANES=256)
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
    found = [line.split()[1:] for line in done.stdout.splitlines()]
    assert found == [["True", "False"]] * 12


def test_orders_go_on_alike_if_all_of_their_state_is_the_same():
    def order(seed=0, batch=4, used=0):
        made = BatchOrder(20, batch, np.random.default_rng(seed))
        for _ in range(used):
            made.next()
        return made

    assert order().goes_on_as(order())
    for other in (order(seed=1), order(batch=5), order(used=1)):
        assert not order().goes_on_as(other)


# --- on a GPU -------------------------------------------------------------------------------------


def on_gpu(data):
    return examples(data.images, data.labels, "cuda")


def advance_on_gpu(runs, steps):
    ended = dict(train_pack(runs, steps))
    assert list(ended.values()) == [None] * len(runs)


@pytest.mark.gpu
def test_on_a_gpu_it_is_training_alone_in_float64():
    check_packs(on_gpu, advance_on_gpu, product(PACKS, ("sparse", "dense", "signed", "ties")), 3)


@pytest.mark.gpu
def test_on_a_gpu_a_run_has_the_same_bits_in_any_company():
    from cgpipe.learning.lockstep.step import Lockstep

    check_company(on_gpu, advance_on_gpu, [0, 1, 2, 4, 0, 1], 4)
    check_divergence(on_gpu, Lockstep)
    # As large as in the paper: tiles that are full, 40 steps, most of them from a graph.
    data = on_gpu(problem([784, 10], "sparse", examples_=2000))
    levels = [0, 1, 2, 4, 8] * 3
    together, company = (
        pack_of(data, [784, 256, 256, 10], 100, "winsorized_mean", of) for of in (levels, levels[:7])
    )
    alone = pack_of(data, [784, 256, 256, 10], 100, "winsorized_mean", levels)[6:7]
    for runs in (together, company, alone):
        advance_on_gpu(runs, 40)
    for one, two, three in zip(
        together[6].network.stack, company[6].network.stack, alone[0].network.stack, strict=True
    ):
        assert torch.equal(one.weight, two.weight)
        assert torch.equal(one.weight, three.weight)
        assert bool(torch.isfinite(one.weight).all())


@pytest.mark.gpu
def test_a_run_that_is_resumed_has_the_same_bits():
    data = on_gpu(problem([30, 5], "sparse"))

    def runs():
        return pack_of(data, [30, 20, 5], 10, "winsorized_mean", [0, 1, 2, 4])

    whole, begun, resumed = runs(), runs(), runs()
    advance_on_gpu(whole, 30)
    advance_on_gpu(begun[:3], 10)
    for run, earlier in zip(resumed, begun[:3], strict=False):
        run.restore(earlier.state())
    advance_on_gpu(resumed, 30)  # the last from the start
    for one, other in zip(whole, resumed, strict=True):
        for mine, its in zip(one.network.stack, other.network.stack, strict=True):
            assert torch.equal(mine.weight, its.weight)
        assert one.logged.keys() == other.logged.keys()
