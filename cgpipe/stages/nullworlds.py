"""Stage `nullworlds`: f and i in the data and in null worlds (Chatterjee 2020, section 2.4)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
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
from cgpipe.inference.nullworlds import curve_p_value, null_band, null_group_sums, p_value
from cgpipe.runtime.artifacts import Provenance, read_netcdf, write_netcdf
from cgpipe.runtime.progress import log
from cgpipe.runtime.streams import stream

EARLY_STEPS = 10  # 0 to 9, as in figure 3 of the paper


@dataclass(frozen=True)
class Spec:
    """The settings that this stage reads."""

    drawn: int
    level: float
    noise: float
    replicate: int
    seed: int
    worlds: int


def run(spec: Spec, provenance: Provenance, *, gradients: Path, nullworlds: Path) -> None:
    """Group contributions in the data and in every null world, and what the worlds say of the data."""
    sample = read_netcdf(gradients, "gradients")
    steps = sample["step"].values
    pristine = sample["pristine"].values.astype(bool)
    sizes = {"pristine": int(pristine.sum()), "corrupt": int((~pristine).sum())}
    if not all(sizes.values()):
        raise ValueError(
            f"{gradients}: of the sampled examples {sizes['pristine']} are pristine and {sizes['corrupt']} "
            "corrupt, so there is nothing to permute. Sample more examples (gradients.examples), or take a "
            "noise level further from 0 and 1"
        )
    u = contributions(sample["gradient"].values)  # (step, example)
    of_all = u.sum(1)  # (step,)
    of_pristine = group_sum(u, pristine)
    alone = self_terms(sample["gradient"].values)  # (step, example)
    of_self = alone.sum(1)
    of_pairs, pairs_of_pristine = of_all - of_self, group_sum(u - alone, pristine)
    rng = stream(spec.seed, "nullworlds", spec.replicate)
    null_pristine = null_group_sums(u, pristine, spec.worlds, rng=rng)  # (world, step)

    # i sums over every update, so it is defined as far as every step was logged.
    early = slice(0, min(leading_steps(steps), EARLY_STEPS))
    variables: dict[str, tuple[Any, ...]] = {}
    for name, meaning, observed, null in (
        (
            "f",
            "fraction of the squared gradient that the group contributes",
            by_group(fraction(of_pristine, of_all), fraction(of_all - of_pristine, of_all)),
            by_group(fraction(null_pristine, of_all), fraction(of_all - null_pristine, of_all)),
        ),
        (
            "i",
            "mean cumulative contribution of an example of the group",
            by_group(
                mean_cumulative(of_pristine[early], sizes["pristine"]),
                mean_cumulative((of_all - of_pristine)[early], sizes["corrupt"]),
            ),
            by_group(
                mean_cumulative(null_pristine[:, early], sizes["pristine"]),
                mean_cumulative((of_all - null_pristine)[:, early], sizes["corrupt"]),
            ),
        ),
    ):
        step = "step" if name == "f" else "early_step"
        units = "1" if name == "f" else "nat2"
        bands = [null_band(null[group], spec.level) for group in (0, 1)]
        # All follow from the sum over the pristine group at the step, as does the difference of the
        # groups: one p-value serves them all.
        statistic, null_statistic = observed[0], null[0]
        variables |= {
            name: (("group", step), observed, {"long_name": meaning, "units": units}),
            f"{name}_null": (
                ("group", "world", step),
                null[:, : spec.drawn],
                {"long_name": f"{meaning}, in null worlds", "units": units},
            ),
            f"{name}_null_low": (
                ("group", step),
                np.array([low for low, _ in bands]),
                {"long_name": f"lower end of the {spec.level:.0%} band of the null worlds", "units": units},
            ),
            f"{name}_null_high": (
                ("group", step),
                np.array([high for _, high in bands]),
                {"long_name": f"upper end of the {spec.level:.0%} band of the null worlds", "units": units},
            ),
            f"{name}_p": (
                (step,),
                p_value(statistic, null_statistic),
                {"long_name": f"two-sided permutation p-value of {name} at the step", "units": "1"},
            ),
            f"{name}_curve_p": (
                (),
                curve_p_value(statistic, null_statistic),
                {"long_name": f"max-type permutation p-value of {name} over all steps", "units": "1"},
            ),
        }
    result = xr.Dataset(
        {
            **variables,
            "group_size": (
                "group",
                np.array([sizes["pristine"], sizes["corrupt"]]),
                {"long_name": "examples in the group", "units": "1"},
            ),
            "self_term_share": (
                "step",
                of_self / of_all,
                {"long_name": "share of the squared norm that is inner products with oneself", "units": "1"},
            ),
            "f_pairs": (
                ("group", "step"),
                by_group(
                    fraction(pairs_of_pristine, of_pairs), fraction(of_pairs - pairs_of_pristine, of_pairs)
                ),
                {"long_name": "f over the pairs of different examples alone", "units": "1"},
            ),
            "squared_norm": (
                "step",
                of_all,
                {"long_name": "squared norm of the summed gradient of the sample", "units": "nat2"},
            ),
        },
        coords={
            "group": ("group", ["pristine", "corrupt"], {"long_name": "designation of the examples"}),
            "step": ("step", steps, {"long_name": "updates made", "units": "1"}),
            "early_step": (
                "early_step",
                steps[early],
                {"long_name": "updates made, the first steps, each of which was logged", "units": "1"},
            ),
            "world": (
                "world",
                np.arange(1, spec.drawn + 1),
                {"long_name": "null world, the first of all that were drawn"},
            ),
        },
        attrs={"worlds": spec.worlds},
    )
    title = f"f and i in the data and in null worlds, {spec.noise:.0%} noise, replicate {spec.replicate}"
    write_netcdf(result, nullworlds, title=title, provenance=provenance.of(sample))
    log.info("wrote %s: %d null worlds", nullworlds, spec.worlds)


def by_group(of_pristine: Floats, of_corrupt: Floats) -> Floats:
    """Both groups along a first axis."""
    return np.stack([of_pristine, of_corrupt])
