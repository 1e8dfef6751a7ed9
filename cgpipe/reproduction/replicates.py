"""The page of the replicates at 50 % noise."""

from cgpipe.reproduction.coherence import pair_coherence
from cgpipe.reproduction.fractions import f_by_decade, names_of_decades, of_sums, pristine_share
from cgpipe.reproduction.learning import curve
from cgpipe.reproduction.markdown import each, fixed, spread, table, word
from cgpipe.reproduction.registry import Conclusion, part
from cgpipe.reproduction.tables import WINSOR, Published, values_of
from cgpipe.reproduction.winsorized import at_the_end

NOISE = 0.5


@part("replicates", "n")
def number(published: Published) -> Conclusion:
    """Of all tables alike."""
    tables = published.replicates
    names = ("figure1", "figure4", "coherence")
    n = {int(tables.rows(name)["n"].max()) for name in names} | {len(of_sums(tables, NOISE)[0].each)}
    return Conclusion(len(n) == 1 and min(n) > 1, f"Number of replicates: {word(max(n))} (n = {max(n)}).")


# --- Alike in all ---------------------------------------------------------------------------------


@part("replicates", "alike")
def pristine_have_most_at_first(published: Published) -> Conclusion:
    """First and last decade."""
    tables = published.replicates
    sums, share = of_sums(tables, NOISE), pristine_share(tables, NOISE)
    return Conclusion(
        sums[0].low > 1.4 * share and sums[-1].high < 0.5,
        "In the first ten steps, pristine examples make up far more of the squared gradient than their share "
        f"of the examples, {fixed(share, 2)}: f^p by sums is {spread(sums[0], 2)}. In the last decade they "
        f"make up less than half of it: {spread(sums[-1], 2)}.",
    )


@part("replicates", "alike")
def pairs_of_pristine_agree_more(published: Published) -> Conclusion:
    """The lowest replicate of the one group above the highest of the other."""
    pristine, corrupt = (pair_coherence(published.replicates, NOISE, g) for g in ("pristine", "corrupt"))
    return Conclusion(
        bool((pristine["low"] > corrupt["high"]).all()),
        "Compared in pairs, gradients of pristine examples agree more than those of corrupt ones at every "
        "logged step: the lowest replicate of the one is above the highest of the other.",
    )


@part("replicates", "alike")
def one_keeps_what_plain_sgd_loses(published: Published) -> Conclusion:
    """Test accuracy at c = 0 and 1."""
    (last, best), (last_of_one, best_of_one) = (
        [
            at_the_end(published.replicates, curve, NOISE, c)
            for curve in ("test accuracy", "best test accuracy")
        ]
        for c in (0, 1)
    )
    return Conclusion(
        last.high < 0.65 * best.low and last_of_one.low > 0.85 * best_of_one.high,
        "Plain SGD loses more than a third of its test accuracy to memorization, and c = 1 keeps about nine "
        "tenths.",
    )


# --- Not alike ------------------------------------------------------------------------------------


@part("replicates", "not-alike")
def crossing_and_meeting(published: Published) -> Conclusion:
    """C5."""
    rows = published.replicates.rows("claims", why="replicates disagree")
    return Conclusion(
        [*rows["claim"]] == ["C5", "C5"],
        "Whether f^p and f^c cross late, and whether they meet at the end, by means over decades (C5).",
    )


@part("replicates", "not-alike")
def test_accuracy_with_large_c(published: Published) -> Conclusion:
    """C = 2, 4 and 8."""
    ranges = [at_the_end(published.replicates, "test accuracy", NOISE, c) for c in WINSOR[2:]]
    two, four, eight = (values.high - values.low for values in ranges)
    return Conclusion(
        min(two, eight) > 0.3 > four,
        "How much of their test accuracy c = 2 and 8 keep, and to a lesser degree c = 4.",
    )


@part("replicates", "not-alike")
def side_of_a_half(published: Published) -> Conclusion:
    """Fourth decade."""
    sums = of_sums(published.replicates, NOISE)[3]
    return Conclusion(
        sums.low < 0.5 < sums.high, "On which side of a half f^p by sums lies in steps 1,000 to 9,000."
    )


@part("replicates", "not-alike")
def order_of_training_accuracy(published: Published) -> Conclusion:
    """C11."""
    tau = values_of(published.replicates.claim("C11"))
    return Conclusion(
        tau.low == -1 < tau.high, "Whether training accuracy at the end falls with every larger c (C11)."
    )


# --- Tables ---------------------------------------------------------------------------------------


@part("replicates", "curves")
def curves(published: Published) -> str:
    """Of figure 1, by step."""
    columns = [("a", "all"), ("b", "all"), ("d", "pristine"), ("d", "corrupt")]
    return table(
        ["step", "training accuracy", "test accuracy", "pristine examples right", "corrupt examples right"],
        (
            [
                f"{step:,}",
                *(spread(curve(published.replicates, panel, NOISE, step, group)) for panel, group in columns),
            ]
            for step in (10, 100, 1000, 5000, 10_000, 20_000, 50_000, 100_000)
        ),
    )


@part("replicates", "fractions")
def fractions(published: Published) -> str:
    """F^p by decade."""
    tables = published.replicates
    columns = (
        names_of_decades(tables),
        [each(values.each, 2) for values in of_sums(tables, NOISE)],
        *([fixed(f, 2) for f in f_by_decade(tables, curve, NOISE)] for curve in ("exact", "expected")),
    )
    return table(["steps", "of sums", "mean", "expected of 400"], zip(*columns, strict=True))


@part("replicates", "winsorized")
def winsorized(published: Published) -> str:
    """Of figure 4, by c."""
    shown = ("training accuracy", "test accuracy", "best test accuracy", "overfit")
    return table(
        ["c", *shown],
        (
            [str(c), *(spread(at_the_end(published.replicates, curve, NOISE, c)) for curve in shown)]
            for c in WINSOR
        ),
    )
