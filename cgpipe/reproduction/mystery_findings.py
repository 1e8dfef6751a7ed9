"""What the sentences on the second paper's page say was found: each must hold in every replicate."""

import numpy as np
import pandas as pd

from cgpipe.reproduction.pages import (
    Conclusion,
    all_hold,
    at_least,
    at_most,
    fixed,
    how_many,
    of_a_verdict,
    says,
    verdict_on,
)
from cgpipe.reproduction.tables import Tables

NETWORKS = ("dense", "lenet5", "alexnet")


def replicates(tables: Tables) -> Conclusion:
    """How many there are, of the claims that have least."""
    return of_a_verdict(len(_values(tables, "G1", "dense, training")))


def real_and_random(tables: Tables) -> Conclusion:
    """G1."""
    ratios = [_values(tables, "G1", f"{network}, training") for network in NETWORKS]
    held_out = [_values(tables, "G1", f"{network}, held-out of like loss") for network in NETWORKS]
    return says(
        all_hold(*(some > 0 for some in [*ratios, *held_out])),
        _verdict(tables, "G1"),
        *(fixed(np.exp(some.mean()), 1) for some in ratios),
    )


def rise(tables: Tables) -> Conclusion:
    """G2: in how many replicates coherence rises first; it ends at about 1 in all."""
    rises, falls, ends = (
        {network: _values(tables, "G2", f"{network}, {words}") for network in NETWORKS}
        for words in ("rises from the start", "falls to the end", "returns to 1")
    )
    holds = all_hold(
        *(some > 0 for some in falls.values()), *(some.abs() < np.log(2) for some in ends.values())
    )
    said = [text for of in ("lenet5", "alexnet", "dense") for text in _times(rises[of])]
    return says(holds, _verdict(tables, "G2"), *said)


def layers(tables: Tables) -> Conclusion:
    """G3: early convolutional layers are the more coherent ones; late they are in so many replicates."""
    early, late = (
        [_values(tables, "G3", f"{network}, real labels, {when}") for network in NETWORKS[1:]]
        for when in ("early", "late")
    )
    random = [_values(tables, "G3", f"alexnet, random labels, {when}") for when in ("early", "late")]
    return says(
        all_hold(*(some > 0 for some in [*early, *random])),
        _verdict(tables, "G3"),
        *(fixed(np.exp(some.mean()), 1) for some in early),
        *(text for some in late for text in _times(some)),
    )


def same_examples(tables: Tables) -> Conclusion:
    """G4: far beyond chance, and far from the same."""
    found = _values(tables, "G4", "two initialisations")
    return says(
        all_hold(found > 0.3, found < 0.8),
        _verdict(tables, "G4"),
        f"{len(found)}",
        at_least(found, digits=2),
        at_most(found, digits=2),
    )


def own_kind(tables: Tables) -> Conclusion:
    """G5: beside a network of unselected examples."""
    own, any_kind = (
        [_values(tables, "G5", of) for of in parts]
        for parts in (
            ("easy on easy", "hard on hard", "easy on all", "hard on all"),
            ("unselected on easy", "unselected on hard", "unselected on all"),
        )
    )
    holds = all_hold(own[0] > any_kind[0], own[1] > any_kind[1], *(of < any_kind[2] for of in own[2:]))
    said = (*own[:2], *any_kind[:2], *own[2:], any_kind[2])
    return says(holds, _verdict(tables, "G5"), *(fixed(some.mean(), 2) for some in said))


def more_coherent(tables: Tables) -> Conclusion:
    """G6: within a class in each run; whatever the class it is the other way at the start."""
    start, along = (_values(tables, "G6", words) for words in ("from the start", "along training"))
    of_any = [_values(tables, "G6", f"start, any class: {kind}") for kind in ("easy", "hard")]
    return says(
        all_hold(start > 0, along > 0, of_any[0] < of_any[1]),
        _verdict(tables, "G6"),
        f"{len(start)}",
        *(fixed(some.mean(), 2) for some in (start, along)),
        *(fixed(some.mean(), 2) for some in of_any),
    )


def stopping(tables: Tables) -> Conclusion:
    """G7: with and without the examples that are right by chance."""
    best, by_chance, end = (
        [_values(tables, "G7", f"{network}, at the {when}") for network in NETWORKS]
        for when in ("best step", "best step, chance included", "end")
    )
    holds = all_hold(*(some > 0.9 for some in best), *(some < 0.6 for some in end))
    means = [some.mean() for some in [*by_chance, *best]]
    return says(holds, _verdict(tables, "G7"), *(fixed(mean, 2) for mean in means))


def medians_of_means(tables: Tables) -> Conclusion:
    """G8: in how many replicates each did better than SGD, and than the control."""
    rules = [
        _values(tables, "G8", f"{rule}{beside}") for beside in ("", ", beside ra3") for rule in ("m3", "rm3")
    ]
    said = [text for some in rules for text in (how_many(some > 0), fixed(np.exp(-some.mean()), 2))]
    return says(True, _verdict(tables, "G8"), *said)


def twins(tables: Tables) -> Conclusion:
    """G9: at the end, and the other way before."""
    found = [
        _values(tables, "G9", f"{network}_twin, {of}")
        for of in ("parameters", "parameters over their way", "predictions")
        for network in NETWORKS[:2]
    ]
    before, over_way = (
        [_values(tables, "G9", f"lenet5_twin, {of}, mean") for of in some]
        for some in (("parameters", "predictions"), ("parameters over their way",))
    )
    holds = all_hold(*(some > 0 for some in [*found, *over_way]), *(some < 0 for some in before))
    return says(holds, _verdict(tables, "G9"), *(fixed(np.exp(some.mean()), 1) for some in found))


def adversarial(tables: Tables) -> Conclusion:
    """G10: fits, and generalizes worse; in how many replicates it begins with less coherent gradients."""
    starts = [
        _values(tables, "G10", f"{of}: {start}_start")
        for of in ("test accuracy", "m-coherence")
        for start in ("adversarial", "random")
    ]
    fits = _values(tables, "G10", "fits")
    return says(
        all_hold(fits > 0.99, starts[0] < starts[1]),
        _verdict(tables, "G10"),
        *(fixed(some.mean(), 2) for some in starts[:2]),
        how_many(starts[3] > starts[2]),
        *(fixed(of, 0) for some in starts[2:] for of in (some.min(), some.max())),
    )


def width(tables: Tables) -> Conclusion:
    """G11: test accuracy grows with the width; in how many replicates coherence does."""
    slopes = [_values(tables, "G11", f"{of}, by width") for of in ("test accuracy", "coherence")]
    ends = [
        _values(tables, "G11", f"{of}: width_{n}")
        for of in ("test accuracy", "m-coherence")
        for n in (16, 4096)
    ]
    return says(
        all_hold(slopes[0] > 0),
        _verdict(tables, "G11"),
        *(fixed(some.mean(), 3) for some in ends[:2]),
        how_many(slopes[1] < 0),
        *(fixed(some.mean(), 0) for some in ends[2:]),
    )


def clipped_norms(tables: Tables) -> Conclusion:
    """G12."""
    found = [_values(tables, "G12", rule) for rule in ("DP-SGD", "winsorized SGD")]
    return says(
        all_hold(*(some > 0 for some in found)),
        _verdict(tables, "G12"),
        *(fixed(np.exp(-some.mean()), 2) for some in found),
    )


def not_private(tables: Tables) -> Conclusion:
    """G12: how private the runs are at the end, the most private first."""
    last = tables.rows("frontier", quantity="epsilon")["step"].max()
    ε = [
        tables.at("frontier", quantity="epsilon", experiment=f"private_{of}", step=last)
        for of in ("high_noise", "low_noise")
    ]
    return says(all_hold(*(some > 100 for some in ε)), *(f"{some.mean():,.0f}" for some in ε))


def likeness(tables: Tables) -> Conclusion:
    """G13."""
    behind, more = (_values(tables, "G13", of) for of in ("class behind the label", "more of class"))
    real, random = (_values(tables, "G13", f"less of pixels, {of} labels") for of in ("real", "random"))
    return says(
        all_hold(behind > 0, more > 0, random > real),
        _verdict(tables, "G13"),
        *(fixed(some.mean(), 2) for some in (behind - more, behind)),
        how_many(real > 0),
        *(fixed(some.mean(), 2) for some in (real, random)),
    )


def _values(tables: Tables, claim: str, part: str) -> pd.Series:
    return tables.at("mystery", claim=claim, part=part)


def _verdict(tables: Tables, claim: str) -> str:
    return verdict_on(claim, tables.rows("mystery"))


def _times(values: pd.Series) -> list[str]:
    """In how many replicates a logarithm is above 0, and how many times as large that is on average."""
    return [how_many(values > 0), fixed(np.exp(values.mean()), 1)]
