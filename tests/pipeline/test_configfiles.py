"""Nothing that the parsers of config files swallow goes unseen."""

from pathlib import Path

import pytest

from cgpipe.pipeline.config.files import ConfigError, ConfigFiles, files_dropped, read
from cgpipe.pipeline.config.load import load
from cgpipe.pipeline.config.reading import look_at

ROOT = Path(__file__).parents[2]
TOP = "name: a\ndataset: digits\nexperiments:\n  one: &one\n    network: {dense: [8]}\n    steps: 5\n"


def loaded(*paths: Path, arguments: list[str] | None = None) -> ConfigFiles:
    """Read files and check their settings, as the workflow does."""
    from snakemake.cli import parse_config
    from snakemake.common.configfile import load_configfile
    from snakemake.utils import update_config

    files = read(paths, arguments)
    settings: dict = {}
    for path in paths:
        update_config(settings, load_configfile(path))
    update_config(settings, parse_config(arguments))
    load(settings, files)
    return files


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path("x.yaml")


def mistakes(*paths: Path, arguments: list[str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(*paths, arguments=arguments)
    first, *lines = str(caught.value).split("\n")
    assert first == f"{len(lines)} mistake{'s' * (len(lines) > 1)} in the config:"
    return [line.removeprefix("  - ") for line in lines]


@pytest.mark.parametrize("config", sorted((ROOT / "config").glob("*.yaml")), ids=lambda config: config.name)
def test_the_files_that_are_shipped_pass_in_silence(config: Path) -> None:
    assert loaded(config).problems == []


SWALLOWED = {
    "seed: 1\nseed: 2": "seed: given twice, first on line 7, which is dropped: keep one",
    "nullworlds: {shown: 1, level: 0.9, shown: 2}": "nullworlds.shown: given twice, first on line 7",
    "seed: 010": "seed: given 010, which YAML reads as 8: write 8, or 10",
    "seed: 0x10": "seed: given 0x10, which YAML reads as 16: write 16, or '0x10' if it is text",
    "seed: 0b11": "seed: given 0b11, which YAML reads as 3: write 3",
    "seed: 1_000": "seed: given 1_000, which YAML reads as 1000: write 1000",
    "seed: 12:30": "seed: given 12:30, which YAML reads as 750: write 750",
    "seed: 1:30.5": "seed: given 1:30.5, which YAML reads as 90.5; allowed: a valid integer",
    "seed: .inf": "seed: given .inf, which YAML reads as inf; allowed: a valid integer",
    "seed: 1e3": "seed: given '1e3' (text); allowed: a valid integer. It was read as text: write 1000",
    "seed: 0o10": "It was read as text: write 8",
    "seed: 1.0E+3": "seed: given 1000.0; allowed: a valid integer",
    "seed: １２": "it holds U+FF11 FULLWIDTH DIGIT ONE, U+FF12 FULLWIDTH DIGIT TWO",
    "device: no": "device: given no, which YAML reads as false; allowed: 'auto', 'cpu' or 'cuda'",
    "device: сpu": "U+0441 CYRILLIC SMALL LETTER ES); allowed: 'auto', 'cpu' or 'cuda' (did you mean cpu?)",
    "data_root: ~": "data_root: given ~, which YAML reads as null: write null, or leave the key out",
    "data_root:": "data_root: given nothing, which YAML reads as null: write null, or leave the key",
    "data_root: 2020-01-01": "data_root: given 2020-01-01, which YAML reads as a date; allowed: text",
    "data_root: 2020-13-45": "which YAML reads as an impossible value (month must be in 1..12): write",
    "data_root: !!int '010'": "data_root: given 010, which YAML reads as 8; allowed: text",
    "data_root: !include x": "data_root: has the tag !include: leave it out",
    "claims: !!python/object:os.system {}": "claims: has the tag !!python/object:os.system: leave it out",
    "data_root: =": "data_root: has the tag !!value: leave it out",
    "yes: 1": "yes: this key is true to YAML: write 'yes', in quotes",
    "1_0: 1": "1_0: this key is 10 to YAML: write '1_0', in quotes",
    "[a, b]: 1": "has a key that is no text: write a name",
    "ѕeed: 1": "there is no such key (did you mean seed?); it holds U+0455 CYRILLIC SMALL LETTER DZE",
    "ｓeed: 1": "there is no such key (did you mean seed?); it holds U+FF53 FULLWIDTH LATIN SMALL LETTER S",
    "\u00a0seed: 1": "there is no such key (did you mean seed?); it holds U+00A0 NO-BREAK SPACE",
    "see\u200bd: 1": "there is no such key (did you mean seed?); it holds U+200B ZERO WIDTH SPACE",
    "# a note\u2028seed: 3": "holds U+2028 (LINE SEPARATOR), at which a line ends for YAML alone: remove it",
    "seed：1": "column 1: no YAML: while scanning a simple key, could not find expected ':'",
    "\tseed: 1": "column 1: no YAML: while scanning for the next token, found character '\\t'",
    "seed: 1\n---\nseed: 2": "but found another document: leave out what begins with ---",
    "data_root: a: b": "column 13: no YAML: mapping values are not allowed here: indent as the lines above",
    "seed: *x": "column 7: no YAML: found undefined alias 'x'",
    "seed: '1": "no YAML: while scanning a quoted scalar, found unexpected end of stream",
    "seed: 1\x07": "holds U+0007, which YAML does not allow: remove it",
    "seed: 1\x00": "holds a NUL byte, as UTF-16 read as UTF-8 does: save the file as UTF-8",
}


@pytest.mark.parametrize("line", SWALLOWED)
def test_what_yaml_makes_something_else_of_is_told_with_its_line(path: Path, line: str) -> None:
    path.write_text(f"{TOP}{line}\n", encoding="utf-8")
    (told,) = mistakes(path)
    assert told.startswith("x.yaml, line ")
    # The second of two, the line after one that does not end, or the line itself.
    at = 8 if line in ("seed: 1\nseed: 2", "seed: 1\n---\nseed: 2", "seed：1", "seed: '1") else 7
    assert told.startswith(f"x.yaml, line {at}")
    assert SWALLOWED[line] in told


PLAIN = [
    "seed: 7",
    "seed: +7",
    "seed: 0",
    "seed: '7'  # text, and no number",
    "data_root: null",
    "data_root: Null",
    "data_root: '010'",
    'data_root: "no"',
    "data_root: !!str 010",
    "data_root: 1e-3",
    "data_root: /data/Jürgen",
    "nullworlds: {level: .5}",
    "nullworlds: {level: 5.0E-1, shown: 2,}",
    "nullworlds: &null {level: 0.9}\nclaims: null",
    "  two: *one",
    "  two:\n    <<: *one\n    steps: 7",
    "  two:\n    <<: [*one]\n    snapshots: True",
    "...",
    "__use_yte__: true\nseed: ?3 + 4",
]


@pytest.mark.parametrize("line", PLAIN)
def test_what_is_plain_passes_in_silence(path: Path, line: str) -> None:
    path.write_text(f"{TOP}{line}\n", encoding="utf-8")
    if line.startswith("seed: '7'"):
        assert "given '7' (text)" in mistakes(path)[0]  # by the settings, not by the file
        assert read([path]).problems == []
    else:
        assert loaded(path).problems == []


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_line_ends_of_other_systems_count(path: Path, end: str) -> None:
    path.write_bytes(f"{TOP}seed: 1\nseed: 2\n".replace("\n", end).encode())
    assert mistakes(path) == [
        "x.yaml, line 8: seed: given twice, first on line 7, which is dropped: keep one"
    ]
    path.write_bytes(TOP.replace("\n", end).encode())
    assert loaded(path).problems == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (TOP.encode("utf-16"), "x.yaml: is written in UTF-16: save the file as UTF-8"),
        (TOP.encode("utf-32"), "x.yaml: is written in UTF-32: save the file as UTF-8"),
        (TOP.encode("utf-16-le"), "x.yaml, line 1: holds a NUL byte, as UTF-16 read as UTF-8 does"),
        (TOP.encode("utf-16-be"), "x.yaml, line 1: holds a NUL byte, as UTF-16 read as UTF-8 does"),
        (
            f"{TOP}data_root: /Jürgen\n".encode("latin-1"),
            "x.yaml, line 7, column 14: the byte 0xfc is no UTF-8 (it is 'ü' in Latin-1): save",
        ),
        (b"", "x.yaml: is empty: write settings, each as a key and a value"),
        (b"# a comment\n", "x.yaml: is empty"),
        (b"- a\n- list\n", "x.yaml: is a list"),
        (b"text\n", "x.yaml: is text"),
        (b'{"name": "a",}x', "x.yaml, line 1, column 14: neither JSON nor YAML: "),
    ],
)
def test_a_file_that_cannot_be_read_is_told(path: Path, content: bytes, said: str) -> None:
    path.write_bytes(content)
    (told,) = mistakes(path)
    assert told.startswith(said)


def test_a_mark_of_utf8_is_no_mistake(path: Path) -> None:
    path.write_text(TOP, encoding="utf-8-sig")
    assert loaded(path).problems == []


def test_no_file_and_a_folder_are_told_at_once(path: Path) -> None:
    path.mkdir()
    assert mistakes(path, Path("y.yaml")) == [
        "x.yaml: cannot be read (Is a directory): give the path of a file that can be read",
        "y.yaml: cannot be read (No such file or directory): give the path of a file that can be read",
    ]


def test_keys_that_are_equal_once_read_are_one(path: Path) -> None:
    path.write_text(f"{TOP}1: a\n01: b\n")
    told = mistakes(path)
    assert "x.yaml, line 8: 01: given twice, first on line 7, which is dropped: keep one" in told
    assert "x.yaml, line 8: 01: this key is 1 to YAML: write '01', in quotes" in told


@pytest.mark.parametrize(
    ("third", "said"),
    [
        (
            "{steps: 9, <<: *one}",
            "experiments.three.steps: given by << too, which is dropped for line 8: put <<",
        ),
        ("{<<: [*one, *two]}", "experiments.three.steps: given by << twice, and the second is dropped"),
        (
            "{<<: *one, <<: {init: official}}",
            "experiments.three.<<: given twice, first on line 8; write one <<",
        ),
        ("{<<: 5}", "experiments.three: << is followed by no other section: name one"),
        ("&three {<<: *three}", "experiments.three: << is followed by no other section: name one"),
    ],
)
def test_sections_from_elsewhere_drop_nothing_unseen(path: Path, third: str, said: str) -> None:
    path.write_text(f"{TOP}  two: &two {{steps: 6, init: official}}\n  three: {third}\n")
    assert any(told.startswith("x.yaml, line 8: ") and said in told for told in mistakes(path))


def test_what_an_alias_leads_to_is_told_once_and_a_circle_ends(path: Path) -> None:
    path.write_text(f"{TOP}    winsor: [0, 01]\n  two: *one\n  three: *one\n")
    assert mistakes(path) == [
        "x.yaml, line 7: experiments.one.winsor.1: given 01, which YAML reads as 1: write 1"
    ]
    path.write_text(f"{TOP}  two: &two [*two]\n")
    assert len(mistakes(path)) == 1


ONE = '{"network": {"dense": [8]}, "steps": 5, %s}'
JSON = '{"name": "a", "dataset": "digits",\n\t"experiments": {"one": ' + ONE + "}}"


def test_json_is_read_as_json(path: Path) -> None:
    path.write_text(JSON % '"learning_rate": 1e-3')
    assert loaded(path).problems == []
    path.write_text(JSON % '"learning_rate": 1e-3,\n"steps": 6')
    assert mistakes(path) == [
        "x.yaml, line 3: experiments.one.steps: given twice, first on line 2, which is dropped: keep one"
    ]


def test_all_mistakes_of_all_files_are_told_at_once(path: Path) -> None:
    path.write_text(f"{TOP}seed: 1\nseed: 02\nnois: 3\n")
    other = Path("y.yaml")
    other.write_text("device: off\nexperiments: {one: {steps: 1:30, noise: [0, 2]}}\n")
    told = mistakes(path, other)
    assert [line.split(" given")[0] for line in told] == [
        "x.yaml, line 8: seed:",
        "x.yaml, line 8: seed:",
        "y.yaml, line 2: experiments.one.steps:",
        "y.yaml, line 1: device:",
        "y.yaml, line 2: experiments.one.noise.1:",
        told[5],
    ]
    assert told[5].startswith("x.yaml, line 9: nois: there is no such key")


def test_a_later_file_replaces_what_it_names(path: Path) -> None:
    path.write_text(f"{TOP}seed: 1\ngradients: {{examples: 10}}\n")
    other = Path("y.yaml")
    other.write_text("seed: 2\ndataset: no\n")
    assert mistakes(path, other) == [
        "y.yaml, line 2: dataset: given no, which YAML reads as false; allowed: 'digits', 'mnist', "
        "'fashion_mnist', 'cifar10' or {folder: PATH, size: 32}"
    ]
    other.write_text("gradients: {}\n")
    assert mistakes(path, other) == [
        "y.yaml, line 1: gradients: an empty section takes nothing away from what x.yaml, line 8 and below "
        "gives it: leave it out, or write what is to be changed"
    ]
    path.write_text(TOP)
    assert loaded(path, other).problems == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["seed=010"], "--config: seed: given 010, which Snakemake reads as 10: write 10"),
        (["seed=1_000"], "--config: seed: given 1_000, which Snakemake reads as 1000: write 1000"),
        (["seed=1", "seed=2"], "--config: seed: given twice, and the first is dropped: keep one"),
        (["device=no"], "--config: device: given 'no' (text); allowed: 'auto', 'cpu' or 'cuda'"),
        (["seed=inf"], "--config: seed: given inf, which Snakemake reads as inf; allowed: a valid integer"),
        (
            ["gradients={examples: 1, examples: 2}"],
            "--config: gradients.examples: given twice, first on line 1",
        ),
        (["gradients={examples: 9}"], "In a section, --config gives text alone: write it into a file"),
        (["gradients={}"], "--config: gradients: an empty section takes nothing away"),
    ],
)
def test_the_command_line_swallows_nothing(path: Path, arguments: list[str], said: str) -> None:
    path.write_text(f"{TOP}gradients: {{weights: 10}}\n")
    assert mistakes(path, arguments=arguments)[0].partition(said)[1]
    assert loaded(path, arguments=["seed=3", "device=cpu", "data_root=/a b/c"]).problems == []


def test_options_of_which_snakemake_takes_the_last_are_told(path: Path) -> None:
    def problems(*command: str) -> list[str]:
        return [str(problem) for problem in read([], None, ["/bin/snakemake", *command]).problems]

    assert problems("--config", "seed=1", "-C", "device=cpu") == [
        "--config: given 2 times, and Snakemake takes the last alone: write --config a=1 b=2"
    ]
    assert files_dropped(["/bin/snakemake", "--configfile", "a", "-n", "--configfiles=b"]) == [
        "--configfile was given 2 times, and Snakemake takes the last alone: for all, write --configfile A B"
    ]
    assert files_dropped(["/bin/snakemake", "--configfile", "a", "b"]) == []
    assert problems("--configfile", "a", "b", "--config", "seed=1", "device=cpu", "-n") == []
    assert read([], None, ["another", "--config", "--config"]).problems == []


def test_a_command_line_is_stopped_before_snakemake_reads_what_it_cannot(path: Path) -> None:
    path.write_bytes(TOP.encode("utf-16"))
    for command in (["-n", "--configfile", "x.yaml"], ["--configfiles=x.yaml"]):
        with pytest.raises(SystemExit, match=r"x\.yaml: is written in UTF-16"):
            look_at(["snakemake", *command])
    look_at(["snakemake", "x.yaml", "--cores", "1"])
    path.write_text(f"{TOP}seed: 010\n")  # told with all others, when the settings are checked
    look_at(["snakemake", "--configfile", "x.yaml"])


def test_of_the_files_of_another_workflow_only_what_is_dropped_is_told(path: Path) -> None:
    path.write_text(f"other: yes\nsmall:\n  {TOP.splitlines()[0]}\n  seed: 1\n  seed: 010\n")
    (only,) = read([path]).of_another_workflow().problems
    assert str(only) == "x.yaml, line 5: small.seed: given twice, first on line 4, which is dropped: keep one"


def test_a_file_is_checked_by_itself(path: Path) -> None:
    from click.testing import CliRunner

    from cgpipe.cli import main

    path.write_text(TOP)
    found = CliRunner().invoke(main, ["check", "x.yaml"])
    assert (found.exit_code, found.output) == (0, "no mistakes\n")
    path.write_text(f"{TOP}seed: 1\nseed: 2\n")
    found = CliRunner().invoke(main, ["check", "x.yaml"])
    assert found.exit_code == 1
    assert "1 mistake in the config:\n  - x.yaml, line 8: seed: given twice" in found.output
