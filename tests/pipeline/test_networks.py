"""The section `network` of an experiment, and what depends on it when settings are checked."""

import pytest

from cgpipe.networks.registry import FEWEST_PIXELS, source_hash
from cgpipe.networks.zoo import ZOO
from cgpipe.pipeline import plan
from cgpipe.pipeline.config.files import ConfigError
from cgpipe.pipeline.config.load import load
from cgpipe.pipeline.config.networks import Network

KINDS = "exactly one of dense, conv_small, lenet5, alexnet_small, vgg11, resnet18, module"
AT = {"experiment": "one", "noise": "050", "winsor": "0", "replicate": "0"}


def settings(network, dataset="digits", **experiment):
    one = {"network": network, "steps": 5, **experiment}
    return {"name": "tiny", "dataset": dataset, "experiments": {"one": one}}


def mistakes(given):
    with pytest.raises(ConfigError) as caught:
        load(given)
    return [line.removeprefix("  - ") for line in str(caught.value).split("\n")[1:]]


def planned(given):
    """The network as stage `train` reads it."""
    config = load(given)
    assert load(config.model_dump()) == config
    return plan.settings(config, "train", AT)["network"]


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A network of one's own, in the folder that is worked in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HERE", str(tmp_path))
    path = tmp_path / "net.py"
    path.write_text(
        "raise RuntimeError('settings are checked without running it')\ndef build(**args): pass\n"
    )
    return path


@pytest.mark.parametrize("network", [{"dense": []}, {"dense": [8, 9]}, {"conv_small": {}}, {"resnet18": {}}])
def test_a_training_reads_the_network_as_it_is_given(network):
    assert planned(settings(network)) == network


def test_a_training_reads_arguments_that_are_left_out():
    assert planned(settings({"alexnet_small": {}})) == {"alexnet_small": {"channels": 64}}


def test_every_network_with_a_name_has_a_key():
    assert {*ZOO} == {*FEWEST_PIXELS} == {*Network.model_fields} - {"dense", "module", "args"}


def test_of_a_network_of_ones_own_a_training_reads_the_source(own):
    network = {"module": "net.py:build", "args": {"width": 3, "deep": {"list": [1, "two", None]}}}
    first = planned(settings(network))
    assert first == {**network, "source": source_hash("net.py:build")}
    own.with_name("other.py").write_text("")
    assert planned(settings(network)) == first
    own.write_text("# another comment\ndef build(**args): pass\n")
    assert planned(settings(network))["source"] != first["source"]
    of_variable = planned(settings({"module": "$HERE/net.py:build"}))
    assert of_variable["source"] == source_hash(f"{own}:build")


@pytest.mark.parametrize(
    ("network", "told"),
    [
        ({}, f"network: given {{}}; allowed: {KINDS}"),
        ({"dense": [8], "lenet5": {}}, f"network: given {{'dense': [8], 'lenet5': {{}}}}; allowed: {KINDS}"),
        ("lenet5", "network: given 'lenet5' (text); allowed: a section of keys and values"),
        (
            {"resnet": {}},
            "network.resnet: there is no such key (did you mean resnet18?); allowed here: dense, ",
        ),
        ({"dense": [0]}, "network.dense.0: given 0; allowed: greater than or equal to 1"),
        ({"conv_small": {"width": 3}}, "network.conv_small.width: there is no such key; allowed here: none"),
        (
            {"alexnet_small": {"channels": 0}},
            "network.alexnet_small.channels: given 0; allowed: greater than",
        ),
        (
            {"dense": [8], "args": {"width": 3}},
            "network.args: given {'width': 3}; allowed: none without module",
        ),
        (
            {"module": "net.py:build", "args": {"x": float("inf")}},
            "network.args.x.float: given inf; allowed: a fin",
        ),
        ({"module": 3}, "network.module: given 3; allowed: text"),
    ],
)
def test_what_is_no_network_is_told_with_what_is(own, network, told):
    (line,) = mistakes(settings(network))
    assert line.startswith(f"experiments.one.{told}")


@pytest.mark.parametrize(
    ("module", "told"),
    [
        ("nett.py:build", "module: nett.py:build: there is no file {folder}/nett.py"),
        (
            "net.py",
            "module: net.py names no function: give `path/to/file.py:function` or `package.module:function`",
        ),
        ("net.py:a b", "module: net.py:a b names no function: "),
        (
            "nowhere.net:build",
            "module: nowhere.net:build: there is no module nowhere.net among what is installed",
        ),
        ("~nobody/net.py:build", "module: ~nobody/net.py:build: there is no file "),
        (f"{'x' * 300}.py:build", "[Errno 36] File name too long: "),
    ],
)
def test_a_module_that_is_not_there_is_told(own, module, told):
    (line,) = mistakes(settings({"module": module}))
    assert line.startswith("experiments.one.network.module: given '")
    allowed = "; allowed: a function in a file or an installed module; "
    assert f"{allowed}{told.format(folder=own.parent)}" in line


OWN = """
import torch
from elsewhere import imported
made = torch.compile(imported)
def build(shape, classes, width=16, *, depth): pass
def bare(): pass
def anything(needed, **more): pass
def _hidden(): pass
@torch.no_grad()
def wrapped(): pass
if torch.cuda.is_available():
    def twice(): pass
else:
    def twice(width): pass
class Net(torch.nn.Module):
    def __init__(self, shape, width): pass
class Bare(torch.nn.Module): pass
"""


@pytest.mark.parametrize(
    ("function", "args", "told"),
    [
        ("build", {"depth": 2}, []),
        ("build", {"depth": 2, "width": 3, "shape": [1]}, []),
        ("build", {}, ["args: given {}; allowed: also depth, which build needs"]),
        (
            "build",
            {"widht": 1, "depth": 2},
            ["args.widht: given 1; allowed: a parameter of build: width, depth (did you mean width?)"],
        ),
        ("bare", {"a": 1}, ["args.a: given 1; allowed: none, as bare takes none"]),
        ("anything", {"needed": 1, "a": 2}, []),
        ("anything", {"a": 2}, ["args: given {'a': 2}; allowed: also needed, which anything needs"]),
        ("Net", {"width": 2}, []),
        ("Net", {"self": 2, "width": 2}, ["args.self: given 2; allowed: a parameter of Net: width"]),
        *((name, {"a": 1}, []) for name in ("imported", "made", "wrapped", "twice", "Bare")),
        ("_hidden", {}, []),
        (
            "bulid",
            {"a": 1},
            [
                "module: given 'net.py:bulid' (text); allowed: a function in a file or an installed module; "
                "module: net.py:bulid: net.py has no function bulid (did you mean build?); it has build, "
                "bare, anything, wrapped, twice, Net, Bare"
            ],
        ),
    ],
)
def test_functions_and_arguments_are_known_from_the_source(own, function, args, told):
    own.write_text(OWN)
    given = settings({"module": f"net.py:{function}", "args": args})
    if told:
        assert mistakes(given) == [f"experiments.one.network.{line}" for line in told]
    else:
        load(given)


@pytest.mark.parametrize(
    "source",
    ["from torch import *", "exec('build = 1')", "globals().update(build=1)", "def f(): global build"],
)
def test_a_function_that_may_be_there_is_left_alone(own, source):
    own.write_text(f"{source}\n")
    load(settings({"module": "net.py:build", "args": {"a": 1}}))


def test_a_source_that_is_no_python_is_told_with_its_line(own):
    own.write_text("import torch\ndef build(:\n")
    (told,) = mistakes(settings({"module": "net.py:build"}))
    assert "module: net.py:build: net.py, line 2 is no Python: " in told


def test_hidden_units_without_a_network_are_an_error_that_names_the_key():
    given = settings({"dense": [8]})
    given["experiments"]["one"]["hidden"] = given["experiments"]["one"].pop("network")["dense"]
    network, hidden = mistakes(given)
    assert network.endswith("exactly one key, such as `network: {dense: [2048]}`")
    assert "hidden: there is no such key (did you mean network?)" in hidden


@pytest.mark.parametrize("kind", FEWEST_PIXELS)
@pytest.mark.parametrize(("dataset", "pixels"), [("digits", 8), ("mnist", 28), ("cifar10", 32)])
def test_a_network_that_does_not_take_the_images_is_told_with_those_that_do(kind, dataset, pixels):
    given = settings({kind: {}}, dataset)
    if FEWEST_PIXELS[kind] <= pixels:
        load(given)
    else:
        (told,) = mistakes(given)
        assert told.startswith(
            f"experiments.one.network.{kind}: given {{}}; allowed: a network that takes the images; network "
            f"{kind} takes images of at least 28x28 pixels, and these have {pixels}x{pixels}: give larger"
        )
        assert told.endswith("take a network for this size: alexnet_small, resnet18, conv_small")


@pytest.mark.parametrize("network", [{"conv_small": {}}, {"module": "net.py:build"}])
def test_only_a_dense_network_is_given_its_initial_weights(own, network):
    load(settings({"dense": [8]}, init="official"))
    load(settings(network, init="xavier"))
    (told,) = mistakes(settings(network, init="official"))
    allowed = f"xavier; {next(iter(network))} draws its own initial weights, and official is for dense"
    assert told == f"experiments.one.init: given 'official' (text); allowed: {allowed}"
