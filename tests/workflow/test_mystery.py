"""The second paper's experiments at the size of digits: all of config/mystery-demo.yaml."""

import re
from collections import Counter

import pandas as pd
import pytest
from trees import Tree

from cgpipe.figures.registry import FIGURES

CONFIG = ("--configfile", "config/mystery-demo.yaml")


@pytest.mark.slow
def test_the_demo_of_the_second_paper_runs_and_says_something_of_every_claim(fresh: Tree) -> None:
    fresh.snakemake(*CONFIG, "--cores", "1", "all")
    results = fresh.folder / "results/mystery_demo"
    table = pd.read_csv(results / "mystery.csv", keep_default_na=False)
    assert list(dict.fromkeys(table["claim"])) == [f"G{k}" for k in range(1, 14)]
    # Two replicates are no verdict; but each statistic is known in some replicate.
    verdicts = pd.read_csv(results / "mystery_verdicts.csv", keep_default_na=False)
    assert set(verdicts["verdict"]) == {"undecided", "shown"}
    known = table[table["value"] != ""].groupby(["claim", "part"]).size()
    missing = [key for key in table.groupby(["claim", "part"]).groups if key not in known]
    assert missing == []
    for name, entry in FIGURES.items():
        if entry.claims:
            image = (results / f"figures/{name}.svg").read_text(encoding="utf-8")
            for claim in entry.claims:
                assert re.search(rf"{claim}: undecided, met by \d of \d", image), (name, claim)
    assert fresh.planned(*CONFIG) == Counter()
