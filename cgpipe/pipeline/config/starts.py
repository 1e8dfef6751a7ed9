"""Experiments that begin from the ends of the runs of another one."""

from collections.abc import Iterator, Mapping

from cgpipe.pipeline.config.experiments import Experiment
from cgpipe.pipeline.config.section import Mistake
from cgpipe.pipeline.config.serving import without_snapshots


def mistakes_in_starts(experiments: Mapping[str, Experiment]) -> Iterator[Mistake]:
    """Experiments that cannot begin from the one they name; those of unknown names are left out."""
    for name, experiment in experiments.items():
        if experiment.start in experiments:
            for allowed in _allowed(name, experiments):
                yield Mistake((name, "start"), experiment.start, allowed)
            if experiment.init != "xavier":
                allowed = f"no init: the last weights of {experiment.start} are the first of {name}"
                yield Mistake((name, "init"), experiment.init, allowed)


def _allowed(name: str, experiments: Mapping[str, Experiment]) -> Iterator[str]:
    """What is allowed instead of an experiment that another cannot begin from."""
    experiment = experiments[name]
    given = str(experiment.start)
    start = experiments[given]
    before, seen = given, {name}
    while before not in seen and before in experiments:
        seen.add(before)
        before = str(experiments[before].start)
    if before == name:
        yield f"another experiment, which does not begin from {name} itself"
        return
    yield from without_snapshots(given, start)
    for key, alike in (("network", experiment.network), ("dataset", experiment.dataset)):
        if getattr(start, key) != alike:
            yield f"an experiment with the {key} of {name}, {alike}; {given} has {getattr(start, key)}"
    if len(start.noise) > 1 or start.winsor != [0]:
        yield (
            f"an experiment with one level of noise and winsor [0]; {given} has noise {start.noise} and "
            f"winsor {start.winsor}"
        )
    if missing := sorted({*experiment.replicates} - {*start.replicates}):
        yield f"an experiment with the replicates of {name}; {given} lacks {missing}"
