"""Files and folders that settings name."""

import pytest

from cgpipe.pipeline.config.load import ConfigError, load


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The folder worked in, another than that of the Snakefile."""
    monkeypatch.setenv("HERE", str(tmp_path))
    for name in ("begun/data", "here"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "begun")
    return tmp_path


def settings(dataset="mnist", data_root=None, table=None, **experiment):
    one = {"network": {"dense": [8]}, "steps": 5, **experiment}
    figure1 = {"experiment": "one", "compare_with": table}
    of_all = {"name": "tiny", "dataset": dataset, "data_root": data_root, "experiments": {"one": one}}
    return {**of_all, "figures": {"figure1": figure1}}


def mistake(here, *given, **more):
    """The only one that is reported in the folder of the Snakefile, and none if nothing is looked for."""
    load(settings(*given, **more))
    with pytest.raises(ConfigError) as caught:
        load(settings(*given, **more), here=here)
    (line,) = str(caught.value).split("\n")[1:]
    return line.removeprefix("  - ")


@pytest.mark.parametrize("root", [None, "", "data", "$HERE/begun/data", "../begun/data/"])
def test_a_data_root_is_a_folder_or_left_out(folder, root):
    load(settings(data_root=root), here=folder)


def test_a_data_root_that_is_no_folder_is_refused(folder):
    (folder / "file").touch()
    allowed = "allowed: a folder that is there, or none, to download;"
    there_is = f"there is no folder {folder}/none"
    assert mistake(folder, data_root="$HERE/none") == (
        f"data_root: given '$HERE/none' (text); {allowed} {there_is}"
    )
    assert mistake(folder, data_root="../file").endswith("/file is a file")


def test_a_data_root_is_looked_for_if_it_is_read(folder):
    load(settings("digits", "none"), here=folder)
    given = settings("digits", "none")
    given["experiments"]["one"]["dataset"] = "fashion_mnist"
    with pytest.raises(ConfigError, match="data_root: given 'none'"):
        load(given, here=folder)


@pytest.mark.parametrize("where", ["begun", "here"])
def test_a_table_to_compare_with_is_in_the_folder_worked_in_or_that_of_the_snakefile(folder, where):
    allowed = f"a table that is there; there is no file {folder}/begun/t.csv or {folder}/here/t.csv"
    told = f"figures.figure1.compare_with: given 't.csv' (text); allowed: {allowed}"
    assert mistake(folder / "here", table="t.csv") == told
    (folder / where / "t.csv").touch()
    load(settings(table="t.csv"), here=folder / "here")


def test_a_table_that_the_workflow_makes_need_not_be_there(folder):
    load(settings(table="results/tiny/figures/figure1.csv"), here=folder)
    assert "there is no file" in mistake(folder, table="results/other/figures/figure1.csv")


def test_what_is_wrong_otherwise_is_reported_once(folder):
    for given in (
        {"data_root": 3},
        {"figures": 3},
        {"experiments": [1]},
        {"dataset": [1], "experiments": {}},
    ):
        with pytest.raises(ConfigError) as caught:
            load({**settings(), **given}, here=folder)
        assert str(caught.value).startswith("1 mistake") or len(given) > 1
