import copy
import json
import subprocess
import sys
from typing import get_args

import numpy as np
import pytest
import torch
from problems import PRIVATE, conv_problem, copy_of, private

from cgpipe.data.corruption import corrupt_labels
from cgpipe.data.images import flat_images
from cgpipe.learning.batches import BatchOrder
from cgpipe.learning.evaluation import evaluate, logged_steps
from cgpipe.learning.finite import NonFiniteError
from cgpipe.learning.rules import update_rule
from cgpipe.learning.trainer import Trainer
from cgpipe.learning.training import train
from cgpipe.names import CLIPPING, UpdateName
from cgpipe.networks.dense import initial_layers

SETTINGS = {"hidden": [5], "steps": 25, "batch_size": 9, "learning_rate": 0.2}


def examples(count=70, test=30, features=6, classes=4):
    """Arrays as `train` takes them, in its order."""
    rng = np.random.default_rng(0)
    images = rng.uniform(size=(count + test, features)).astype(np.float32)
    labels = images[:, :classes].argmax(1)
    return images[:count], labels[:count], images[count:], labels[count:]


def snapshots_of(kept):
    """A callback that keeps the parameters at every logged step."""
    return lambda run: kept.update({run.step: run.parameters()})


def assert_same(histories, kept):
    assert histories[0].identical(histories[1])
    assert kept[0].keys() == kept[1].keys()
    for first, second in zip(kept[0].values(), kept[1].values(), strict=True):
        assert first.keys() == second.keys()
        assert all(np.array_equal(first[name], second[name]) for name in first)


# --- what it returns ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", get_args(UpdateName))
def test_it_is_a_loop_of_updates_evaluated_at_the_logged_steps(name):
    c = 2 if name in CLIPPING else 0
    kept, data = {}, examples()
    update = {"update": name, "c": c, **private(name)}
    history = train(*data, **SETTINGS, **update, rng=3, on_logged=snapshots_of(kept))

    images, labels, test_images, test_labels = map(torch.from_numpy, data)
    rng = np.random.default_rng(3)
    layers = initial_layers([6, 5, 4], "xavier", rng)
    order = BatchOrder(70, 9, rng)
    rule = update_rule(name, c, 9, rng, **private(name))
    trainer = Trainer(layers, images, labels, 9, rule)
    for step in range(26):
        if step in logged_steps(25):
            now = history.sel(step=step)
            for part, seen in (
                ("training", evaluate(layers, images, labels)),
                ("test", evaluate(layers, test_images, test_labels)),
            ):
                assert now[f"loss_{part}"] == seen.loss
                assert now[f"accuracy_{part}"] == seen.accuracy
                if part == "training":
                    for name in ("dead", "active", "correct"):
                        assert np.array_equal(now[name], getattr(seen, name))
                else:
                    assert np.array_equal(now["correct_test"], seen.correct)
            for number, layer in enumerate(layers):
                assert np.array_equal(kept[step][f"{number}.weight"], layer.weight)
                assert np.array_equal(kept[step][f"{number}.bias"], layer.bias)
        trainer.step(order.next(), 0.2)
    assert list(kept) == history["step"].values.tolist() == logged_steps(25)
    assert float(history["loss_training"][-1]) != float(history["loss_training"][0])


def test_a_history_has_named_dimensions_and_describes_itself():
    pristine = np.arange(70) % 3 > 0
    history = train(*examples(), **SETTINGS, pristine=pristine, rng=0)
    assert history.sizes == {"step": 13, "layer": 1, "example": 70, "test_example": len(examples()[3])}
    curves = ["loss_training", "accuracy_training", "loss_test", "accuracy_test"]
    shares = ["dead", "active"]
    of_examples = ["learned_first", "learned_last", "label", "pristine"]
    assert list(history) == [*curves, *shares, "correct", "correct_test", *of_examples]
    assert [history[name].dims for name in curves] == [("step",)] * 4
    assert [history[name].dims for name in shares] == [("step", "layer")] * 2
    assert history["correct"].dims == ("step", "example")
    assert all(history[name].attrs["long_name"] for name in history.variables)
    with_units = {name for name in history.variables if "units" in history[name].attrs}
    assert with_units == {"step", *curves, *shares}
    assert np.array_equal(history["pristine"], pristine)
    assert np.array_equal(history["label"], examples()[1])
    assert history.attrs == {"classes": 4}
    assert isinstance(history.attrs["classes"], int)
    assert "pristine" not in train(*examples(), **SETTINGS, rng=0)


def test_the_number_of_classes_follows_from_both_sets_or_is_given():
    images, labels, test_images, test_labels = examples()
    few = np.minimum(labels, 2)
    assert train(images, few, test_images, test_labels, **SETTINGS, rng=0).attrs["classes"] == 4
    kept = {}
    more = train(*examples(), **SETTINGS, classes=7, rng=0, on_logged=snapshots_of(kept))
    assert more.attrs["classes"] == 7
    assert kept[0]["1.weight"].shape == (7, 5)


@pytest.mark.parametrize("hidden", [[], [5], [5, 6, 7]])
def test_hidden_layers_are_counted_from_the_input(hidden):
    history = train(*examples(), **SETTINGS | {"hidden": hidden}, rng=0)
    assert history["layer"].values.tolist() == [str(number) for number in range(1, len(hidden) + 1)]
    assert history["dead"].shape == history["active"].shape == (13, len(hidden))


def test_a_run_of_no_step_is_evaluated_once():
    history = train(*examples(), **SETTINGS | {"steps": 0}, rng=0)
    assert history["step"].values.tolist() == [0]


# --- what it takes --------------------------------------------------------------------------------


def test_arrays_and_tensors_of_any_layout_and_precision_give_the_same_bits():
    data = examples()
    expected = train(*data, **SETTINGS, rng=0)
    tensors = [torch.from_numpy(array) for array in data]
    strided = [np.repeat(array, 2, axis=0)[::2] for array in data]
    wide = [np.asfortranarray(array.astype(np.float64 if array.ndim == 2 else np.uint8)) for array in data]
    lists = [array.tolist() for array in data]
    for given in (tensors, strided, wide, lists):
        assert train(*given, **SETTINGS, rng=0).identical(expected)


def test_nothing_that_was_given_is_changed():
    data = examples()
    before = [array.copy() for array in data]
    with torch.enable_grad():
        train(*data, **SETTINGS, rng=0)
        assert torch.is_grad_enabled()
    assert all(np.array_equal(array, old) for array, old in zip(data, before, strict=True))


def test_what_is_returned_is_left_as_it_is_when_what_was_given_changes():
    data = examples()
    pristine = data[1] > 0
    history = train(*data, **SETTINGS, rng=0, pristine=pristine)
    before = history.copy(deep=True)
    for given in (*data, pristine):
        given[:] = 0
    assert history.identical(before)


def test_autocast_is_refused():
    with (
        torch.autocast("cpu", dtype=torch.bfloat16),
        pytest.raises(RuntimeError, match=r"torch\.autocast is on.*call without it"),
    ):
        train(*examples(), **SETTINGS, rng=0)


def test_a_seed_is_its_generator_and_batches_may_have_one_of_their_own():
    kept = [{}, {}, {}]
    seeded, generator, other = (
        train(*examples(), **SETTINGS, rng=rng, batch_rng=batch_rng, on_logged=snapshots_of(of))
        for of, rng, batch_rng in zip(
            kept, (7, np.random.default_rng(7), 7), (None, None, np.random.default_rng(8)), strict=True
        )
    )
    assert seeded.identical(generator)
    assert not seeded.identical(other)
    assert np.array_equal(kept[0][0]["0.weight"], kept[2][0]["0.weight"])


MISTAKEN = ([0.5, 1.0], [1.0, 1.0], [1.0, 0.0], [-1.0], [np.nan])
IMAGES, LABELS, TEST_IMAGES, TEST_LABELS = examples()


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({0: (255 * IMAGES).astype(np.uint8)}, TypeError, r"images are torch.uint8: .*cgpipe\.data\.flat_im"),
        ({0: IMAGES.reshape(70, 2, 3)}, ValueError, r"images have shape \(70, 2, 3\): .*\.flat_images"),
        ({0: IMAGES[:0], 1: LABELS[:0]}, ValueError, r"images have shape \(0, 6\)"),
        ({1: LABELS[:-1]}, ValueError, r"labels have shape \(69,\) with 70 images: give one for each"),
        ({1: LABELS.astype(np.float32)}, TypeError, "labels are torch.float32: give integers"),
        ({3: TEST_LABELS > 1}, TypeError, "labels are torch.bool: give integers"),
        ({2: TEST_IMAGES[:, :5]}, ValueError, "test images of shape \\(5,\\), training images of \\(6,\\)"),
        ({1: LABELS - 1}, ValueError, "labels from -1 to 2 with 4 classes: give 0 to 3"),
        ({"classes": 3}, ValueError, "labels from 0 to 3 with 3 classes: give 0 to 2"),
        ({0: np.where(IMAGES > 0.9, np.nan, IMAGES)}, ValueError, "images have values that are not finite"),
        ({"learning_rate": -1.0}, ValueError, "learning rate -1.0: give a number above 0"),
        ({"learning_rate": np.inf}, ValueError, "learning rate inf"),
        ({"init": "he"}, ValueError, "init 'he': give one of xavier, official"),
        ({"steps": -1}, ValueError, "steps -1: give 0 or more"),
        ({"schedule": "cosin"}, ValueError, "schedule 'cosin': give one of constant, cosine, step"),
        ({"schedule": "cosine", "steps": 0}, ValueError, "schedule cosine with steps 0: give the updates"),
        ({"batch_size": 71}, ValueError, "batch size 71 with 70 training examples"),
        ({"c": 5}, ValueError, "c = 5 .* 9: .* 0 to 4"),
        ({"update": "mean"}, ValueError, "no update rule 'mean'"),
        ({"update": "dp_sgd"}, ValueError, "dp_sgd without clip_norm and noise_multiplier: give both"),
        *(({"marks": marks}, ValueError, "give losses above 0, descending") for marks in MISTAKEN),
    ],
)
def test_what_does_not_fit_is_refused(changed, error, message):
    data = [changed.get(place, array) for place, array in enumerate(examples())]
    settings = SETTINGS | {key: value for key, value in changed.items() if isinstance(key, str)}
    with pytest.raises(error, match=message):
        train(*data, **settings, rng=0)


def test_a_run_that_diverges_names_the_step_the_layer_and_the_rate():
    with pytest.raises(
        NonFiniteError,
        match=r"the run diverged: after 1 updates the output of layer 2 of 2 \(weights 4x5\) is not finite\. "
        r"The learning rate, 1e\+30, is probably too large for this network",
    ):
        train(*examples(), **SETTINGS | {"learning_rate": 1e30}, rng=0)


# --- callbacks and state --------------------------------------------------------------------------


def test_callbacks_come_after_each_evaluation_and_before_each_update():
    calls = []
    train(
        *examples(),
        **SETTINGS | {"steps": 11},
        rng=0,
        on_logged=lambda run: calls.append(("logged", run.step, list(run.logged)[-1])),
        on_step=lambda run: calls.append(("step", run.step)),
    )
    expected = [[("logged", step, step), ("step", step)] for step in range(12)]
    assert calls == [call for pair in expected for call in pair][:-1]


def test_what_a_callback_raises_ends_the_training():
    class Enough(Exception):  # noqa: N818 - not an error
        pass

    def stop(run):
        if run.step == 7:
            raise Enough

    with pytest.raises(Enough):
        train(*examples(), **SETTINGS, rng=0, on_step=stop)


def as_kept(state):
    """A state as a checkpoint keeps it: arrays, and JSON with sorted keys."""
    arrays, description = state
    copies = {name: array.copy() for name, array in arrays.items()}
    return copies, json.loads(json.dumps(description, sort_keys=True))


CASES = {
    "dense, plain": {},
    "dense, rm3": {"update": "rm3"},
    "dense, random_drop": {"update": "random_drop", "c": 2},
    "dense, dp_sgd": {"update": "dp_sgd", **PRIVATE},
    "dense, marks": {"marks": [9.0, 1.35, 1.3, 0.1]},
    "dense, momentum and a schedule": {"momentum": 0.8, "weight_decay": 0.01, "schedule": "cosine", "c": 1},
    "convolutional, momentum and a schedule": {"momentum": 0.8, "schedule": "step", "c": 1, "norm": None},
    "convolutional, rm3": {"update": "rm3", "norm": None},
    "convolutional, random_drop": {"update": "random_drop", "c": 2, "norm": None},
    "convolutional, dp_sgd and marks": {"update": "dp_sgd", **PRIVATE, "marks": [1.4, 1.39], "norm": None},
    "with batch normalization": {"momentum": 0.8, "norm": torch.nn.BatchNorm2d},
}


def of_case(case):
    """What to train on, and how."""
    settings = {**SETTINGS, **CASES[case]}
    if "norm" not in settings:
        return examples(), settings
    norm = settings.pop("norm")
    network, images, labels = conv_problem(40, torch.float32, **{"norm": norm} if norm else {})
    del settings["hidden"]
    return (images, labels, images[:10], labels[:10]), {**settings, "network": network.module}


@pytest.mark.filterwarnings("ignore:layer 1.* taken in eval mode")
@pytest.mark.parametrize("when", ["on_step", "on_logged"])
@pytest.mark.parametrize("case", CASES)
def test_a_run_that_goes_on_from_any_state_ends_with_the_same_bits(case, when):
    data, arguments = of_case(case)
    states, live, kept = {}, {}, {}

    def note(run):
        states[run.step], live[run.step] = as_kept(run.state()), run.state()
        if when == "on_logged":
            kept[run.step] = run.parameters()

    watch = {"on_logged": snapshots_of(kept), when: note}
    undisturbed = train(*data, **arguments, rng=1, **watch)
    assert len(states) == (25 if when == "on_step" else undisturbed.sizes["step"])
    for step in sorted({0, 1, 2, 3, 9, 10, 17, 20, 21, 24, 25} & states.keys()):
        state = states[step]
        assert all(np.array_equal(live[step][0][key], array) for key, array in state[0].items())
        again = {}
        # Other weights and another order, until it is restored.
        resumed = train(*data, **arguments, rng=2, state=state, on_logged=snapshots_of(again))
        earlier = {at: kept[at] for at in kept if at not in again}
        assert max(earlier, default=-1) <= step
        assert_same([undisturbed, resumed], [kept, {**earlier, **again}])


@pytest.mark.filterwarnings("ignore:layer 1.* taken in eval mode")
def test_statistics_of_batch_normalization_move_and_are_kept():
    data, arguments = of_case("with batch normalization")
    kept, states = {}, []
    train(
        *data,
        **arguments,
        rng=1,
        on_logged=snapshots_of(kept),
        on_step=lambda run: states.append(run.state()[0]),
    )
    for name in ("1.running_mean", "1.running_var", "1.num_batches_tracked"):
        assert not np.array_equal(kept[0][name], kept[25][name])
        assert np.array_equal(kept[10][name], states[10][f"network.{name}"])
    assert kept[25]["1.num_batches_tracked"] == 25
    # Those of torch, of a batch in training mode.
    module, first = copy.deepcopy(arguments["network"]), states[0]["permutation"][:9]
    module.train()(data[0][first])
    np.testing.assert_allclose(states[1]["network.1.running_mean"], module[1].running_mean, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:layer 1.* taken in eval mode")
@pytest.mark.parametrize("update", ["winsorized_mean", "rm3", "sign_of_sum"])
def test_rules_of_single_examples_refuse_batch_normalization(update):
    data, arguments = of_case("with batch normalization")
    c = 1 if update == "winsorized_mean" else 0
    with pytest.raises(ValueError, match=r"layer 1: .*train it by plain SGD \(winsor 0\), or use GroupNorm"):
        train(*data, **{**arguments, "update": update, "c": c}, rng=0)


def test_snapshots_and_layers_are_those_of_the_step():
    kept, layers = {}, {}

    def keep(run):
        kept[run.step], layers[run.step] = run.parameters(), copy_of(run.network.stack)

    train(*examples(), **SETTINGS, rng=0, on_logged=keep)
    assert not np.array_equal(kept[0]["0.weight"], kept[25]["0.weight"])
    for step, parameters in kept.items():
        for number, layer in enumerate(layers[step]):
            assert np.array_equal(parameters[f"{number}.weight"], layer.weight)
            assert np.array_equal(parameters[f"{number}.bias"], layer.bias)


# --- in a script, and on real data ----------------------------------------------------------------

SCRIPT = """
import sys
import numpy as np
import cgpipe

digits = cgpipe.data.load("digits")
rng = np.random.default_rng(0)
noisy = cgpipe.data.corrupt_labels(digits["train_labels"].values, 0.5, rng=rng)
history = cgpipe.learning.train(
    cgpipe.data.flat_images(digits, "train"), noisy["label_train"].values,
    cgpipe.data.flat_images(digits, "test"), digits["test_labels"].values,
    hidden=[32], steps=200, batch_size=50, learning_rate=0.5, c=2, rng=0, pristine=noisy["pristine"].values,
)
loaded = [name for name in sys.modules if name.startswith("cgpipe.pipeline")]
print(loaded, float(history["accuracy_test"][-1]))
"""


def test_a_script_needs_arrays_and_no_workflow():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded, accuracy = done.stdout.rsplit(" ", 1)
    assert loaded == "[]"
    assert float(accuracy) > 0.6


def test_on_mnist_clipping_learns_the_pristine_examples_and_few_of_the_corrupt_ones(mnist):
    rng = np.random.default_rng(0)
    noisy = corrupt_labels(mnist["train_labels"].values[:1000], 0.5, rng=rng)
    labels, pristine = noisy["label_train"].values, noisy["pristine"].values
    test_images, test_labels = flat_images(mnist, "test")[:1000], mnist["test_labels"].values[:1000]
    data = flat_images(mnist, "train")[:1000], labels, test_images, test_labels
    settings = {"hidden": [64], "steps": 400, "batch_size": 100, "learning_rate": 0.5}
    plain, clipped = (train(*data, **settings, c=c, pristine=pristine, rng=0).isel(step=-1) for c in (0, 8))
    assert plain["correct"][pristine].mean() > 0.9
    assert plain["correct"][~pristine].mean() > 0.7
    assert clipped["correct"][pristine].mean() > 0.8
    assert clipped["correct"][~pristine].mean() < 0.3
    assert clipped["accuracy_test"] > plain["accuracy_test"] + 0.05
    assert plain.attrs["classes"] == clipped.attrs["classes"] == 10
