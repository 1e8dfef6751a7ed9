"""The page of the paper's experiments: coherence of the gradients of all examples."""

import pandas as pd

from cgpipe.reproduction.markdown import fixed, percent, table
from cgpipe.reproduction.registry import Conclusion, part
from cgpipe.reproduction.tables import MIXED, Published, Tables


def pair_coherence(tables: Tables, noise: float, group: str) -> pd.DataFrame:
    """Of a group of examples, by step."""
    network = {"quantity": "pair_coherence", "part": "network", "noise": noise}
    return tables.rows("coherence", group=group, **network).set_index("step").sort_index()


def steps_not_above(tables: Tables, noise: float) -> list[int]:
    """Logged steps at which the gradients of pristine examples agree no more than those of corrupt ones."""
    pristine, corrupt = (pair_coherence(tables, noise, group)["mean"] for group in ("pristine", "corrupt"))
    return list(pristine.index[~(pristine > corrupt)])


@part("paper", "coherence")
def m_coherence(published: Published) -> str:
    """By step, noise and group of examples."""
    columns = [(noise, group) for noise in MIXED for group in ("pristine", "corrupt", "all")]
    header = (f"{group}, {percent(noise)}" if group == "pristine" else group for noise, group in columns)

    def at(step: int, noise: float, group: str) -> str:
        network = {"quantity": "m_coherence", "part": "network"}
        value = published.paper.mean("coherence", group=group, noise=noise, step=step, **network)
        return fixed(value, 0)

    steps = (0, 10, 100, 1000, 10_000, 20_000, 50_000, 100_000)
    rows = ([f"{step:,}", *(at(step, *column) for column in columns)] for step in steps)
    return table(["step", *header], rows)


@part("paper", "coherence-pairs")
def pristine_agree_more_in_pairs(published: Published) -> Conclusion:
    """At how many logged steps, by noise."""
    paper = published.paper
    logged = {noise: len(pair_coherence(paper, noise, "pristine")) for noise in MIXED}
    above = {noise: logged[noise] - len(steps_not_above(paper, noise)) for noise in MIXED}
    counts = [f"{above[noise]} of {logged[noise]} logged steps at {percent(noise)}" for noise in MIXED]
    return Conclusion(
        all(above[noise] > logged[noise] / 2 for noise in MIXED),
        f"Per pair, the gradients of pristine examples agree more than those of corrupt ones at {counts[0]} "
        f"noise, {counts[1]} and {counts[2]}.",
    )


@part("paper", "coherence-pairs")
def few_pristine_are_left_to_learn(published: Published) -> Conclusion:
    """Among the examples not yet learned."""
    less = []
    for noise in MIXED:
        pristine, corrupt = (
            pair_coherence(published.paper, noise, f"{group}, not learned")["mean"]
            for group in ("pristine", "corrupt")
        )
        less.append(int((pristine < corrupt).sum()))
    return Conclusion(
        max(less) < 15,
        "Panel d of the figure, of the examples not yet learned, seems to show the opposite later in "
        "training. But it shows m-coherence, and few pristine examples are left by then. Per pair, the "
        f"unlearned pristine examples agree less than the unlearned corrupt ones at {less[0]} logged steps "
        f"at 25 % noise, {less[1]} at 50 % and {less[2]} at 75 %.",
    )
