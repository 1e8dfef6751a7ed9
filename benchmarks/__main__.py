"""`python -m benchmarks --out FOLDER`: all measurements, as tables on the screen and as JSON."""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import torch

from benchmarks import ways
from cgpipe.data import datasets
from cgpipe.data.corruption import corrupt_labels
from cgpipe.kernels import operators, reference
from cgpipe.learning.batches import BatchOrder
from cgpipe.learning.rules import update_rule
from cgpipe.learning.trainer import Trainer
from cgpipe.names import CLIPPING
from cgpipe.networks.dense import forward, output_gradients
from cgpipe.pipeline.artifacts import software
from cgpipe.pipeline.config.datasets import expanded

PAPER = [784, 256, 256, 256, 10]
WIDE = [784, 2048, 10]  # of the paper, too
LEVELS = [0, 1, 2, 4, 8]
SLOW = ("vmap_topk", "opacus_sort")
TRAIN = {
    "batch_size": 100,
    "device": "cpu",
    "init": "xavier",
    "learning_rate": 0.1,
    "momentum": 0.0,
    "noise": 0.5,
    "normalize": False,
    "schedule": "constant",
    "seed": 0,
    "snapshots": False,
    "update": "winsorized_mean",
    "weight_decay": 0.0,
}


def measure(
    steps: dict[Any, tuple[ways.Step, int]], rounds: int, batches: Callable[[], np.ndarray]
) -> dict[Any, np.ndarray]:
    """Milliseconds a step of each, by rounds in which each has its turn; the first round is thrown away."""
    seen: dict[Any, list[float]] = {key: [] for key in steps}
    for _ in range(rounds + 1):
        for key, (step, repeats) in steps.items():
            indices = [batches() for _ in range(repeats)]
            start = time.perf_counter()
            for batch in indices:
                step(batch)
            seen[key].append(1e3 * (time.perf_counter() - start) / repeats)
    return {key: np.array(values[1:]) for key, values in seen.items()}


def spread(values: np.ndarray) -> list[float]:
    """Lower quartile, median and upper quartile."""
    return [round(float(q), 4) for q in np.percentile(values, [25, 50, 75])]


def headline(data: ways.Data, rounds: int) -> dict[str, Any]:
    """One step of the paper's network, every way, for every c, from the initial weights on."""
    order = BatchOrder(len(data.labels), 100, np.random.default_rng(1))
    layers = ways.network(PAPER)
    steps = {
        (name, c): (way(layers, data, 100, c).step, 1 if name in SLOW else 10)
        for c in LEVELS
        for name, way in ways.WAYS.items()
    }
    found = measure(steps, rounds, order.next)
    result: dict[str, Any] = {
        f"{name}_ms": {str(c): spread(found[name, c])[1] for c in LEVELS} for name in ways.WAYS
    }
    result["quartiles_ms"] = {
        name: {str(c): spread(found[name, c])[::2] for c in LEVELS} for name in ways.WAYS
    }
    # Each round is a pair: what slows the machine slows both.
    result["ratios"] = {
        "cgpipe_to_plain_sgd_eager": {
            str(c): spread(found["cgpipe", c] / found["plain_sgd_eager", c]) for c in LEVELS
        },
        "vmap_topk_to_cgpipe": {str(c): spread(found["vmap_topk", c] / found["cgpipe", c]) for c in LEVELS},
        "opacus_sort_to_cgpipe": {
            str(c): spread(found["opacus_sort", c] / found["cgpipe", c]) for c in LEVELS
        },
    }
    return result


def trained(data: ways.Data, rounds: int, steps_before: int = 1500) -> dict[str, Any]:
    """The same two, after some training: gradients are sparser."""
    order = BatchOrder(len(data.labels), 100, np.random.default_rng(2))
    steps: dict[Any, tuple[ways.Step, int]] = {}
    for c in LEVELS:
        layers = ways.network(PAPER)
        rule = update_rule("winsorized_mean", c, 100)
        before = Trainer(layers, data.images, data.labels, 100, rule)
        for _ in range(steps_before):
            before.step(order.next(), ways.RATE)
        for name in ("plain_sgd_eager", "cgpipe"):
            steps[name, c] = (ways.WAYS[name](layers, data, 100, c).step, 10)
    found = measure(steps, rounds, order.next)
    return {
        "steps_before": steps_before,
        "cgpipe_ms": {str(c): spread(found["cgpipe", c])[1] for c in LEVELS},
        "cgpipe_to_plain_sgd_eager": {
            str(c): spread(found["cgpipe", c] / found["plain_sgd_eager", c]) for c in LEVELS
        },
    }


def growth(data: ways.Data, rounds: int) -> list[dict[str, Any]]:
    """How a step of cgpipe grows with minibatch, width and c, and by other rules, beside plain SGD."""
    cases: list[tuple[str, list[int], int, int]] = [
        *(("batch", PAPER, batch, 2) for batch in (50, 100, 200, 400)),
        *(("width", [784, w, w, w, 10], 100, 2) for w in (64, 128, 256, 512, 1024, 2048)),
        *(("c", PAPER, 100, c) for c in (0, 1, 2, 4, 8, 16, 32, 49)),
        *(("c", WIDE, 100, c) for c in (0, 2)),
        *((update, PAPER, 100, c) for update in CLIPPING[1:] for c in (1, 2)),
    ]
    rows = []
    for varied, widths, batch, c in cases:
        order = BatchOrder(len(data.labels), batch, np.random.default_rng(3))
        layers = ways.network(widths)
        update = varied if varied in CLIPPING else "winsorized_mean"
        both: dict[Any, tuple[ways.Step, int]] = {
            "plain_sgd_eager": (ways.plain_sgd_eager(layers, data, batch, c).step, 3),
            "cgpipe": (ways.cgpipe(layers, data, batch, c, update).step, 3),
        }
        found = measure(both, rounds, order.next)
        rows.append(
            {
                "varied": varied,
                "hidden": widths[1:-1],
                "batch": batch,
                "c": c,
                "plain_sgd_eager_ms": spread(found["plain_sgd_eager"])[1],
                "cgpipe_ms": spread(found["cgpipe"])[1],
                "ratio": spread(found["cgpipe"] / found["plain_sgd_eager"]),
            }
        )
    return rows


def full_batch(data: ways.Data, rounds: int) -> list[dict[str, Any]]:
    """One step of gradient descent by all examples, beside eager torch and the dense matrix products."""
    rows, examples = [], len(data.labels)
    for widths in (PAPER, WIDE):
        layers = ways.network(widths)
        made = {
            "dense_products": ways.dense_products,
            "plain_sgd_eager": ways.plain_sgd_eager,
            "cgpipe": ways.cgpipe,
        }
        steps = {name: (way(layers, data, examples, 0).step, 1) for name, way in made.items()}
        found = measure(steps, rounds, lambda: np.arange(examples))
        rows.append(
            {
                "hidden": widths[1:-1],
                **{f"{name}_ms": spread(found[name])[1] for name in made},
                "cgpipe_to_dense_products": spread(found["cgpipe"] / found["dense_products"]),
                "cgpipe_to_plain_sgd_eager": spread(found["cgpipe"] / found["plain_sgd_eager"]),
            }
        )
    return rows


def stand_in(data: ways.Data, rounds: int) -> dict[str, float]:
    """The sorting reference, which stands in where there is no compiler: its kernel against the fused one."""
    layers = ways.network(PAPER)
    x, y = data.batch(np.arange(100))
    inputs, logits = forward(layers, x)
    pairs = list(zip(inputs, output_gradients(layers, inputs, logits, y), strict=True))

    def by(gradient: Callable[..., Any], c: int) -> ways.Step:
        return lambda _: [gradient(a, δ, c) for a, δ in pairs] and None

    steps = {
        (name, c): (by(gradient, c), 1)
        for c in LEVELS[1:]
        for name, gradient in (
            ("reference", reference.winsorized_linear_gradient),
            ("fused", operators.winsorized_linear_gradient),
        )
    }
    found = measure(steps, rounds, lambda: np.arange(1))
    return {str(c): spread(found["reference", c] / found["fused", c])[1] for c in LEVELS[1:]}


def error(data: ways.Data) -> dict[str, float]:
    """Largest difference from float64, as a share of the largest gradient of the layer."""
    layers = ways.network(PAPER)
    order = BatchOrder(len(data.labels), 100, np.random.default_rng(4))
    worst = {}
    for c in LEVELS:
        share = 0.0
        for _ in range(3):
            x, y = data.batch(order.next())
            inputs, logits = forward(layers, x)
            for a, δ in zip(inputs, output_gradients(layers, inputs, logits, y), strict=True):
                found = operators.winsorized_linear_gradient(a, δ, c)
                exact = reference.winsorized_linear_gradient(a.double(), δ.double(), c)
                for mine, wanted in zip(found, exact, strict=True):
                    share = max(share, float((mine - wanted).abs().max() / wanted.abs().max()))
        worst[str(c)] = share
    return worst


MEMORY = """
import sys, numpy as np, torch
from benchmarks import ways
from benchmarks.__main__ import mnist
from benchmarks.memory import peak

torch.set_grad_enabled(False)
way, c, hidden = sys.argv[1], int(sys.argv[2]), [int(n) for n in sys.argv[3].split("-")]
data = mnist()
layers = ways.network([784, *hidden, 10])
ways.plain_sgd_eager(layers, data, 100, 0).step(np.arange(100), ways.RATE)  # so that libraries are loaded
rng = np.random.default_rng(0)

def steps():
    step = ways.WAYS[way](layers, data, 100, c).step
    for _ in range(30):
        step(rng.permutation(60000)[:100])

print(*peak(steps))
"""


def memory() -> list[dict[str, Any]]:
    """Peak resident memory of a process that trains, each in a process of its own (Linux)."""
    rows = []
    for hidden in ("256-256-256", "2048"):
        plain = float("nan")
        for way, c in [("plain_sgd_eager", 0), *(("cgpipe", c) for c in LEVELS), ("vmap_topk", 2)]:
            command = [sys.executable, "-c", MEMORY, way, str(c), hidden]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            before, peak = (float(n) for n in done.stdout.split())
            plain = peak if way == "plain_sgd_eager" else plain
            rows.append(
                {
                    "hidden": hidden,
                    "way": way,
                    "c": c,
                    "before_mib": round(before, 1),
                    "peak_mib": round(peak, 1),
                    "peak_to_plain_sgd_eager": round(peak / plain, 3),
                }
            )
    return rows


def jobs(steps: int) -> list[dict[str, Any]]:
    """Whole jobs of stage `train`, start to end: two of one thread each at once, or two of two in turn."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        stage("data", {"dataset": "mnist"}, "--downloads", "results/downloads", "--dataset", folder / "d.nc")
        corrupt = {"noise": 0.5, "replicate": 0, "seed": 0, "selection": "exact"}
        stage("corrupt", corrupt, "--dataset", folder / "d.nc", "--corrupted", folder / "c.nc")
        inputs = ["--dataset", folder / "d.nc", "--corrupted", folder / "c.nc"]
        for hidden, c in [([256, 256, 256], 0), ([256, 256, 256], 2), ([256, 256, 256], 8), ([2048], 0)]:
            settings = TRAIN | {"network": {"dense": hidden}, "steps": steps, "winsor": c}
            for turn, together in product(range(2), (True, False)):
                start = time.perf_counter()
                running = []
                for replicate in range(2):
                    out = folder / f"{len(hidden)}-{c}-{turn}-{together}-{replicate}"
                    spec = settings | {"replicate": replicate}
                    running.append(start_stage("train", spec, 1 if together else 2, *inputs, out))
                    if not together:
                        finish(running.pop())
                for process in running:
                    finish(process)
                rows.append(
                    {
                        "hidden": hidden,
                        "c": c,
                        "jobs": "2 at once, 1 thread each" if together else "1 after the other, 2 threads",
                        "turn": turn,
                        "steps_per_second": round(2 * steps / (time.perf_counter() - start), 1),
                    }
                )
    return rows


def start_stage(name: str, spec: dict[str, Any], threads: int, *arguments: Any) -> subprocess.Popen[str]:
    """Start a stage as the workflow does."""
    command = [sys.executable, "-m", "cgpipe", name, "--spec", json.dumps(spec), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> None:
    """Wait for a stage."""
    said = process.communicate()[1]
    if process.returncode:
        raise RuntimeError(said)


def stage(name: str, spec: dict[str, Any], *arguments: Any) -> None:
    """Run a stage."""
    finish(start_stage(name, spec, 1, *arguments))


def mnist(noise: float = 0.0) -> ways.Data:
    """MNIST, from CGPIPE_DATA_ROOT, or downloaded into results/downloads."""
    root = os.environ.get("CGPIPE_DATA_ROOT")
    loaded = datasets.load("mnist", expanded(root or "results/downloads"), download=not root)
    images = loaded["train_images"].values.reshape(60000, -1).astype(np.float32) / 255
    labels = loaded["train_labels"].values
    if noise:
        labels = corrupt_labels(labels, noise, rng=np.random.default_rng(0))["label_train"].values
    return ways.Data(torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64)))


def machine(threads: int) -> dict[str, Any]:
    """What this was measured on."""
    described = Path("/proc/cpuinfo").read_text("utf-8") if Path("/proc/cpuinfo").exists() else ""
    models = [
        line.partition(":")[2].strip() for line in described.splitlines() if line.startswith("model name")
    ]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "kernel": operators.ready(),
        "software": software(),
    }


def sections(threads: int, rounds: int, steps: int) -> Iterator[tuple[str, Any]]:
    """All measurements, one after the other."""
    yield "machine", machine(threads)
    data = mnist(noise=0.5)
    yield "step", headline(data, rounds)
    yield "trained", trained(data, rounds)
    yield "growth", growth(data, rounds)
    yield "full_batch", full_batch(data, 3)
    yield "reference_to_fused", stand_in(data, rounds)
    yield "error", error(data)
    yield "memory", memory()
    yield "jobs", jobs(steps)


def shown(name: str, found: Any) -> str:
    """A section as a table."""
    if name == "step":
        columns = [key for key in found if key.endswith("_ms") and key != "quartiles_ms"]
        table = pd.DataFrame({key: found[key] for key in columns})
        for key, values in found["ratios"].items():
            table[key] = {c: of[1] for c, of in values.items()}
        return table.rename_axis("c").T.to_string(float_format="%.3f")
    if isinstance(found, list):
        return pd.DataFrame(found).to_string(index=False)
    return json.dumps(found, indent=2)


def write(path: Path, results: Any) -> None:
    """Write results as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".json.tmp")
    scratch.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    scratch.replace(path)
    click.echo(f"\nwrote {path}")


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("results/benchmarks"), show_default=True)
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True)
@click.option("--rounds", type=click.IntRange(3), default=15, show_default=True)
@click.option("--steps", type=click.IntRange(10), default=2000, show_default=True, help="Of each whole job.")
def main(out: Path, threads: int, rounds: int, steps: int) -> None:
    """Measure everything and write OUT/winsorized_step.json."""
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    results: dict[str, Any] = {}
    for name, found in sections(threads, rounds, steps):
        click.echo(f"\n== {name}\n{shown(name, found)}")
        # The keys of the headline stand at the top.
        results |= found if name == "step" else {name: found}
    write(out / "winsorized_step.json", results)


if __name__ == "__main__":
    main()
