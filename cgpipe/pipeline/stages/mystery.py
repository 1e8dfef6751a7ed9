"""Stage `mystery`: the claims of Chatterjee and Zielinski (2022), tested on the artifacts of all runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from cgpipe.inference.claims.registry import parts
from cgpipe.inference.mystery.marks import REAL
from cgpipe.inference.mystery.runs import GM, OF_ALL_REPLICATES, Kind, Mystery, Roles
from cgpipe.inference.verdicts import tidy
from cgpipe.pipeline.artifacts import Provenance
from cgpipe.pipeline.stages.results import (
    by_experiment,
    check_of_histories,
    experiment_of,
    read_alike,
    run_of,
)
from cgpipe.pipeline.stages.verdicts import write_verdicts
from cgpipe.runs import Run

STAGES: dict[Kind, str] = {"history": "train"}  # where it is another word than the kind
OF_RUNS: tuple[Kind, ...] = ("heldout", "displacement", "similarity")  # each made from one run


@dataclass(frozen=True)
class Spec:
    """The settings that this stage reads."""

    roles: dict[str, list[str]]  # the experiments that play each part


def run(
    spec: Spec, provenance: Provenance, *, claims: Path, table: Path, verdicts: Path, **inputs: Sequence[Path]
) -> None:
    """Read the artifacts, by their kinds, and write the statistics and the verdicts."""
    read = {kind: read_runs(inputs.get(kind, ()), kind) for kind in get_args(Kind)}
    everything = [run.data for runs in read.values() for run in runs]
    check_of_histories(read["history"], {kind: read[kind] for kind in OF_RUNS})
    write_verdicts(
        tidy(parts(Mystery(roles_of(spec.roles), **read), GM)),
        of=everything,
        provenance=provenance,
        title="Claims of Chatterjee and Zielinski (2022)",
        claims=claims,
        table=table,
        verdicts=verdicts,
    )


def roles_of(given: dict[str, list[str]]) -> Roles:
    """The parts with the experiments that play them; those that nobody plays keep their default names."""
    single = {key for key, default in Roles()._asdict().items() if isinstance(default, str)}
    played: dict[str, Any] = {key: names[0] if key in single else names for key, names in given.items()}
    return Roles(**played)


def read_runs(paths: Sequence[Path], kind: Kind) -> list[Run]:
    """Artifacts of one kind, with the levels of their runs; experiments may differ in everything."""
    of_all = kind == "difficulty"  # one artifact of all replicates, with real labels
    alike = by_experiment(paths, (lambda path: path.stem) if of_all else experiment_of)
    read = {experiment: read_alike(of_one, STAGES.get(kind, kind)) for experiment, of_one in alike.items()}
    runs = [run_of(data, experiment) for experiment, of_one in read.items() for data in of_one]
    return [run._replace(noise=REAL, replicate=OF_ALL_REPLICATES) for run in runs] if of_all else runs
