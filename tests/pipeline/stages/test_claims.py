"""The stage of claims: what it reads, what it refuses, and that its tables agree."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from made_runs import history

from cgpipe.inference.claims.registry import all_claims
from cgpipe.inference.verdicts import CLAIMS, NO_RUN, TIDY, VERDICTS, claim_verdicts, verdicts
from cgpipe.pipeline.artifacts import ArtifactError, Provenance, read_netcdf, write_netcdf
from cgpipe.pipeline.stages import claims

INPUTS = {"data": {"spec": "{}", "code": "", "sha256": "images"}}
STEPS = (*range(10), 99)


def write(path, stage, noise, replicate, inputs=None, data=None, **more):
    """An artifact of a run, with settings; its content is a history unless given."""
    data = history(STEPS) if data is None else data
    for name, variable in data.variables.items():
        variable.attrs["long_name"] = str(name)
    spec = json.dumps({"noise": noise, "replicate": replicate, **more})
    made = Provenance(stage, spec, "code", inputs or INPUTS)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_netcdf(data, path, title="", provenance=made)
    return path


def analysis(path, stage, of, noise, replicate, **more):
    """An analysis of a run whose history is there."""
    train = read_netcdf(of, "train").attrs
    inputs = INPUTS | {"train": {"spec": train["spec"], "code": train["code"], "sha256": ""}}
    return write(path, stage, noise, replicate, inputs, xr.Dataset({"step": ("step", [0])}), **more)


def run(folder, seen=(), **inputs):
    """Run the stage; its result, and its two tables."""
    paths = {"claims": "claims.nc", "table": "claims.csv", "verdicts": "verdicts.csv"}
    files = {name: folder / path for name, path in paths.items()}
    claims.run(claims.Spec({}, list(seen)), Provenance("claims", "{}", ""), **files, **inputs)
    tables = [pd.read_csv(files[name]) for name in ("table", "verdicts")]
    return (read_netcdf(files["claims"], "claims"), *tables)


def test_without_runs_all_claims_are_there_and_undecided(tmp_path):
    stored, table, judged = run(tmp_path)
    assert list(table.columns) == list(TIDY)
    assert list(judged.columns) == list(VERDICTS)
    assert list(table["claim"].unique()) == [claim.name for claim in all_claims("CG 2020")]
    assert set(judged["verdict"]) == {"undecided", "shown"}
    assert set(judged.loc[judged["verdict"] == "undecided", "why"]) == {NO_RUN}
    assert set(stored["claim_verdict"].values) == {"undecided"}


def test_the_tables_agree_and_follow_from_the_first(tmp_path):
    rising = np.linspace(0.1, 1, len(STEPS))
    histories = [
        write(tmp_path / f"{noise}-{k}.nc", "train", noise, k, winsor=0, data=data)
        for noise, falls in ((0.25, 0.1), (0.5, 0.2))
        for k in range(6)
        for data in [history(STEPS, accuracy_test=0.9 - falls * rising + 0.001 * k * rising)]
    ]
    stored, table, judged = run(tmp_path, seen=[0], label_noise=histories)
    for name, rows, columns in (
        ("statistic", table, TIDY),
        ("part", judged, VERDICTS),
        ("claim", claim_verdicts(table), CLAIMS),
    ):
        there = pd.DataFrame({column: stored[f"{name}_{column}"].values for column in columns})
        texts = rows.select_dtypes(exclude="number").columns
        pd.testing.assert_frame_equal(
            there.astype(dict.fromkeys(texts, str)),
            rows.fillna(dict.fromkeys(texts, "")).astype(dict.fromkeys(texts, str)),
            check_dtype=False,
        )
    pd.testing.assert_frame_equal(verdicts(table), judged.fillna({"trend": "", "estimator": "", "why": ""}))
    stopping = judged[judged["claim"] == "C13"].set_index("part")
    assert stopping.loc[["25% noise", "50% noise"], "verdict"].tolist() == ["holds", "holds"]
    assert stopping.loc[["25% noise", "50% noise"], "n"].tolist() == [5, 5]
    assert set(json.loads(stored.attrs["input_sha256"])) == {
        read_netcdf(path, "train").encoding["sha256"] for path in histories
    }
    assert set(json.loads(stored.attrs["files"])) == {"claims.csv", "verdicts.csv"}


@pytest.mark.parametrize("name", ["sampled", "exact", "displacement"])
def test_null_worlds_of_another_source_are_refused(tmp_path, name):
    of = write(tmp_path / "history.nc", "train", 0.5, 0, winsor=0)
    other = {"sampled": "exact"}.get(name, "sampled")
    given = analysis(tmp_path / "worlds.nc", "nullworlds", of, 0.5, 0, source=other)
    with pytest.raises(
        ValueError, match=f"worlds.nc is of source {other}; give null worlds of source {name}"
    ):
        run(tmp_path, label_noise=[of], **{name: [given]})
    assert not (tmp_path / "claims.nc").exists()


@pytest.mark.parametrize(
    ("name", "stage"), [("coherence", "coherence"), ("bursts", "bursts"), ("displacement", "nullworlds")]
)
def test_an_analysis_of_another_run_is_refused(tmp_path, name, stage):
    one, other = (write(tmp_path / f"{k}.nc", "train", 0.5, 0, winsor=0, steps=k) for k in (10, 20))
    source = {"source": "displacement"} if stage == "nullworlds" else {}
    given = analysis(tmp_path / "analysis.nc", stage, other, 0.5, 0, **source)
    for histories, has in (([one], '"steps": 10'), ([], "none")):
        with pytest.raises(ArtifactError, match=rf"{name} at noise 0.5, replicate 0, is of another.*{has}"):
            run(tmp_path, label_noise=histories, **{name: [given]})
    assert not (tmp_path / "claims.csv").exists()


def test_runs_of_other_images_are_refused(tmp_path):
    others = {"data": INPUTS["data"] | {"sha256": "others"}}
    one = write(tmp_path / "one.nc", "train", 0.5, 0, winsor=0)
    other = write(tmp_path / "other.nc", "train", 0.5, 0, others, winsor=0)
    with pytest.raises(ArtifactError, match="the runs were made from different images"):
        run(tmp_path, label_noise=[one], winsorization=[other])
