"""`python -m benchmarks.networks --out FOLDER`: convolutional networks, beside plain training and libraries.

Times are CPU times of one thread, so that other processes disturb less.
"""

import copy
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import pandas as pd
import torch
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

from benchmarks import ways
from benchmarks.__main__ import machine, spread, write
from benchmarks.memory import peak
from benchmarks.population import seconds
from cgpipe.learning.updates import VALUES_AT_ONCE
from cgpipe.networks.build import build
from cgpipe.networks.given import network_of

SHAPE, CLASSES, BATCH, C = (3, 32, 32), 10, 100, 2
EVERY = np.arange(BATCH)
NETWORKS = ("lenet5", "alexnet_small", "vgg11", "resnet18")
MOST_FORMED = 2**28  # per-example gradients that the others form at once: 1 GiB, and as much to sort them
Quantities = dict[str, torch.Tensor]


class Problem(NamedTuple):
    """A network, examples, and a value for each parameter to take products of the gradients with."""

    module: torch.nn.Module
    data: ways.Data
    along: Quantities

    @property
    def parameters(self) -> int:
        """How many there are."""
        return sum(p.numel() for p in self.module.parameters())

    def parts(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Images and labels, some at a time where gradients are formed."""
        at_once = max(1, MOST_FORMED // self.parameters)
        return zip(self.data.images.split(at_once), self.data.labels.split(at_once), strict=True)


def problem(name: str, examples: int = BATCH) -> Problem:
    """A network of the registry with its initial weights, and random images."""
    module = build(name, SHAPE, CLASSES, seed=0)
    random = torch.Generator().manual_seed(0)
    images = torch.rand(examples, *SHAPE, generator=random)
    along = {key: torch.randn(p.shape, generator=random) for key, p in module.named_parameters()}
    return Problem(module, ways.Data(images, torch.arange(examples) % CLASSES), along)


# --- ‖g_e‖² and ⟨d, g_e⟩ of each example ----------------------------------------------------------

# Each takes a problem, and gives back what is timed: it returns `norm`, and `product` if there is a way.
Way = Callable[[Problem], Callable[[], Quantities]]


def plain(of: Problem) -> Callable[[], Quantities]:
    """One forward and one backward pass for the sum of the gradients: what the others are compared with."""
    module = copy.deepcopy(of.module)

    def measured() -> Quantities:
        module.zero_grad(set_to_none=True)
        with torch.enable_grad():
            cross_entropy(module(of.data.images), of.data.labels, reduction="sum").backward()
        return {}

    return measured


def cgpipe(of: Problem) -> Callable[[], Quantities]:
    """What the stages do with a snapshot."""
    network = network_of(of.module, of.data.images)
    direction = [
        {name: of.along[f"{layer}.{name}"] for name in own}
        for layer, own in zip(network.layers, network.parameters(), strict=True)
    ]

    def measured() -> Quantities:
        norms, products = [], []
        for _, _, layers in network.passes(of.data.images, of.data.labels):
            norms.append(torch.stack([layer.squared_norms() for layer in layers]).sum(0))
            pairs = zip(layers, direction, strict=True)
            products.append(torch.stack([layer.products(along) for layer, along in pairs]).sum(0))
        return {"norm": torch.cat(norms), "product": torch.cat(products)}

    return measured


def by_vmap(of: Problem) -> Callable[[], Quantities]:
    """Gradients formed by torch.func."""
    parameters = {name: p.detach() for name, p in of.module.named_parameters()}

    def loss(parameters: Quantities, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return cross_entropy(functional_call(of.module, parameters, (x[None],)), y[None])

    each = vmap(grad(loss), in_dims=(None, 0, 0))
    return lambda: _joined(_from_formed(each(parameters, x, y), of.along) for x, y in of.parts())


def by_opacus(of: Problem) -> Callable[[], Quantities]:
    """Gradients formed by the hooks of Opacus."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from opacus.grad_sample import GradSampleModule  # noqa: PLC0415 - only here
    model = GradSampleModule(copy.deepcopy(of.module), loss_reduction="sum")

    def formed(x: torch.Tensor, y: torch.Tensor) -> Quantities:
        with torch.enable_grad(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Full backward hook is firing")  # as images need no gradient
            model.zero_grad()
            cross_entropy(model(x), y, reduction="sum").backward()
        found = {name.removeprefix("_module."): p.grad_sample for name, p in model.named_parameters()}
        for p in model.parameters():
            p.grad_sample = None
        return found

    return lambda: _joined(_from_formed(formed(x, y), of.along) for x, y in of.parts())


def by_backpack(of: Problem) -> Callable[[], Quantities]:
    """Gradients formed by BackPACK (BatchGrad)."""
    return _by_backpack(of, "BatchGrad", "grad_batch", lambda found: _from_formed(found, of.along))


def norms_by_backpack(of: Problem) -> Callable[[], Quantities]:
    """Norms alone by BackPACK, of each parameter (BatchL2Grad)."""
    return _by_backpack(
        of, "BatchL2Grad", "batch_l2", lambda found: {"norm": torch.stack([*found.values()]).sum(0)}
    )


def _by_backpack(
    of: Problem, extension: str, saved: str, quantities: Callable[[Quantities], Quantities]
) -> Callable[[], Quantities]:
    from backpack import backpack, extend, extensions  # noqa: PLC0415 - only here

    model = extend(copy.deepcopy(of.module))
    loss = extend(torch.nn.CrossEntropyLoss(reduction="sum"))

    def measured(x: torch.Tensor, y: torch.Tensor) -> Quantities:
        model.zero_grad()
        with torch.enable_grad(), warnings.catch_warnings(), backpack(getattr(extensions, extension)()):
            warnings.filterwarnings("ignore", "Full backward hook is firing")  # as images need no gradient
            loss(model(x), y).backward()
        found = {name: getattr(p, saved) for name, p in model.named_parameters()}
        for p in model.parameters():
            delattr(p, saved)
        return quantities(found)

    return lambda: _joined(measured(x, y) for x, y in of.parts())


def _from_formed(formed: Quantities, along: Quantities) -> Quantities:
    flat = {name: values.flatten(1) for name, values in formed.items()}
    return {
        "norm": torch.stack([g.square().sum(1) for g in flat.values()]).sum(0),
        "product": torch.stack([g @ along[name].flatten() for name, g in flat.items()]).sum(0),
    }


def _joined(parts: Iterator[Quantities]) -> Quantities:
    found = list(parts)
    return {name: torch.cat([part[name] for part in found]) for name in found[0]}


POPULATION: dict[str, Way] = {
    "plain": plain,
    "cgpipe": cgpipe,
    "vmap": by_vmap,
    "opacus": by_opacus,
    "backpack": by_backpack,
    "backpack_norms": norms_by_backpack,
}


# --- what is measured -----------------------------------------------------------------------------


def missing(way: str, name: str) -> str:
    """Why a way does not do a network."""
    if way.startswith("backpack") and name in ("alexnet_small", "resnet18"):
        return (
            "BackPACK has no local response normalization"
            if name == "alexnet_small"
            else ("BackPACK has no GroupNorm")
        )
    if way in ("vmap_topk", "opacus_sort") and problem(name).parameters * BATCH > MOST_FORMED:
        return f"{BATCH} gradients are more than {MOST_FORMED} numbers"
    return ""


def population(names: tuple[str, ...], rounds: int) -> list[dict[str, Any]]:
    """Norms of the gradients of examples and their products with a direction, over a plain pass."""
    rows = []
    for name in names:
        of = problem(name)
        known = {way: missing(way, name) for way in POPULATION}
        made = {way: make(of) for way, make in POPULATION.items() if not known[way]}
        expected = made["cgpipe"]()
        for way, do in made.items():
            for quantity, values in do().items():
                _require_close(f"{quantity} of {way}, {name}", values, expected[quantity])
        found = seconds(made, rounds, time.process_time)
        rows.append(
            {
                "network": name,
                "parameters": of.parameters,
                "plain_ms": round(1e3 * spread(found["plain"])[1], 1),
                **{
                    way: known[way] or spread(found[way] / found["plain"])
                    for way in POPULATION
                    if way != "plain"
                },
            }
        )
    return rows


STEPS = {way: ways.WAYS[way] for way in ("plain_sgd_eager", "cgpipe", "vmap_topk", "opacus_sort")}


def steps(names: tuple[str, ...], rounds: int) -> list[dict[str, Any]]:
    """A winsorized step over one of plain SGD."""
    rows = []
    for name in names:
        of = problem(name)
        known = {way: missing(way, name) for way in STEPS}
        there = {way: make for way, make in STEPS.items() if not known[way]}
        moved = {}
        for way, make in there.items():
            one = make(of.module, of.data, BATCH, 0 if way == "plain_sgd_eager" else C)
            one.step(EVERY)
            moved[way] = torch.cat([p.detach().flatten() for p in one.parameters])
        start = torch.cat([p.detach().flatten() for p in of.module.parameters()])
        for way in there.keys() - {"plain_sgd_eager", "cgpipe"}:
            _require_close(f"a step of {way}, {name}", moved[way] - start, moved["cgpipe"] - start)
        made = {way: make(of.module, of.data, BATCH, C) for way, make in there.items()}
        found = seconds(
            {way: lambda one=one: one.step(EVERY) for way, one in made.items()}, rounds, time.process_time
        )
        base = found["plain_sgd_eager"]
        rows.append(
            {
                "network": name,
                "plain_ms": round(1e3 * spread(base)[1], 1),
                **{way: known[way] or spread(found[way] / base) for way in STEPS if way != "plain_sgd_eager"},
            }
        )
    return rows


def _require_close(what: str, found: torch.Tensor, expected: torch.Tensor) -> None:
    off = float((found.double() - expected.double()).abs().max() / expected.double().abs().max())
    if not off < 1e-3:
        raise RuntimeError(f"{what}: off by {off:.2g} of the largest value, so there is nothing to compare")


def held(way: str, name: str, examples: int) -> tuple[float, float]:
    """MiB that a process holds before, and at most during, some steps or a pass over a population."""
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    of = problem(name, examples)
    plain(problem(name, 1))()  # so that libraries are loaded
    if way == "population":
        return peak(cgpipe(of))

    def train() -> None:
        one = STEPS[way](of.module, of.data, BATCH, C)
        for _ in range(5):
            one.step(EVERY)

    return peak(train)


HELD = "import sys; from benchmarks.networks import held; print(*held(*sys.argv[1:3], int(sys.argv[3])))"


def memory(names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Peak resident memory, each in a process of its own: of training, and of populations of two sizes."""
    rows = []
    for name in names:
        cases = [("plain_sgd_eager", BATCH), ("cgpipe", BATCH), ("population", 500), ("population", 1_500)]
        seen = []
        for way, examples in cases:
            command = [sys.executable, "-c", HELD, way, name, str(examples)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            seen.append([float(n) for n in done.stdout.split()])
        (_, at_plain), (_, at_winsorized), *populations = seen
        tile = VALUES_AT_ONCE * 4 / 2**20
        rows.append(
            {
                "network": name,
                "plain_mib": round(at_plain),
                "winsorized_mib": round(at_winsorized),
                "tile_mib": tile,
                "winsorized_less_tile_to_plain": round((at_winsorized - tile) / at_plain, 3),
                "added_by_500_mib": round(populations[0][1] - populations[0][0]),
                "added_by_1500_mib": round(populations[1][1] - populations[1][0]),
            }
        )
    return rows


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("results/benchmarks"), show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--only", type=click.Choice(NETWORKS), multiple=True, help="Not all of the networks.")
def main(out: Path, rounds: int, only: tuple[str, ...]) -> None:
    """Measure and write OUT/networks.json."""
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    names = only or NETWORKS
    results: dict[str, Any] = {"machine": machine(1)}
    for section, measured in (
        ("population", lambda: population(names, rounds)),
        ("step", lambda: steps(names, rounds)),
        ("memory", lambda: memory(names)),
    ):
        results[section] = measured()
        click.echo(f"\n== {section}\n{pd.DataFrame(results[section]).T.to_string()}")
    write(out / "networks.json", results)


if __name__ == "__main__":
    main()
