"""`python -m benchmarks.population --out FOLDER`: all examples, updates made again, null worlds.

`--only gpu` measures what needs a GPU, in less than half a minute.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import click
import numpy as np
import torch
from scipy import stats
from threadpoolctl import threadpool_limits
from torch.nn.functional import cross_entropy, linear

from benchmarks import ways
from benchmarks.__main__ import machine, mnist, spread, write
from benchmarks.memory import peak
from cgpipe.gradients.autodiff import example_contributions_by_autodiff
from cgpipe.gradients.displacement import Window, displacement
from cgpipe.gradients.population import (
    VARIABLES,
    example_contributions,
    group_gradients,
    measure_contributions,
)
from cgpipe.inference.nullworlds import null_group_sums
from cgpipe.kernels import operators
from cgpipe.learning.replay import Replay
from cgpipe.learning.run import Examples
from cgpipe.networks.dense import Layer
from cgpipe.networks.network import AT_ONCE
from cgpipe.pipeline.stages.device import choose

WIDE, DEEP = [784, 2048, 10], [784, 256, 256, 256, 10]
STEPS = 46  # logged in 100,000 updates
FEW = 1_000  # examples by automatic differentiation
FEW_WORLDS = 200


def closed_form(layers: list[Layer], data: ways.Data, examples: int, at_once: int | None = None) -> None:
    """Most of what stage `contributions` does with a snapshot: all but stiffness."""
    x, y = data.images[:examples], data.labels[:examples]

    def learned(logits: torch.Tensor, part: slice) -> torch.Tensor:
        return (logits.argmax(1) != y[part]).long()

    groups = group_gradients(layers, x, y, learned, 2, at_once=at_once)
    example_contributions(layers, x, y, groups.total(), at_once=at_once)


def by_dense_products(layers: list[Layer], data: ways.Data) -> None:
    """The same, no zero left out."""
    with mock.patch.object(operators, "missing", return_value="not asked"):
        closed_form(layers, data, len(data.labels))


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


def seconds(
    of: dict[str, Callable[[], Any]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, np.ndarray]:
    """Seconds of each, by rounds in which each has its turn; the first round is thrown away."""
    seen: dict[str, list[float]] = {name: [] for name in of}
    for _ in range(rounds + 1):
        for name, do in of.items():
            start = clock()
            do()
            seen[name].append(clock() - start)
    return {name: np.array(values[1:]) for name, values in seen.items()}


def snapshots(data: ways.Data, rounds: int) -> list[dict[str, Any]]:
    """Seconds a snapshot of all examples, and how much longer dense products and autodiff take."""
    rows = []
    for widths in (WIDE, DEEP):
        layers = ways.network(widths)
        found = seconds(
            {
                "all": lambda layers=layers: closed_form(layers, data, len(data.labels)),
                "dense": lambda layers=layers: by_dense_products(layers, data),
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
                "dense_products_to_sparse": spread(found["dense"] / found["all"]),
                "autodiff_to_closed_form": spread(each),
            }
        )
    return rows


def replays(data: ways.Data, rounds: int) -> dict[str, Any]:
    """What the displacement takes of an update, and a step of a burst, in updates of plain SGD."""
    layers, half = ways.network(WIDE), 50
    group = torch.from_numpy(np.random.default_rng(0).random(len(data.labels)) < 0.45).long()
    replay = Replay(
        layers,
        Examples(data.images, data.labels),
        batch_size=100,
        learning_rate=0.1,
        update="winsorized_mean",
        c=0,
        batch_rng=np.random.default_rng(0),
    )

    def updates() -> Any:
        return replay.updates(0, layers, 2 * half)

    found = seconds(
        {
            "updates": lambda: list(updates()),
            "window": lambda: displacement(Window(0, half, updates), data.images, data.labels),
            "burst_step": lambda: group_gradients(
                layers, data.images, data.labels, lambda _, part: group[part], 2
            ),
        },
        rounds,
    )
    each = found["updates"] / (2 * half)
    return {
        "hidden": WIDE[1:-1],
        "update_ms": spread(1e3 * each),
        "displacement_to_update": spread(found["window"] / found["updates"]),
        "burst_step_to_update": spread(found["burst_step"] / each),
    }


def gpu(data: ways.Data, rounds: int) -> Any:
    """Milliseconds a snapshot on a GPU, and how far it is from that of the CPU, as a share of the largest."""
    if not torch.cuda.is_available():
        return "skipped: no GPU"
    device = choose("cuda")
    there = ways.Data(data.images.to(device), data.labels.to(device))
    pristine = np.random.default_rng(0).random(len(data.labels)) < 0.55
    rows: list[dict[str, Any]] = []
    for widths in (WIDE, DEEP):
        layers = ways.network(widths)

        def snapshot(of: ways.Data, layers: list[Layer] = layers) -> Any:
            moved = [Layer(*(p.to(of.images.device) for p in layer)) for layer in layers]
            return measure_contributions(
                [(0, moved)],
                *(of.images, of.labels, pristine),
                stiffness_examples=1_000,
                rng=np.random.default_rng(0),
            )

        moved = [Layer(*(p.to(device) for p in layer)) for layer in layers]
        ways_there: dict[str, Callable[[], Any]] = {
            "snapshot": lambda: snapshot(there),
            "all_but_stiffness": lambda of=moved: closed_form(of, there, len(pristine)),
            "by_chunks_of_the_cpu": lambda of=moved: closed_form(of, there, len(pristine), AT_ONCE),
        }
        found = seconds(ways_there, rounds)
        near, exact = snapshot(there), snapshot(data)
        rows.append(
            {
                "device": torch.cuda.get_device_name(),
                "hidden": widths[1:-1],
                **{f"{name}_ms": spread(1e3 * values) for name, values in found.items()},
                "error": {
                    name: float(abs(near[name] - exact[name]).max() / abs(exact[name]).max())
                    for name in VARIABLES
                },
                "gpu_mib": round(torch.cuda.max_memory_allocated() / 2**20),
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

    def ours(threads: int) -> None:
        with threadpool_limits(1):
            null_group_sums(u, members, 10_000, rng=rng, threads=threads)

    threads = torch.get_num_threads()
    ways_there = {"ours": lambda: ours(threads), "one_thread": lambda: ours(1), "scipy": by_scipy}
    found = seconds(ways_there, rounds)
    return {
        "worlds": 10_000,
        "steps": STEPS,
        "examples": len(data.labels),
        "seconds": spread(found["ours"]),
        "one_thread_to_ours": spread(found["one_thread"] / found["ours"]),
        "scipy_to_ours": spread(found["scipy"] / FEW_WORLDS / (found["ours"] / 10_000 / STEPS)),
    }


def memory(data: ways.Data) -> list[dict[str, Any]]:
    """What a snapshot adds to the peak resident memory, by the number of examples (Linux)."""
    layers, rows = ways.network(WIDE), []
    for examples in (6_000, 60_000):
        before, most = peak(lambda examples=examples: closed_form(layers, data, examples))
        rows.append({"hidden": WIDE[1:-1], "examples": examples, "added_mib": round(most - before, 1)})
    return rows


SECTIONS: dict[str, Callable[[ways.Data, int], Any]] = {
    "memory": lambda data, _: memory(data),
    "snapshot": snapshots,
    "null_worlds": null_worlds,
    "replays": replays,
    "gpu": gpu,
}


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("results/benchmarks"), show_default=True)
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--only", type=click.Choice(list(SECTIONS)), multiple=True, help="Not all of the sections.")
def main(out: Path, threads: int, rounds: int, only: tuple[str, ...]) -> None:
    """Measure and write OUT/population.json."""
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    data = mnist(noise=0.5)
    results = {"machine": machine(threads)}
    results |= {name: SECTIONS[name](data, rounds) for name in only or SECTIONS}
    click.echo(json.dumps(results, indent=2))
    write(out / "population.json", results)


if __name__ == "__main__":
    main()
