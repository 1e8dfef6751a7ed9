"""Stage `nullworlds`: f and i in the data and in null worlds (Chatterjee 2020, section 2.4)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from cgpipe.gradients.contributions import (
    Floats,
    contributions,
    fraction,
    group_sum,
    leading_steps,
    mean_cumulative,
    self_terms,
)
from cgpipe.inference.nullworlds import (
    curve_p_value,
    null_band,
    null_group_sums,
    p_value,
    share_above,
    smallest_lead,
)
from cgpipe.names import Source
from cgpipe.pipeline.artifacts import Provenance, write_netcdf
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.stages.inputs import read_current
from cgpipe.pipeline.streams import stream

EARLY_STEPS = 10  # 0 to 9, as in figure 3 of the paper
Variables = dict[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Spec:
    """The settings that this stage reads."""

    count: int
    level: float
    noise: float
    replicate: int
    seed: int
    shown: int
    # `sampled`: examples and weights of stage gradients; `exact`: all of them, from stage contributions.
    source: Source


class Terms(NamedTuple):
    """What the statistics are sums of."""

    steps: npt.NDArray[np.int64]
    pristine: npt.NDArray[np.bool_]  # (example,)
    u: Floats  # (step, example), ⟨g, g_e⟩
    alone: Floats  # (step, example), ‖g_e‖²


def run(spec: Spec, provenance: Provenance, *, source: Path, nullworlds: Path) -> None:
    """Group contributions in the data and in every null world, and what the worlds say of the data."""
    read = read_current(source, {"sampled": "gradients", "exact": "contributions"}[spec.source])
    terms = sampled_terms(read) if spec.source == "sampled" else exact_terms(read)
    examples, pristine = len(terms.pristine), int(terms.pristine.sum())
    of_all = terms.u.sum(1)  # (step,)
    of_pristine, of_corrupt = (group_sum(terms.u, of) for of in (terms.pristine, ~terms.pristine))
    if pristine in (0, examples):
        more = "Sample more examples (gradients.examples), or take" if spec.source == "sampled" else "Take"
        log.warning(
            "%s: of %d examples %d are pristine and %d corrupt, so there is nothing to permute, and null "
            "worlds and p-values are undefined. %s a noise level further from 0 and 1",
            *(source, examples, pristine, examples - pristine, more),
        )
        null_pristine = np.full((spec.count, len(of_all)), np.nan)
    else:
        rng = stream(spec.seed, "nullworlds", spec.replicate)
        null_pristine = null_group_sums(terms.u, terms.pristine, spec.count, rng=rng)  # (world, step)

    f = by_group(fraction(of_pristine, of_all), fraction(of_corrupt, of_all))
    f_null = by_group(fraction(null_pristine, of_all), fraction(of_all - null_pristine, of_all))
    # i sums over every update, so it is defined as far as every step was logged.
    early = slice(0, min(leading_steps(terms.steps), EARLY_STEPS))
    i = cumulative(of_pristine[early], of_corrupt[early], pristine, examples)
    i_null = cumulative(null_pristine[:, early], of_all[early] - null_pristine[:, early], pristine, examples)
    result = xr.Dataset(
        {
            **tested("f", "fraction of the squared gradient that the group contributes", f, f_null, spec),
            **tested("i", "mean cumulative contribution of an example of the group, nats²", i, i_null, spec),
            **crossings(f_null),
            **leading(i, i_null),
            **self_term_variables(terms, of_all),
            "group_size": (
                "group",
                np.array([pristine, examples - pristine]),
                {"long_name": "examples in the group", "units": "1"},
            ),
            "squared_norm": (
                "step",
                of_all,
                {"long_name": "squared norm of the summed gradient, nats²", "units": "1"},
            ),
        },
        coords={
            "group": ("group", ["pristine", "corrupt"], {"long_name": "designation of the examples"}),
            "step": ("step", terms.steps, {"long_name": "updates made", "units": "1"}),
            "early_step": (
                "early_step",
                terms.steps[early],
                {"long_name": "updates made, the first steps, each of which was logged", "units": "1"},
            ),
            "world": (
                "world",
                np.arange(1, spec.shown + 1),
                {"long_name": "null world, the first of all that were drawn"},
            ),
        },
        attrs={"worlds": spec.count},
    )
    title = (
        f"f and i in the data and in null worlds, {spec.source}, {spec.noise:.0%} noise, "
        f"replicate {spec.replicate}"
    )
    write_netcdf(result, nullworlds, title=title, provenance=provenance.of(read))
    log.info("wrote %s: %d null worlds", nullworlds, spec.count)


def sampled_terms(sample: xr.Dataset) -> Terms:
    """From the gradients of sampled examples with respect to sampled weights."""
    gradients = sample["gradient"].values
    return Terms(
        sample["step"].values,
        sample["pristine"].values.astype(bool),
        contributions(gradients),
        self_terms(gradients),
    )


def exact_terms(population: xr.Dataset) -> Terms:
    """From all examples and all parameters."""
    u, alone = (population[name].values.sum(2, dtype=np.float64) for name in ("contribution", "squared_norm"))
    return Terms(population["step"].values, population["pristine"].values.astype(bool), u, alone)


def cumulative(of_pristine: Floats, of_corrupt: Floats, pristine: int, examples: int) -> Floats:
    """I of both groups."""
    return by_group(mean_cumulative(of_pristine, pristine), mean_cumulative(of_corrupt, examples - pristine))


def tested(name: str, meaning: str, observed: Floats, null: Floats, spec: Spec) -> Variables:
    """A statistic in the data (group, step) and in null worlds (group, world, step), bands and p-values."""
    step = "step" if name == "f" else "early_step"
    low, high = (
        np.array(ends) for ends in zip(*(null_band(of_group, spec.level) for of_group in null), strict=True)
    )
    # All follow from the sum over the pristine group at the step, as does the difference of the
    # groups: one p-value serves them all.
    p, curve_p = p_value(observed[0], null[0]), curve_p_value(observed[0], null[0])
    band = f"{spec.level:.0%} band of the null worlds"
    return {
        name: (("group", step), observed, {"long_name": meaning, "units": "1"}),
        f"{name}_null": (
            ("group", "world", step),
            null[:, : spec.shown],
            {"long_name": f"{meaning}, in null worlds", "units": "1"},
        ),
        f"{name}_null_low": (
            ("group", step),
            low,
            {"long_name": f"lower end of the {band}", "units": "1"},
        ),
        f"{name}_null_high": (
            ("group", step),
            high,
            {"long_name": f"upper end of the {band}", "units": "1"},
        ),
        f"{name}_p": (
            (step,),
            p,
            {"long_name": f"two-sided permutation p-value of {name} at the step", "units": "1"},
        ),
        f"{name}_curve_p": (
            (),
            curve_p,
            {"long_name": f"max-type permutation p-value of {name} over all steps", "units": "1"},
        ),
    }


def crossings(f_null: Floats) -> Variables:
    """In how many null worlds one group stays above the other all the time; in those left, they cross."""
    return {
        f"f_null_{group}_above": (
            (),
            share_above(f_null[upper], f_null[1 - upper]),
            {
                "long_name": f"share of the null worlds where f is larger for {group} at every step",
                "units": "1",
            },
        )
        for upper, group in enumerate(("pristine", "corrupt"))
    }


def leading(i: Floats, i_null: Floats) -> Variables:
    """How far i of the pristine stays above i of the corrupt, and whether it does so in null worlds."""
    observed, null = smallest_lead(*i), smallest_lead(*i_null)
    return {
        "i_lead": (
            (),
            float(observed),
            {"long_name": "smallest (i^p - i^c) / (|i^p| + |i^c|) over the early steps", "units": "1"},
        ),
        "i_lead_p": (
            (),
            float(p_value(observed[None], null[:, None], "greater")[0]),
            {"long_name": "one-sided permutation p-value of i_lead", "units": "1"},
        ),
    }


def self_term_variables(terms: Terms, of_all: Floats) -> Variables:
    """How much of f is examples with themselves, and f without it."""
    of_self, pairs = terms.alone.sum(1), terms.u - terms.alone
    of_pairs = pairs.sum(1)
    of_pristine, of_corrupt = (group_sum(pairs, of) for of in (terms.pristine, ~terms.pristine))
    return {
        "self_term_share": (
            "step",
            fraction(of_self, of_all),
            {"long_name": "share of the squared norm that is inner products with oneself", "units": "1"},
        ),
        "f_pairs": (
            ("group", "step"),
            by_group(fraction(of_pristine, of_pairs), fraction(of_corrupt, of_pairs)),
            {"long_name": "f over the pairs of different examples alone", "units": "1"},
        ),
    }


def by_group(of_pristine: Floats, of_corrupt: Floats) -> Floats:
    """Both groups along a first axis."""
    return np.stack([of_pristine, of_corrupt])
