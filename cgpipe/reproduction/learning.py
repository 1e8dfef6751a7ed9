"""The page of the paper's experiments: learning under label noise (C1 to C4)."""

from cgpipe.reproduction.markdown import NONE, fixed, percent, spread, table
from cgpipe.reproduction.registry import Conclusion, part
from cgpipe.reproduction.tables import EVERY, MIXED, Published, Tables, Values

END = 100_000  # last step of the runs under label noise


def curve(tables: Tables, panel: str, noise: float, step: int, group: str = "all") -> Values:
    """A curve of figure 1 at a step."""
    return tables.at("figure1", panel=panel, noise=noise, group=group, step=step)


def best_of_test(tables: Tables, noise: float) -> tuple[Values, Values]:
    """The best test accuracy and the step at which it is reached, of each replicate."""
    best, step = (
        tables.at("figure1", panel="b", noise=noise, group=group) for group in ("best", "step of the best")
    )
    return best, step


@part("paper", "c1-accuracies")
def accuracies(published: Published) -> str:
    """At the end, and the best test accuracy."""
    paper = published.paper

    def best(noise: float) -> str:
        if noise == 1:
            return NONE
        accuracy, step = best_of_test(paper, noise)
        steps = f"{step.low:,.0f}" + ("" if step.low == step.high else f" to {step.high:,.0f}")
        return f"{spread(accuracy)} at {steps}"

    return table(
        ["noise", "training accuracy at the end", "test accuracy: best, at step", "at the end"],
        (
            [percent(e), spread(curve(paper, "a", e, END)), best(e), spread(curve(paper, "b", e, END))]
            for e in EVERY
        ),
    )


@part("paper", "c1-best")
def test_accuracy_is_best_long_before(published: Published) -> Conclusion:
    """At 25 to 75 % noise."""
    steps = [best_of_test(published.paper, noise)[1].high for noise in MIXED]
    return Conclusion(
        max(steps) <= END / 10,
        "The networks fit whatever labels they are given. At 25 to 75 % noise, test accuracy is best long "
        "before that. (The best step is chosen on the test set, so the best value is too good.)",
    )


@part("paper", "c2-accuracies")
def training_accuracies(published: Published) -> str:
    """By step and noise."""
    return table(
        ["step", *map(percent, EVERY)],
        (
            [f"{step:,}", *(fixed(curve(published.paper, "a", noise, step).mean) for noise in EVERY)]
            for step in (10, 100, 1000, 10_000, 20_000, 30_000, 40_000, 50_000, 60_000)
        ),
    )


@part("paper", "c3-shares")
def shares_learned(published: Published) -> str:
    """Of the pristine and of the corrupt examples, by step and noise."""
    columns = [("pristine", noise) for noise in EVERY[:-1]] + [("corrupt", noise) for noise in EVERY[1:]]
    return table(
        ["step", *(f"{group}, {percent(noise)}" for group, noise in columns)],
        (
            [
                f"{step:,}",
                *(fixed(curve(published.paper, "d", noise, step, group).mean) for group, noise in columns),
            ]
            for step in (10, 100, 1000, 3000, 10_000, 20_000, 30_000, 40_000, 60_000, END)
        ),
    )


@part("paper", "c3-order")
def corrupt_are_slower_than_pure_noise(published: Published) -> Conclusion:
    """At step 1,000, and at the end."""
    early, late = (
        [curve(published.paper, "d", noise, step, "corrupt").mean for noise in EVERY[1:]]
        for step in (1000, END)
    )
    return Conclusion(
        max(early[:-1]) < min(early[-1], 0.1) and late[-1] - min(late[:-1]) < 0.02,
        "Corrupt examples are even slower than with pure noise. While the network learns the pristine ones, "
        "it gives the corrupt ones their true labels, so fewer of them are classified as labelled than by "
        "chance. Later they catch up.",
    )


@part("paper", "c3-order")
def pristine_are_slower_with_noise(published: Published) -> Conclusion:
    """Less close to the curve of no noise, and some are forgotten."""
    paper = published.paper
    rising = [[curve(paper, "d", e, step, "pristine").mean for e in EVERY[:-1]] for step in (10, 100, 10_000)]
    before, after = (curve(paper, "d", 0.75, step, "pristine").mean for step in (5000, 20_000))
    return Conclusion(
        all(shares == sorted(shares, reverse=True) for shares in rising) and after < before,
        "Pristine examples follow the curve of no noise less closely the more noise there is. While corrupt "
        f"examples are memorized, some pristine ones are forgotten: at 75 % noise {fixed(before)} are right "
        f"at step 5,000, and {fixed(after)} at step 20,000.",
    )


@part("paper", "c4-norms")
def early_norms(published: Published) -> str:
    """Of the gradient of the mean loss: the tables have that of the sum over the examples."""

    def norm(noise: float) -> float:
        network = {"group": "all", "part": "network", "noise": noise}
        examples = published.paper.mean("coherence", quantity="size", step=0, **network)
        return published.paper.by_decade("coherence", quantity="squared_norm", **network)[0] / examples**2

    return table([*map(percent, EVERY)], [[fixed(norm(noise), 2) for noise in EVERY]])
