"""`python -m benchmarks.lockstep --out FOLDER`: a step of many runs at once on a GPU."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import torch

from benchmarks import ways
from benchmarks.__main__ import LEVELS, PAPER, mnist, spread, write
from cgpipe.learning.batches import BatchOrder
from cgpipe.learning.lockstep.step import Lockstep
from cgpipe.learning.run import Examples, TrainingRun, start_run
from cgpipe.pipeline.artifacts import software
from cgpipe.pipeline.stages.device import fix_precision

WIDE = [784, 2048, 10]
PACKS = [1, 5, 25]
FEEDS = 5  # replicates, each with minibatches of its own


def runs_of(data: Examples, widths: Sequence[int], levels: Sequence[int]) -> list[TrainingRun]:
    """Runs at these levels of winsorization, of five replicates in turn."""
    return [
        start_run(
            data,
            data,
            hidden=widths[1:-1],
            batch_size=100,
            learning_rate=ways.RATE,
            c=c,
            classes=10,
            rng=number,
            batch_rng=np.random.default_rng(number % FEEDS),
        )
        for number, c in enumerate(levels)
    ]


def microseconds(step: Callable[[], object], steps: int, rounds: int) -> list[float]:
    """Quartiles of the time of a step, by rounds that end when the GPU has; one round is thrown away."""
    seen = []
    for _ in range(rounds + 1):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(steps):
            step()
        torch.cuda.synchronize()
        seen.append(1e6 * (time.perf_counter() - start) / steps)
    return [round(value, 1) for value in spread(np.array(seen[1:]))]


def eager(data: Examples, widths: Sequence[int]) -> Callable[[], object]:
    """A step of plain SGD in eager torch."""
    way = ways.plain_sgd_eager(ways.network(widths), ways.Data(*data), 100, 0)
    order = BatchOrder(len(data.labels), 100, np.random.default_rng(0))
    return lambda: way.step(order.next())


def in_a_graph(data: Examples, widths: Sequence[int]) -> Callable[[], object]:
    """The same, captured in a CUDA graph."""
    model = ways.module(ways.network(widths))
    optimizer = torch.optim.SGD(model.parameters(), lr=ways.RATE)
    batch = torch.zeros(100, dtype=torch.int64)

    def update() -> None:
        with torch.enable_grad():
            optimizer.zero_grad(set_to_none=False)
            torch.nn.functional.cross_entropy(model(data.images[batch]), data.labels[batch]).backward()
            optimizer.step()

    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            update()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        update()
    order = BatchOrder(len(data.labels), 100, np.random.default_rng(0))

    def step() -> None:
        batch.copy_(torch.from_numpy(order.next()))
        graph.replay()

    return step


def by_vmap(data: Examples, widths: Sequence[int]) -> Callable[[], object]:
    """A winsorized step, c = 2, by per-example gradients and topk."""
    way = ways.vmap_topk(ways.network(widths), ways.Data(*data), 100, 2)
    order = BatchOrder(len(data.labels), 100, np.random.default_rng(0))
    return lambda: way.step(order.next())


def measure(data: Examples, rounds: int) -> list[dict[str, Any]]:
    """A row for each network, way and c."""
    rows = []
    for widths in (PAPER, WIDE):
        for name, way, c, steps in (
            ("plain SGD, eager torch", eager, 0, 50),
            ("plain SGD, torch in a CUDA graph", in_a_graph, 0, 300),
            ("vmap + topk", by_vmap, 2, 3),
        ):
            with torch.device("cuda"):
                step = way(data, widths)
            row = {"hidden": widths[1:-1], "way": name, "c": str(c), "runs": 1}
            rows.append({**row, "microseconds": microseconds(step, steps, rounds)})
        packs = [(str(c), [c] * count) for count in PACKS for c in LEVELS]
        packs.append(("all", [c for c in LEVELS for _ in range(25)]))
        for name, levels in packs:
            pack = Lockstep(runs_of(data, widths, levels))
            for _ in range(10):  # compiled and captured
                pack.step()
            found = microseconds(pack.step, 200, rounds)
            row = {"hidden": widths[1:-1], "way": "lockstep", "c": name, "runs": len(levels)}
            rows.append({**row, "microseconds": found})
            del pack
    return rows


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("results/benchmarks"), show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
def main(out: Path, rounds: int) -> None:
    """Measure and write OUT/lockstep.json, if there is a GPU."""
    if not torch.cuda.is_available():
        click.echo("benchmarks.lockstep: skipped, as torch finds no GPU here")
        return
    fix_precision()
    torch.set_grad_enabled(False)
    on_cpu = mnist(noise=0.5)
    data = Examples(on_cpu.images.cuda(), on_cpu.labels.cuda())
    rows = measure(data, rounds)
    table = pd.DataFrame(rows)
    table["microseconds"] = [row["microseconds"][1] for row in rows]
    click.echo(table.to_string(index=False))
    machine = {"gpu": torch.cuda.get_device_name(), "software": software()}
    write(out / "lockstep.json", {"machine": machine, "step": rows})


if __name__ == "__main__":
    main()
