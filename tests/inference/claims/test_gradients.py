"""C4 to C8 by value. What does not belong to a window is large enough there to be seen."""

import numpy as np
import pytest
import xarray as xr
from made_runs import bursts, history, of_levels, reasons, right, seen, worlds

from cgpipe.inference.claims.claim import Runs
from cgpipe.inference.claims.gradients import number_of_worlds

PAIRS = ["0% over 25% noise", "25% over 50% noise", "50% over 75% noise", "75% over 100% noise"]
FAR = 1e6  # in the place of a value that nobody should look at

# Of 20 corrupt examples, how many are right; training accuracy comes to 99 % at step 40.
LOGGED = (*range(10), 10, 20, 30, 40, 50)
RIGHT = [10, *9 * [2], 1, 12, 19, 20, 20]  # at first by chance
ACCURACY = [*11 * [0.5], 0.6, 0.98, 0.99, 0.995]
# Linear between these, 10.5 % are right at step 11, and 88 % at step 28.
BURSTS = (*range(10), *range(10, 15), *range(20, 25), *range(28, 33), *range(38, 43))
MEMORIZING = (11, 12, 13, 14, 20, 21, 22, 23, 24, 28)
END = (40, 41, 42)


def state(**change):
    """Histories of all levels with the state above."""
    correct = right(corrupt=np.array(RIGHT), sizes=(12, 20))
    of_examples = {
        "learned_first": np.zeros(32),
        "learned_last": np.zeros(32),
        "label": np.zeros(32, np.int64),
    }
    given = {"correct": correct, "accuracy_training": ACCURACY, "pristine": np.arange(32) < 12, **of_examples}
    return of_levels(history(LOGGED, **(given | change)))


def in_windows(steps, start, memorizing, end, *, windows=(range(10), MEMORIZING, END)):
    """Products (step, group) with F as given in the windows, which is not the mean of f."""
    product = np.full((len(steps), 2), [FAR, -FAR / 2])
    for share, window in zip((start, memorizing, end), windows, strict=True):
        size = np.where(np.arange(len(window)) == 0, 10.0 * len(window), 1.0)
        of_pristine = (share + np.where(np.arange(len(window)) == 0, 0, 0.3)) * size
        of_pristine[0] -= of_pristine.sum() - share * size.sum()
        for step, pristine, total in zip(window, of_pristine, size, strict=True):
            product[list(steps).index(step)] = pristine, total - pristine
    return product


def gradients(estimator, start, memorizing, end):
    """Runs whose F in the windows is as given, by one estimator."""
    if estimator == "all":
        return Runs(state(), bursts=of_levels(bursts(BURSTS, in_windows(BURSTS, start, memorizing, end))))
    if estimator == "sample":
        draws = [in_windows(BURSTS, start + d, memorizing + d, end + d) for d in (-0.1, 0.1)]
        draws[1] *= 7  # the draws count alike, whatever their size
        return Runs(state(), sampled=of_levels(worlds(BURSTS, draws)))
    steps, half, windows = (0, 1, 10, 18, 20, 29), (10, 1, 10, 10, 18, 12), ((0,), (10, 18), (29,))
    # Middles at 10, 2, 20, 28, 38, 41: the second and the fifth are in no window.
    product = in_windows(steps, start, memorizing, end, windows=windows)
    return Runs(state(), displacement=of_levels(worlds(steps, [product], half=list(half))))


ESTIMATORS = ["sample", "all", "displacement"]


# --- C4 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [1, -1])
def test_the_loss_drops_less_with_noise_or_not(sign):
    drops = [1.0, 0.75, 0.625, 0.5, 0.25][::sign]
    loss = [[2.0, *9 * [FAR * drop], 2.0 - drop, FAR * drop] for drop in drops]
    runs = Runs(of_levels([history((*range(11), 20), loss_training=one) for one in loss]))
    parts = seen("C4", runs, "loss")
    assert [parts[pair].excess for pair in PAIRS] == pytest.approx(-np.diff(drops))
    short = Runs(of_levels(history((*range(10), 20))))
    assert set(reasons("C4", short, "loss").values()) == {"step 10 was not logged"}


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("estimator", ["sample", "all"])
def test_the_gradient_and_its_coherence_fall_with_noise_or_not(estimator, sign):
    sizes = [16.0, 8.0, 2.0, 1.0, 0.5][::sign]
    steps = (*range(10), 10)

    def product(size):
        of_groups = np.full((11, 2), size)  # ‖g‖² is twice that
        of_groups[0] *= 3
        of_groups[10] = FAR / size**3
        return of_groups

    if estimator == "all":
        made = [bursts(steps, product(size), np.full((11, 2), 4.0)) for size in sizes]
        runs = Runs(of_levels(history(steps)), bursts=of_levels(made))
    else:
        # The geometric mean of two draws; the corrupt group of no noise is empty, and not known.
        pairs = [np.stack([product(size**1.5), product(size**0.5)]) for size in sizes]
        made = [worlds(steps, pair, energy=np.full((2, 11, 2), 4.0)) for pair in pairs]
        runs = Runs(of_levels(history(steps)), sampled=of_levels(made))
    parts = seen("C4", runs, estimator)
    expected = -np.diff(np.log(sizes))
    for trend in ("gradient", "coherence"):
        some = [parts[f"{trend}, {pair}"] for pair in PAIRS]
        assert [one.excess for one in some] == pytest.approx(expected)
        assert [one.value for one in some] == pytest.approx(np.exp(expected))


def test_coherence_is_that_of_step_0_alone_and_the_gradient_that_of_ten_steps():
    steps = range(11)
    made = []
    for first, rest, energy in ((1.0, 0.0, 2.0), (2.0, 1.0, 1.0)):
        product, of_groups = np.full((11, 2), rest), np.full((11, 2), FAR)
        product[0], of_groups[0] = first, energy
        made.append(bursts(steps, product, of_groups))
    of_all = of_levels([made[0], made[1], *3 * [made[0]]])
    parts = seen("C4", Runs(of_levels(history(steps)), bursts=of_all), "all")
    assert parts["gradient, 0% over 25% noise"].value == pytest.approx(1 / (2 + 9))
    assert parts["coherence, 0% over 25% noise"].value == pytest.approx((1 / 2) / (2 / 1))


def test_a_group_without_examples_adds_nothing():
    steps, product = range(10), np.ones((1, 10, 2))
    empty = worlds(
        steps,
        np.where([True, False], product, np.nan),
        energy=np.where([True, False], product, np.nan),
        sizes=(20, 0),
    )
    runs = Runs(of_levels(history(steps)), sampled=of_levels([empty, *4 * [worlds(steps, product)]]))
    parts = seen("C4", runs, "sample")
    assert parts["gradient, 0% over 25% noise"].value == pytest.approx(0.5)
    assert parts["coherence, 0% over 25% noise"].value == pytest.approx(1.0)
    unknown = runs._replace(sampled=of_levels(worlds(steps, np.where([True, False], product, np.nan))))
    assert list(reasons("C4", unknown, "sample").values()) == 8 * ["the gradient is zero, or not finite"]


@pytest.mark.parametrize(("product", "energy", "parts"), [(0.0, 1.0, 8), (1.0, 0.0, 4), (np.nan, 1.0, 8)])
def test_without_a_gradient_there_is_no_ratio(product, energy, parts):
    made = bursts(range(10), np.full((10, 2), product), np.full((10, 2), energy))
    runs = Runs(of_levels(history(range(10))), bursts=of_levels(made))
    assert list(reasons("C4", runs, "all").values()) == parts * ["the gradient is zero, or not finite"]


# --- C5 and C6 ------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(
    ("shares", "met"),
    [
        ((0.7, 0.4, 0.545), (True, True, True)),
        ((0.51, 0.49, 0.455), (True, True, True)),
        ((0.49, 0.51, 0.555), (False, False, False)),
        ((0.45, 0.6, 0.445), (False, False, False)),
    ],
)
def test_pristine_examples_lead_at_first_and_meet_the_corrupt_at_the_end_or_not(estimator, shares, met):
    parts = seen("C5", gradients(estimator, *shares), estimator)
    for noise in (25, 50):
        start, memorizing, meet = (
            parts[f"{part}, {noise}% noise"] for part in ("start", "memorizing", "meet")
        )
        assert (start.value, memorizing.value) == pytest.approx(shares[:2])
        assert meet.value == pytest.approx(2 * shares[2] - 1)
        assert (start.excess, memorizing.excess) == pytest.approx((shares[0] - 0.5, 0.5 - shares[1]))
        assert (start.met, memorizing.met, meet.met) == met
    assert len(parts) == 6


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(("shares", "sign"), [((0.4, 0.3, 0.45), 1), ((0.55, 0.6, 0.7), -1)])
def test_the_share_stays_below_one_half_and_drifts_down_or_not(estimator, shares, sign):
    parts = seen("C6", gradients(estimator, *shares), estimator)
    names = [f"{part}, 75% noise" for part in ("start", "memorizing", "end", "drift")]
    assert list(parts) == names
    assert [parts[name].value for name in names] == pytest.approx([*shares, shares[1] - shares[0]])
    expected = [*(0.5 - np.array(shares)), shares[0] - shares[1]]
    assert [parts[name].excess for name in names] == pytest.approx(expected)
    assert all(parts[name].excess * sign > 0 for name in names)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_window_that_no_step_is_in_is_named(estimator):
    runs = gradients(estimator, 0.7, 0.4, 0.5)
    never = runs._replace(label_noise=state(accuracy_training=np.full(len(LOGGED), 0.985)))
    end = "nothing was measured from 99% training accuracy on"
    assert reasons("C5", never, estimator) == {"meet, 25% noise": end, "meet, 50% noise": end}
    at_once = runs._replace(label_noise=state(correct=np.ones((len(LOGGED), 32), bool)))
    none = "nothing was measured while 10 to 90 % of the corrupt examples are right"
    assert reasons("C6", at_once, estimator) == {"memorizing, 75% noise": none, "drift, 75% noise": none}


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_gradients_without_a_group_or_a_size_say_nothing(estimator):
    field = {"sample": "sampled", "all": "bursts", "displacement": "displacement"}[estimator]
    runs = gradients(estimator, 0.7, 0.4, 0.5)
    of_field = getattr(runs, field)
    for factor in ([0, 0], [1, np.nan], [np.nan, 1]):
        times = xr.DataArray(factor, {"group": ["pristine", "corrupt"]})
        nothing = [
            run._replace(data=run.data.assign(product=run.data["product"] * times)) for run in of_field
        ]
        found = reasons("C5", runs._replace(**{field: nothing}), estimator)
        assert list(found.values()) == 6 * ["the gradient is zero, or not finite"]
    missing = runs._replace(**{field: []})
    assert reasons("C5", missing, estimator)["start, 25% noise"] == f"no analysis of {field} at 25% noise"
    if estimator == "all":
        alone = runs._replace(label_noise=state(pristine=np.ones(32, bool)))
    else:
        empty = [
            run._replace(data=run.data.assign(group_size=0 * run.data["group_size"]))
            for run in getattr(runs, field)
        ]
        alone = runs._replace(**{field: empty})
    assert (
        reasons("C5", alone, estimator)["start, 25% noise"] == "there is no pristine, or no corrupt, example"
    )


def test_all_of_the_first_ten_steps_have_to_be_there():
    few = gradients("all", 0.7, 0.4, 0.5)
    cut = [run._replace(data=run.data.drop_sel(burst_step=4)) for run in few.bursts]
    found = reasons("C5", few._replace(bursts=cut), "all")
    assert found == dict.fromkeys(("start, 25% noise", "start, 50% noise"), "step 4 was not measured")


# --- C7 -------------------------------------------------------------------------------------------


def null_runs(estimator, worlds_of_draw, steps=BURSTS, half=None, windows=(range(10), MEMORIZING)):
    """Runs with F of the start and of memorizing as given, by draw and world."""
    product, null = np.full((len(worlds_of_draw), len(steps), 2), FAR), []
    for of_draw, shares in zip(product, worlds_of_draw, strict=True):
        curves = np.full((len(shares), len(steps)), FAR)
        for k, window in enumerate(windows):
            chosen = np.isin(steps, list(window))
            of_draw[chosen] = 0.75, 0.25
            size = np.arange(chosen.sum()) + 1.0
            of_draw[chosen] *= size[:, None]
            curves[:, chosen] = np.array(shares)[:, k, None] * size.sum() * (np.arange(len(size)) == 0)
        null.append(curves)
    field = {"sample": "sampled", "all": "exact", "displacement": "displacement"}[estimator]
    return Runs(state(), **{field: of_levels(worlds(steps, product, null=null, half=half))})


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_null_worlds_that_cross_are_counted(estimator):
    cross, above, below, back = (0.51, 0.49), (0.51, 0.51), (0.49, 0.49), (0.49, 0.51)
    given = {}
    if estimator == "displacement":
        given = {"steps": (0, 10, 18), "half": [10, 10, 10], "windows": ((0,), (10, 18))}
    draws = [[cross, above], [below, below]] if estimator == "sample" else [[cross, above, below, below]]
    parts = seen("C7", null_runs(estimator, draws, **given), estimator)
    values = [parts[f"{noise}% noise"].value for noise in (25, 50, 75)]
    assert values == [0.25, 0.25, 0.5]
    assert all(one.excess < 0 for one in parts.values())
    share = np.log((0.05 * 4 + 0.5) / (0.95 * 4 + 0.5)) - np.log((1 + 0.5) / (3 + 0.5))
    assert parts["25% noise"].excess == pytest.approx(share)
    for shape, holds in (
        (above, (True, True, False)),
        (below, (True, True, True)),
        (back, (True, True, False)),
    ):
        rare = seen("C7", null_runs(estimator, [100 * [shape]], **given), estimator)
        assert tuple(rare[f"{noise}% noise"].met for noise in (25, 50, 75)) == holds


def test_a_null_world_at_one_half_is_on_neither_side():
    runs = null_runs("all", [[(0.5, 0.49), (0.51, 0.5), (0.5, 0.5), (0.49, 0.5), (0.49, 0.49)]])
    values = [one.value for one in seen("C7", runs, "all").values()]
    assert values == [0, 0, 0.8]


def test_one_run_says_how_many_null_worlds_there_are():
    runs = null_runs("sample", [[(0.6, 0.4)] * 3] * 2)
    assert number_of_worlds(Runs(sampled=runs.sampled[:1]), "sampled") == 6


def test_null_worlds_of_nothing_say_nothing():
    runs = null_runs("all", [[(0.6, 0.4)]])
    broken = [
        run._replace(data=run.data.assign(null_product=np.nan * run.data["null_product"]))
        for run in runs.exact
    ]
    assert set(reasons("C7", runs._replace(exact=broken), "all").values()) == {
        "the gradient is zero, or not finite"
    }
    assert set(reasons("C7", Runs(state()), "all").values()) == {
        f"no analysis of exact at {n}% noise" for n in (25, 50, 75)
    }


# --- C8 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("estimator", ["sample", "all"])
def test_contributions_lead_after_steps_0_and_9(estimator, sign):
    steps = (*range(10), 10)
    product = np.full((11, 2), FAR)
    # An example contributes 3 to 1 at step 0; over ten steps 5 to -1.
    product[0] = [3 * 12, 1 * 20]
    product[1:10] = [2 / 9 * 12, -2 / 9 * 20]
    if sign < 0:
        product = product[:, ::-1] * [12 / 20, 20 / 12]
    if estimator == "all":
        runs = Runs(state(), bursts=of_levels(bursts(steps, product)))
    else:
        # In the second draw, with twice as many pristine examples, both contribute alike.
        alike = np.full((11, 2), [2.4, 2.0])
        made = worlds(steps, [product, alike])
        made["group_size"] = ("draw", "group"), [[12, 20], [24, 20]]
        runs = Runs(state(), sampled=of_levels(made))
    parts = seen("C8", runs, estimator)
    share = 1 if estimator == "all" else 0.5
    for noise in (25, 50, 75):
        first, last = (parts[f"step {step}, {noise}% noise"] for step in (0, 9))
        assert first.value == first.excess == pytest.approx(sign * share * 2 / 4)
        assert last.value == last.excess == pytest.approx(sign * share * 6 / 6)
    assert len(parts) == 6


@pytest.mark.parametrize("nothing", [[0.0, 0.0], [np.nan, 1.0], [1.0, np.nan]])
def test_contributions_of_nothing_do_not_lead(nothing):
    made = worlds(range(10), [np.ones((10, 2)), np.full((10, 2), nothing)])
    found = reasons("C8", Runs(state(), sampled=of_levels(made)), "sample")
    assert list(found.values()) == 6 * ["the statistic is not finite"]


@pytest.mark.parametrize(("product", "lead"), [([24.0, 20.0], 1 / 3), ([-12.0, 20.0], -1.0)])
def test_the_displacement_leads_in_its_first_window(product, lead):
    made = worlds((0, 1), [[product, [FAR, -FAR]]], half=[10, 10], sizes=(12, 20))
    parts = seen("C8", Runs(state(), displacement=of_levels(made)), "displacement")
    assert {part: one.excess for part, one in parts.items()} == pytest.approx(
        {f"the first window, {noise}% noise": lead for noise in (25, 50, 75)}
    )


@pytest.mark.parametrize("sign", [1, -1])
def test_the_loss_of_pristine_examples_drops_more_or_less(sign):
    loss = np.full((12, 3), FAR)
    loss[0], loss[10] = [FAR, 2.0, 3.0], [-FAR, *([1.0, 3.5], [2.5, 2.0])[sign < 0]]
    groups = ["all", "pristine", "corrupt"]
    made = worlds(range(12), np.ones((1, 12, 2))).drop_dims("group").assign_coords(group=groups)
    made["loss"] = ("step", "group"), loss
    runs = Runs(state(), coherence=of_levels(made))
    assert [one.excess for one in seen("C8", runs, "loss").values()] == pytest.approx(3 * [sign * 1.5])
    short = [run._replace(data=run.data.isel(step=slice(10))) for run in runs.coherence]
    assert set(reasons("C8", runs._replace(coherence=short), "loss").values()) == {"step 10 was not logged"}
    empty = [run._replace(data=run.data.where(run.data["group"] != "corrupt")) for run in runs.coherence]
    assert set(reasons("C8", runs._replace(coherence=empty), "loss").values()) == {
        "the statistic is not finite"
    }
