"""The page of the replicates at 50 % noise: its tables, and the conclusions that its sentences draw."""

import pandas as pd

from cgpipe.figures.words import format_p
from cgpipe.reproduction.pages import NONE, Conclusion, each, fixed, grid, says, spread, table
from cgpipe.reproduction.paper import steps, with_reason
from cgpipe.reproduction.quantities import (
    WINSOR,
    fractions,
    learning,
    network,
    of_sums,
    pristine_share,
    spans,
    winsorized,
)
from cgpipe.reproduction.tables import Published, met, records, values_of

NOISE = 0.5


def number(p: Published) -> Conclusion:
    return says({p.replicates.rows(name)["n"].max() for name in ("figure1", "figure4", "coherence")} == {3})


def most_at_first(p: Published) -> Conclusion:
    first, *_, last = of_sums(p.replicates, NOISE)
    share = pristine_share(p.replicates, NOISE)
    return says(
        first.low > 1.4 * share and last.high < 0.5, fixed(share, 2), spread(first, 2), spread(last, 2)
    )


def pairs(p: Published) -> Conclusion:
    pristine, corrupt = (network(p.replicates, "pair_coherence", NOISE, g) for g in ("pristine", "corrupt"))
    return says((pristine["low"] > corrupt["high"]).all())


def one_keeps(p: Published) -> Conclusion:
    end, best = ([winsorized(p.replicates, f"{curve}", NOISE, c) for c in (0, 1)] for curve in CURVES)
    return says(end[0].high < 0.65 * best[0].low and end[1].low > 0.85 * best[1].high)


def crossing(p: Published) -> Conclusion:
    return says([*p.replicates.rows("claims", why="replicates disagree")["claim"]] == ["C5", "C5"])


def large_c(p: Published) -> Conclusion:
    two, four, eight = (winsorized(p.replicates, "test accuracy", NOISE, c) for c in WINSOR[2:])
    return says(min(two.high - two.low, eight.high - eight.low) > 0.3 > four.high - four.low)


def side_of_a_half(p: Published) -> Conclusion:
    return says(of_sums(p.replicates, NOISE)[3].low < 0.5 < of_sums(p.replicates, NOISE)[3].high)


def order(p: Published) -> Conclusion:
    tau = values_of(p.replicates.claim("C11"))
    return says(tau.low == -1 < tau.high)


def claims(p: Published) -> str:
    """All statistics that are defined, and in how many replicates each is where the claim puts it."""
    rows = p.replicates.rows("claims")
    return table(
        ["claim", "statistic", "claimed", "found", "met by", "p", "verdict"],
        (
            [
                *(row["claim"], row["statistic"], row["criterion"], each(values_of(row))),
                f"{sum(met(row))} of {row['n']}",
                *(NONE if pd.isna(row["p"]) else format_p(row["p"]), with_reason(row)),
            ]
            for row in records(rows[rows["n"] > 0])
        ),
    )


def curves(p: Published) -> str:
    """Of figure 1."""
    columns = [
        ("training accuracy", ("a", "all")),
        ("test accuracy", ("b", "all")),
        ("pristine examples right", ("d", "pristine")),
        ("corrupt examples right", ("d", "corrupt")),
    ]
    rows = steps(10, 100, 1000, 5000, 10_000, 20_000, 50_000, 100_000)
    return grid("step", rows, columns, lambda t, of: spread(learning(p.replicates, of[0], NOISE, t, of[1])))


def f_by_decade(p: Published) -> str:
    """f^p of all examples."""
    exact, expected = (fractions(p.replicates, curve, NOISE) for curve in ("exact", "expected"))
    rows = zip(spans(p.replicates), of_sums(p.replicates, NOISE), exact, expected, strict=True)
    return table(
        ["steps", "of sums", "mean", "expected of 400"],
        ([span, each(sums, 2), fixed(mean, 2), fixed(few, 2)] for span, sums, mean, few in rows),
    )


CURVES = ("test accuracy", "best test accuracy")
FIGURE_4 = [(name, name) for name in ("training accuracy", *CURVES, "overfit")]


def winsorized_accuracies(p: Published) -> str:
    """Of figure 4."""
    rows = {str(c): c for c in WINSOR}
    return grid("c", rows, FIGURE_4, lambda c, name: spread(winsorized(p.replicates, name, NOISE, c)))
