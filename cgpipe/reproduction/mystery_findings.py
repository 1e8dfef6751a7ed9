"""What the sentences on the second paper's page say was found: each must hold in every replicate."""

import numpy as np
import pandas as pd

from cgpipe.inference.verdicts import FEWEST
from cgpipe.reproduction.findings import all_hold
from cgpipe.reproduction.pages import Conclusion, fixed, says
from cgpipe.reproduction.tables import Tables

NETWORKS = ("dense", "lenet5", "alexnet")


def replicates(tables: Tables) -> Conclusion:
    """How many there are, of the claims that have least."""
    made = len(_values(tables, "G1", "dense, training"))
    return says(made, f"{made} of {FEWEST}" if made < FEWEST else f"{made}")


def real_and_random(tables: Tables) -> Conclusion:
    """G1."""
    ratios = [_values(tables, "G1", f"{network}, training") for network in NETWORKS]
    held_out = [_values(tables, "G1", f"{network}, held-out of like loss") for network in NETWORKS]
    return says(
        all_hold(*(some > 0 for some in [*ratios, *held_out])),
        *(fixed(np.exp(some.mean()), 1) for some in ratios),
    )


def rise(tables: Tables) -> Conclusion:
    """G2: all fall in the end, and all but the dense network rise first."""
    rises, falls = (
        {network: _values(tables, "G2", f"{network}, {words}") for network in NETWORKS}
        for words in ("rises from the start", "falls to the end")
    )
    holds = all_hold(*(some > 0 for some in falls.values()))
    holds &= all_hold(rises["dense"] < 0, rises["lenet5"] > 0, rises["alexnet"] > 0)
    return says(holds)


def layers(tables: Tables) -> Conclusion:
    """G3: with random labels as with real ones."""
    found = [
        _values(tables, "G3", f"{network}, {labels} labels")
        for labels in ("real", "random")
        for network in NETWORKS[1:]
    ]
    return says(all_hold(*(some > 0 for some in found)), *(fixed(np.exp(some.mean()), 1) for some in found))


def same_examples(tables: Tables) -> Conclusion:
    """G4."""
    found = _values(tables, "G4", "two initialisations")
    return says(
        all_hold(found > 0), f"{len(found)}", *(fixed(value, 2) for value in (found.min(), found.max()))
    )


def own_kind(tables: Tables) -> Conclusion:
    """G5."""
    tests = ("easy on easy", "hard on hard", "easy on all", "hard on all")
    found = [_values(tables, "G5", of) for of in tests]
    return says(all_hold(found[0] > found[1]), *(fixed(some.mean(), 2) for some in found))


def less_coherent(tables: Tables) -> Conclusion:
    """G6: at the start easy examples are the less coherent ones, in each run."""
    start, along = (_values(tables, "G6", words) for words in ("from the start", "along training"))
    return says(
        all_hold(start < 0) and along.mean() > 0,
        *(fixed(_values(tables, "G6", f"start: {kind}").mean(), 3) for kind in ("easy", "hard")),
        f"{(along > 0).sum()} of {len(along)}",
    )


def stopping(tables: Tables) -> Conclusion:
    """G7."""
    best, end = (
        [_values(tables, "G7", f"{network}, at the {when}") for network in NETWORKS]
        for when in ("best step", "end")
    )
    holds = all_hold(*(some > 0.8 for some in best), *(some < 0.6 for some in end))
    return says(holds, *(fixed(some.mean(), 2) for some in best))


def medians_of_means(tables: Tables) -> Conclusion:
    """G8."""
    rules = {rule: _values(tables, "G8", rule) for rule in ("m3", "rm3", "ra3", "winsorized")}
    more = [rules[rule] for rule in ("m3", "rm3", "winsorized")]
    holds = all_hold(*(some > 0 for some in more), rules["ra3"] < 0)
    return says(holds, *(fixed(np.exp(-some.mean()), 2) for some in more))


def twins(tables: Tables) -> Conclusion:
    """G9."""
    found = [
        _values(tables, "G9", f"{network}_twin, {of}")
        for of in ("parameters", "predictions")
        for network in NETWORKS[:2]
    ]
    return says(all_hold(*(some > 0 for some in found)), *(fixed(np.exp(some.mean()), 1) for some in found))


def adversarial(tables: Tables) -> Conclusion:
    """G10."""
    starts = [
        _values(tables, "G10", f"{of}: {start}_start")
        for of in ("test accuracy", "m-coherence")
        for start in ("adversarial", "random")
    ]
    holds = all_hold(starts[0] < starts[1], starts[2] > starts[3])
    return says(
        holds,
        *(fixed(some.mean(), 2) for some in starts[:2]),
        *(fixed(some.mean(), 0) for some in starts[2:]),
    )


def width(tables: Tables) -> Conclusion:
    """G11."""
    rows = tables.rows("mystery", claim="G11", rule="above")
    ends = [
        _values(tables, "G11", f"{of}: width_{n}")
        for of in ("test accuracy", "m-coherence")
        for n in (16, 4096)
    ]
    return says(
        all_hold(rows["value"] > 0),
        *(fixed(some.mean(), 3) for some in ends[:2]),
        *(fixed(some.mean(), 0) for some in ends[2:]),
    )


def clipped_norms(tables: Tables) -> Conclusion:
    """G12, and how private what comes to 90 % of the pristine examples is."""
    found = [_values(tables, "G12", rule) for rule in ("DP-SGD", "winsorized SGD")]
    end = {"experiment": "private_high_noise", "step": 10_000}
    pristine = tables.rows("frontier", experiment=end["experiment"], quantity="pristine")["value"]
    ε = [
        tables.at("frontier", quantity="epsilon", experiment=f"private_{of}", step=end["step"])
        for of in ("high_noise", "low_noise", "small_norm")
    ]
    return says(
        all_hold(*(some > 0 for some in found), pristine < 0.9, ε[1] > 10_000, ε[2] > 10_000),
        *(fixed(np.exp(-some.mean()), 2) for some in found),
        fixed(ε[0].mean(), 0),
    )


def likeness(tables: Tables) -> Conclusion:
    """G13."""
    rows = tables.rows("mystery", claim="G13", rule="above")
    class_behind = _values(tables, "G13", "class behind the label")
    return says(all_hold(rows["value"] > 0), fixed(class_behind.mean(), 2))


def _values(tables: Tables, claim: str, part: str) -> pd.Series:
    return tables.at("mystery", claim=claim, part=part)
