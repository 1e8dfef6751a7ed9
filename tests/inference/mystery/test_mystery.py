"""The claims of the second paper together: what is there without runs, and which runs are looked at."""

import pytest
from made_mystery import claim_of, heldout, history, one, values

from cgpipe.inference.claims.registry import parts
from cgpipe.inference.claims.statistics import UndecidedError
from cgpipe.inference.mystery.runs import GM, Mystery, Roles, claim
from cgpipe.inference.verdicts import claim_verdicts, tidy
from cgpipe.runs import Run


def test_without_runs_every_claim_is_there_and_undecided():
    table = tidy(parts(Mystery(), GM))
    verdicts = claim_verdicts(table)
    assert list(verdicts["claim"]) == [f"G{k}" for k in range(1, 14)]
    assert set(verdicts["verdict"]) == {"undecided"}
    assert (verdicts["p_holm"].isna() | (verdicts["p_holm"] == 1)).all()


def test_roles_that_nobody_plays_are_undecided_and_do_not_stop_the_others():
    made = Mystery(
        Roles(networks=["net"]),
        history=[Run(noise, 0, 0, history(), experiment="net") for noise in (0.0, 1.0)],
        heldout=[Run(noise, 0, 0, heldout(lambda step: 4), experiment="net") for noise in (0.0, 1.0)],
    )
    found = one(claim_of("G1", made), "net, training")
    assert values(found) == {0: 0.0}
    assert not one(claim_of("G9", made), "twin, parameters").observed


def test_a_run_is_found_by_its_levels():
    runs = [
        Run(0.5, c, r, history(accuracy_test=[c, r, 0, 0]), experiment="net") for c in (0, 2) for r in (0, 1)
    ]
    made = Mystery(history=[*runs, Run(0.5, 0, 7, history(), experiment="other")])
    assert made.of(1).find("history", "net", 0.5, 2)["accuracy_test"][:2].values.tolist() == [2, 1]
    assert made.replicates("net") == [0, 1]
    assert made.examples("net") == 6
    with pytest.raises(UndecidedError, match=r"^no heldout of net at 50% noise$"):
        made.find("heldout", "net", 0.5)
    with pytest.raises(UndecidedError, match=r"^no history of net at 50% noise, c = 1$"):
        made.find("history", "net", 0.5, 1)


def test_a_claim_has_its_name_its_sentence_and_its_test():
    made = claim("G0", "a sentence")(lambda _: iter(()))
    assert (made.paper, made.name, made.sentence) == (GM, "G0", "a sentence")
    assert made.parts(Mystery()) == []
