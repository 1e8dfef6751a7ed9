"""The page of the paper's experiments, continued: winsorized SGD (C9 to C11)."""

from functools import partial

from cgpipe.inference.claims.statistics import EVERY, MIXED
from cgpipe.reproduction.pages import Conclusion, fixed, grid, percent, says, spread
from cgpipe.reproduction.paper import CLIPPED, LEVELS
from cgpipe.reproduction.tables import WINSOR, Published, values_of

COMMONEST = 6742 / 60_000  # share of MNIST's training examples with the commonest label, 1


def winsorized_accuracies(p: Published) -> str:
    """Test accuracy, best and at the end, and training accuracy at the end."""
    curves = ("best test accuracy", "test accuracy", "training accuracy")
    return grid(
        *("noise", LEVELS, CLIPPED),
        lambda e, c: ", ".join(fixed(p.paper.winsorized(curve, e, c).mean) for curve in curves),
    )


def c9_excess(p: Published) -> str:
    """Training accuracy less the share of true labels."""
    return grid("noise", LEVELS, CLIPPED, lambda e, c: spread(p.paper.winsorized("excess", e, c)))


def c9_within(p: Published) -> Conclusion:
    return says(max(p.paper.winsorized("excess", e, c).high for e in EVERY[:-1] for c in WINSOR[2:]) <= 0.01)


def c9_constant(p: Published) -> Conclusion:
    two, four, eight = (p.paper.winsorized("excess", 1.0, c).low for c in WINSOR[2:])
    constant = COMMONEST - p.paper.pristine_share(1.0)
    exceeds = two > 0.05 and four > 0.02 and constant < eight < 0.02
    return says(exceeds, percent(COMMONEST, 1), fixed(constant))


def c10_open(p: Published) -> Conclusion:
    row = p.paper.claim("C10")
    open_for_that = row["verdict"] == "inconclusive" and "99%" in row["why"]
    return says(open_for_that and row["mean"] < 0 and row["p"] <= 0.05)


def c11_open(p: Published) -> Conclusion:
    row, each = p.paper.claim("C11"), values_of(p.replicates.claim("C11")).each
    return says("99%" in row["why"] and row["mean"] > -0.9 and (each.count(-1), len(each)) == (2, 3))


def c11_lost(p: Published) -> Conclusion:
    levels = [(noise, c) for noise in (0.25, 0.5) for c in WINSOR[2:]]
    curves = [p.paper.rows("figure4", curve="test accuracy", noise=e, winsor=c) for e, c in levels]
    best = max(curve["step"].to_numpy()[curve["mean"].argmax()] for curve in curves)
    return says(max(p.paper.kept(*level) for level in levels) < 0.55 and best <= 1000)


def c11_at_75(p: Published) -> Conclusion:
    two, four, eight = (p.paper.kept(0.75, c) for c in WINSOR[2:])
    return says(max(four, eight) < 0.55 and two > 0.75)


def c11_replicates(p: Published) -> Conclusion:
    here, several = (
        [tables.winsorized("test accuracy", 0.5, c) for c in WINSOR[2:]] for tables in (p.paper, p.replicates)
    )
    ends = (fixed(end, 2) for values in several for end in (values.low, values.high))
    places = [one.mean in (of.low, of.high) for one, of in zip(here, several, strict=True)]
    return says(all(places) and here[2].mean == several[2].high and here[0].mean == several[0].low, *ends)


def c11_falls(p: Published) -> Conclusion:
    curves = [
        p.paper.rows("figure4", curve=f"{of} accuracy", noise=0.5, winsor=c).sort_values("step")["mean"]
        for of in ("training", "test")
        for c in WINSOR[2:]
    ]
    steadily = [curve.iloc[curve.argmax() :].is_monotonic_decreasing for curve in curves]
    return says(min(curve.max() - curve.iloc[-1] for curve in curves) > 0.1 and not any(steadily))


def c11_one(p: Published) -> Conclusion:
    low, middle, high = (p.paper.kept(noise, 1) for noise in MIXED)
    return says(min(low, middle) > 0.85 and high < p.paper.kept(0.75, 2))


def c11_units(p: Published) -> str:
    """Dead and active units."""
    kinds = [("dead: ", "dead", 60_000), ("active: ", "active", 60_000), ("at step 0: ", "active", 0)]
    columns = [
        (f"{name}layer 1" if layer == 1 else str(layer), {"quantity": quantity, "layer": layer, "step": step})
        for name, quantity, step in kinds
        for layer in (1, 2, 3)
    ]
    rows = {str(c): c for c in WINSOR}
    activity = partial(p.paper.at, "activity", noise=0.5)
    return grid("c", rows, columns, lambda c, of: fixed(activity(winsor=c, **of).mean))
