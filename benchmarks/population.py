"""`python -m benchmarks.population --out FOLDER`: contributions of all examples, and null worlds."""

import gc
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from scipy import stats
from torch.nn.functional import cross_entropy, linear

from benchmarks import ways
from benchmarks.__main__ import machine, mnist, spread
from cgpipe.gradients.population import (
    example_contributions,
    example_contributions_by_autodiff,
    group_gradients,
)
from cgpipe.inference.nullworlds import null_group_sums
from cgpipe.networks.dense import Layer

WIDE, DEEP = [784, 2048, 10], [784, 256, 256, 256, 10]
STEPS = 46  # logged in 100,000 updates
FEW = 1_000  # examples by automatic differentiation
FEW_WORLDS = 200


def closed_form(layers: list[Layer], data: ways.Data, examples: int) -> None:
    """What stage `contributions` does with a snapshot."""
    x, y = data.images[:examples], data.labels[:examples]
    groups = group_gradients(layers, x, y, lambda logits, part: (logits.argmax(1) != y[part]).long(), 2)
    example_contributions(layers, x, y, groups.total())


def by_autodiff(layers: list[Layer], data: ways.Data, examples: int) -> None:
    """The same by torch.func, as for any network."""

    def loss(p: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        for number in range(len(layers)):
            x = linear(x.relu() if number else x, p[f"weight.{number}"], p[f"bias.{number}"])
        return cross_entropy(x, y, reduction="none")

    parameters = {f"{name}.{k}": p for k, layer in enumerate(layers) for name, p in layer._asdict().items()}
    example_contributions_by_autodiff(
        loss, parameters, data.images[:examples], data.labels[:examples], at_once=50
    )


def seconds(of: dict[str, Callable[[], Any]], rounds: int) -> dict[str, np.ndarray]:
    """Seconds of each, by rounds in which each has its turn; the first round is thrown away."""
    seen: dict[str, list[float]] = {name: [] for name in of}
    for _ in range(rounds + 1):
        for name, do in of.items():
            start = time.perf_counter()
            do()
            seen[name].append(time.perf_counter() - start)
    return {name: np.array(values[1:]) for name, values in seen.items()}


def snapshots(data: ways.Data, rounds: int) -> list[dict[str, Any]]:
    """Seconds a snapshot of all examples, and how much longer autodiff takes an example."""
    rows = []
    for widths in (WIDE, DEEP):
        layers = ways.network(widths)
        found = seconds(
            {
                "all": lambda layers=layers: closed_form(layers, data, len(data.labels)),
                "few": lambda layers=layers: by_autodiff(layers, data, FEW),
            },
            rounds,
        )
        each = found["few"] / FEW / (found["all"] / len(data.labels))
        rows.append(
            {
                "hidden": widths[1:-1],
                "examples": len(data.labels),
                "seconds": spread(found["all"]),
                "autodiff_to_closed_form": spread(each),
            }
        )
    return rows


def null_worlds(data: ways.Data, rounds: int) -> dict[str, Any]:
    """Seconds of 10,000 worlds at all logged steps, and how much longer scipy takes a world and step."""
    rng = np.random.default_rng(0)
    u = rng.standard_normal((STEPS, len(data.labels)))
    members = rng.random(len(data.labels)) < 0.55

    def by_scipy() -> None:
        stats.permutation_test(
            (u[0, members], u[0, ~members]),
            lambda a, b, axis: a.sum(axis),
            n_resamples=FEW_WORLDS,
            vectorized=True,
            rng=rng,
        )

    found = seconds({"ours": lambda: null_group_sums(u, members, 10_000, rng=rng), "scipy": by_scipy}, rounds)
    return {
        "worlds": 10_000,
        "steps": STEPS,
        "examples": len(data.labels),
        "seconds": spread(found["ours"]),
        "scipy_to_ours": spread(found["scipy"] / FEW_WORLDS / (found["ours"] / 10_000 / STEPS)),
    }


def memory(data: ways.Data) -> list[dict[str, Any]]:
    """What a snapshot adds to the peak resident memory, by the number of examples (Linux)."""

    def kept(what: str) -> float:
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024

    layers, rows = ways.network(WIDE), []
    for examples in (6_000, 60_000):
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5", "ascii")  # the peak counts from here on
        before = kept("VmRSS:")
        closed_form(layers, data, examples)
        added = round(kept("VmHWM:") - before, 1)
        rows.append({"hidden": WIDE[1:-1], "examples": examples, "added_mib": added})
    return rows


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("results/benchmarks"), show_default=True)
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
def main(out: Path, threads: int, rounds: int) -> None:
    """Measure and write OUT/population.json."""
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    data = mnist(noise=0.5)
    results = {
        "machine": machine(threads),
        "memory": memory(data),
        "snapshot": snapshots(data, rounds),
        "null_worlds": null_worlds(data, rounds),
    }
    text = json.dumps(results, indent=2)
    click.echo(text)
    out.mkdir(parents=True, exist_ok=True)
    path = out / "population.json"
    scratch = path.with_suffix(".json.tmp")
    scratch.write_text(text + "\n", encoding="utf-8")
    scratch.replace(path)


if __name__ == "__main__":
    main()
