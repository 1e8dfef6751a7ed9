"""What the sentences on the page of the controls say was found: each must hold in every replicate."""

from cgpipe.figures.controls import WINSORIZED
from cgpipe.reproduction.pages import Conclusion, all_hold, at_least, at_most, fixed, of_a_verdict, says
from cgpipe.reproduction.tables import Tables

# Rules that do one thing that winsorization does besides clipping extreme gradients.
ONE_THING = ("scaled_mean", "random_drop", "inlier_clip", "norm_clip")
OF_EXTREMES = (WINSORIZED, "trimmed_mean", "m3")  # rules that limit extreme gradients, parameter by parameter


def replicates(tables: Tables) -> Conclusion:
    """How many there are."""
    return of_a_verdict(tables.rows("controls")["replicate"].nunique())


def extremes(tables: Tables) -> Conclusion:
    """Rules that limit extreme gradients slow memorization, and the controls do not."""
    rows = tables.rows("controls", quantity="corrupt slowdown")
    slow = rows[rows["update"].isin(OF_EXTREMES)]["value"]
    others = rows[rows["update"].isin(ONE_THING)]["value"]
    return says(
        all_hold(slow > 3, others < 1.2),
        at_least(slow, digits=1),
        at_least(others, digits=2),
        at_most(others, digits=2),
    )


def no_better(tables: Tables) -> Conclusion:
    """At equal training accuracy they do not generalize better on average."""
    rows = tables.rows("controls", quantity="test accuracy, mean")
    values = rows[rows["update"].isin(OF_EXTREMES)]["value"]
    return says(all_hold(values < 0), at_least(-values), at_most(-values))


def kinds_of_medians(tables: Tables) -> Conclusion:
    """The median over parts of a minibatch, and that over minibatches."""
    rows = tables.rows("controls", quantity="corrupt slowdown")
    found = [rows[rows["update"] == rule]["value"] for rule in ("m3", "rm3", "ra3")]
    return says(
        all_hold(found[0] > found[1].max(), found[1] > found[2].max()),
        *(fixed(of.mean(), 1) for of in found),
    )
