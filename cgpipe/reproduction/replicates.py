"""The page of the replicates at 50 % noise: its tables, and the conclusions that its sentences draw."""

from cgpipe.reproduction.pages import Conclusion, each, fixed, grid, says, spread, table
from cgpipe.reproduction.paper import judged, steps
from cgpipe.reproduction.tables import WINSOR, Published, met, records, values_of

NOISE = 0.5
OF_FIGURE_4 = ("training accuracy", "test accuracy", "best test accuracy", "overfit")


def number(p: Published) -> Conclusion:
    return says({p.replicates.rows(name)["n"].max() for name in ("figure1", "figure4", "coherence")} == {3})


def most_at_first(p: Published) -> Conclusion:
    first, *_, last = p.replicates.of_sums(NOISE)
    share = p.replicates.pristine_share(NOISE)
    numbers = (fixed(share, 2), spread(first, 2), spread(last, 2))
    return says(first.low > 1.4 * share and last.high < 0.5, *numbers)


def claims(p: Published) -> str:
    """All statistics that are defined, and in how many replicates each is where the claim puts it."""
    rows = []
    for row in records(p.replicates.rows("claims").query("n > 0")):
        claim = [row[column] for column in ("claim", "statistic", "criterion")]
        rows.append([*claim, each(values_of(row)), f"{sum(met(row))} of {row['n']}", *judged(row)])
    return table(["claim", "statistic", "claimed", "found", "met by", "p", "verdict"], rows)


def curves(p: Published) -> str:
    """Of figure 1."""
    columns = [
        ("training accuracy", ("a", "all")),
        ("test accuracy", ("b", "all")),
        ("pristine examples right", ("d", "pristine")),
        ("corrupt examples right", ("d", "corrupt")),
    ]
    rows = steps(10, 100, 1000, 5000, 10_000, 20_000, 50_000, 100_000)
    return grid("step", rows, columns, lambda t, of: spread(p.replicates.learning(of[0], NOISE, t, of[1])))


def f_by_decade(p: Published) -> str:
    """f^p of all examples."""
    exact, expected = (p.replicates.fractions(curve, NOISE) for curve in ("exact", "expected"))
    rows = zip(p.replicates.spans(), p.replicates.of_sums(NOISE), exact, expected, strict=True)
    return table(
        ["steps", "of sums", "mean", "expected of 400"],
        ([span, each(sums, 2), fixed(mean, 2), fixed(few, 2)] for span, sums, mean, few in rows),
    )


def winsorized_accuracies(p: Published) -> str:
    """Of figure 4."""
    columns = [(name, name) for name in OF_FIGURE_4]
    rows = {str(c): c for c in WINSOR}
    return grid("c", rows, columns, lambda c, name: spread(p.replicates.winsorized(name, NOISE, c)))
