import re
from pathlib import Path

import pytest
import torch
from torch import nn

from cgpipe.networks.build import build
from cgpipe.networks.registry import source_hash, source_path
from cgpipe.networks.zoo import ZOO

SHAPE = (1, 4, 4)
GOOD = """
from torch import nn

def build(shape, classes, hidden=5):
    channels, rows, columns = shape
    return nn.Sequential(
        nn.Flatten(), nn.Linear(channels * rows * columns, hidden), nn.ReLU(), nn.Linear(hidden, classes)
    )

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(16, 3))
"""


@pytest.fixture
def own(tmp_path):
    """Write a file of a user, and return a reference to one of its functions."""

    def write(source, function="build"):
        path = tmp_path / "net.py"
        path.write_text(source, encoding="utf-8")
        return f"{path}:{function}"

    return write


def built(reference, **args):
    return build(reference, SHAPE, 3, seed=0, args=args)


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize("name", ZOO)
def test_weights_follow_from_the_seed_alone_and_the_global_stream_is_left_alone(name):
    shape = (1, 32, 32)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = build(name, shape, 4, seed=5)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert same(first, build(name, shape, 4, seed=5))
    assert not same(first, build(name, shape, 4, seed=6))


def test_a_function_in_a_file_gets_size_classes_and_arguments(own, tmp_path):
    module = built(own(GOOD), hidden=6)
    assert [tuple(p.shape) for p in module.parameters()] == [(6, 16), (6,), (3, 6), (3,)]
    assert same(module, built(own(GOOD), hidden=6))
    assert not same(module, build(own(GOOD), SHAPE, 3, seed=1, args={"hidden": 6}))
    assert [path.name for path in tmp_path.iterdir()] == ["net.py"]  # and no compiled code


def test_a_class_is_a_function_and_may_do_without_size_and_classes(own):
    assert len(list(built(own(GOOD, "Net")).parameters())) == 2


def test_a_function_of_an_installed_module():
    module = built("torch.nn:Linear", in_features=2, out_features=3)
    assert isinstance(module, nn.Linear)


def test_a_file_that_has_changed_is_read_again(own):
    assert len(built(own(GOOD))) == 4
    assert len(built(own(GOOD.replace("hidden, classes)\n", "hidden, classes), nn.Identity()\n")))) == 5


def test_names_that_are_unknown_and_what_is_known():
    with pytest.raises(
        ValueError, match=r"network lenet is unknown: it is one of lenet5, .*, or a reference"
    ):
        built("lenet")


@pytest.mark.parametrize(
    ("source", "function", "message"),
    [
        (GOOD, "make", r"net\.py has no function make; it has build, Net"),
        ("x = 1\n\nimport nowhere_to_be_found\n", "build", r"No module named .*\(at .*net\.py:3\)"),
        ("def build(:\n", "build", r"SyntaxError: .*net\.py, line 1"),
        (
            "def build(shape):\n    return len(shape)\n",
            "build",
            r"returned 3: let it return a torch.nn.Module",
        ),
        ("def build():\n    x = 0\n    return 1 / x\n", "build", r"ZeroDivisionError.*\(at .*net\.py:3\)"),
        (
            "from torch import nn\ndef build():\n    return nn.Linear(0.5, 2)\n",
            "build",
            r"failed: TypeError.*\(at .*net\.py:3\)",
        ),
    ],
)
def test_errors_in_the_code_of_users_name_the_file_and_the_line(own, source, function, message):
    with pytest.raises(ValueError, match=message):
        built(own(source, function))


def test_arguments_that_a_function_does_not_take(own):
    with pytest.raises(ValueError, match=r"takes \(shape, classes, hidden=5\), .*unexpected.*'width'"):
        built(own(GOOD), width=3)
    with pytest.raises(ValueError, match=r"was given nothing: missing a required argument: 'size'"):
        built(own("def build(size):\n    pass\n"))


def test_weights_that_do_not_follow_from_the_seed(own):
    source = """
import numpy as np
import torch

def build():
    layer = torch.nn.Linear(2, 2)
    layer.bias.data = torch.from_numpy(np.random.default_rng().random(2))
    return layer
"""
    with pytest.raises(ValueError, match="gives bias other values when called again with the same seed"):
        built(own(source))


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("missing.py:build", r"there is no file /.*missing\.py"),
        ("nowhere_to_be_found.nets:build", "there is no module nowhere_to_be_found.nets"),
        ("torch.nowhere.nets:build", r"there is no module torch\.nowhere\.nets"),
        ("torch.nn:", "names no function"),
        (":build", "names no function"),
        ("net.py:a b", "names no function"),
    ],
)
def test_references_to_nothing(reference, message):
    with pytest.raises(ValueError, match=message):
        built(reference)
    with pytest.raises(ValueError, match=message):
        source_hash(reference)


def test_the_hash_is_that_of_the_source(own, tmp_path):
    before = source_hash(own(GOOD))
    assert source_hash(own(GOOD, "Net")) == before
    assert source_hash(own(GOOD + "\n")) != before
    (tmp_path / "net.py").unlink()
    with pytest.raises(ValueError, match="there is no file"):
        source_hash(f"{tmp_path}/net.py:build")


def test_the_source_of_an_installed_module_is_found_without_importing_it(tmp_path, monkeypatch):
    inner = tmp_path / "my_nets" / "deep"
    inner.mkdir(parents=True)
    (inner.parent / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (inner / "__init__.py").write_text("")
    (inner / "small.py").write_text(GOOD)
    monkeypatch.syspath_prepend(tmp_path)
    assert source_path("my_nets.deep.small:build") == inner / "small.py"
    assert source_path("my_nets.deep:build") == inner / "__init__.py"
    with pytest.raises(ValueError, match=r"failed: RuntimeError: imported \(at .*my_nets/__init__\.py:1\)"):
        built("my_nets.deep.small:build")


def test_the_example_of_the_docs_runs_as_it_is_written(tmp_path, monkeypatch, capsys):
    docs = Path(__file__).parents[2] / "docs" / "networks.md"
    network, check = re.findall(r"```python\n(.*?)```", docs.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path("my_network.py").write_text(network, encoding="utf-8")
    exec(compile(check, str(docs), "exec"), {})
    assert capsys.readouterr().out.splitlines()[1] == "1 ScaleGradients"
