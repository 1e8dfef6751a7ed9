"""One call for a test of a group, and for f and i of both groups: against their parts, loops and scipy."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cgpipe.gradients.contributions import contributions, fraction, mean_cumulative, self_terms, terms
from cgpipe.inference.groups import null_worlds
from cgpipe.inference.nullworlds import curve_p_value, null_band, null_group_sums, null_moments, p_value
from cgpipe.inference.one_group import null_test
from cgpipe.inference.strata import strata, stratified_moments

STEPS = np.array([*range(10), 20])


def gradients(examples, seed=1, steps=STEPS):
    return np.random.default_rng(seed).normal(size=(len(steps), examples, 6)) + 0.3  # (step, example, weight)


def worlds_of(pristine, *, steps=STEPS, worlds=50, **settings):
    pristine = np.asarray(pristine)
    g = gradients(len(pristine), steps=steps)
    rng = np.random.default_rng(0)
    return null_worlds(contributions(g), self_terms(g), pristine, steps, worlds=worlds, rng=rng, **settings)


# --- null_test ------------------------------------------------------------------------------------


@given(st.integers(2, 20), st.integers(1, 30), st.floats(0.1, 0.99), st.data())
def test_a_test_is_made_of_its_parts(examples, worlds, level, data):
    members = np.arange(examples) < data.draw(st.integers(1, examples - 1))
    u = contributions(gradients(examples))
    test = null_test(u, members, worlds=worlds, level=level, rng=np.random.default_rng(3))
    null = fraction(null_group_sums(u, members, worlds, rng=np.random.default_rng(3)), u.sum(1))
    np.testing.assert_array_equal(test.statistic, fraction(u[:, members].sum(1), u.sum(1)))
    np.testing.assert_array_equal(test.null_distribution, null)
    np.testing.assert_array_equal(test.p_value, p_value(test.statistic, null))
    np.testing.assert_equal(test.curve_p_value, curve_p_value(test.statistic, null))
    np.testing.assert_array_equal([test.low, test.high], null_band(null, level))


def test_it_agrees_with_scipy_on_any_statistic_of_the_sums():
    u, members = contributions(gradients(25)), np.arange(25) < 9
    test = null_test(
        xr.DataArray(u),
        members.tolist(),
        lambda group, total: group / 9 - (total - group) / 16,
        worlds=4_000,
        rng=np.random.default_rng(0),
    )
    expected = stats.permutation_test(
        (u[:, members], u[:, ~members]),
        lambda a, b, axis: a.mean(axis) - b.mean(axis),
        permutation_type="independent",
        n_resamples=4_000,
        axis=-1,
        vectorized=True,
        rng=np.random.default_rng(1),
    )
    np.testing.assert_allclose(test.statistic, expected.statistic, rtol=1e-9)
    np.testing.assert_allclose(test.p_value, expected.pvalue, atol=0.05)


@pytest.mark.parametrize("everyone", [True, False])
def test_of_a_group_of_all_or_none_null_worlds_are_undefined(everyone):
    test = null_test(contributions(gradients(7)), np.full(7, everyone), rng=np.random.default_rng(0))
    np.testing.assert_allclose(test.statistic, everyone)
    for values in (test.p_value, test.curve_p_value, test.low, test.high, test.null_distribution):
        assert np.isnan(values).all()


def test_what_is_no_group_and_what_is_not_finite_are_refused():
    u, rng = contributions(gradients(7)), np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"members of shape \(6,\) for 7 examples"):
        null_test(u, np.arange(6) < 3, rng=rng)
    with pytest.raises(ValueError, match="0 null worlds: give at least 1"):
        null_test(u, np.arange(7) < 3, worlds=0, rng=rng)
    with pytest.raises(ValueError, match="not finite"):
        null_test(np.where(u == u.max(), np.nan, u), np.arange(7) < 3, rng=rng)


def test_a_result_cannot_be_changed():
    test = null_test(contributions(gradients(7)), np.arange(7) < 3, worlds=9, rng=np.random.default_rng(0))
    with pytest.raises(AttributeError):
        test.curve_p_value = 0.0


# --- null_worlds ----------------------------------------------------------------------------------


@given(st.integers(2, 12), st.data())
def test_f_and_i_are_those_of_the_summed_gradients(examples, data):
    size = data.draw(st.integers(1, examples - 1))
    pristine = np.arange(examples) < size
    worlds = worlds_of(pristine)
    assert worlds["group_size"].values.tolist() == [[size, examples - size]]
    products = np.array([g @ g.T for g in gradients(examples)])  # (step, example, example)
    squares = products.sum((1, 2))
    alone = products.trace(axis1=1, axis2=2)
    np.testing.assert_allclose(worlds["squared_norm"], squares)
    np.testing.assert_allclose(worlds["self_term_share"], alone / squares)
    apart = products * ~np.eye(examples, dtype=bool)
    for group, members in {"pristine": pristine, "corrupt": ~pristine}.items():
        here, of_group = worlds.sel(group=group), products[:, members].sum((1, 2))
        np.testing.assert_allclose(here["product"], [of_group])
        np.testing.assert_allclose(here["energy"][0], products[:, members, members].sum(1))
        lengths = np.sqrt(products[:, members, members] * squares[:, None])
        np.testing.assert_allclose(here["cosine"], (products.sum(2)[:, members] / lengths).mean(1))
        np.testing.assert_allclose(here["f"], of_group / squares)
        np.testing.assert_allclose(here["i"], np.cumsum(of_group)[:10] / members.sum())
        pairs = apart[:, members].sum((1, 2)) / (squares - alone)
        np.testing.assert_allclose(here["f_pairs"], pairs, rtol=1e-6)


def test_null_worlds_are_those_of_a_test_of_the_pristine():
    pristine = np.arange(30) < 12
    u = contributions(gradients(30))
    worlds = worlds_of(pristine, shown=4, level=0.9)
    f = null_test(u, pristine, worlds=50, level=0.9, rng=np.random.default_rng(0))
    i = null_test(
        u[:10],
        pristine,
        lambda group, _: mean_cumulative(group, 12),
        worlds=50,
        level=0.9,
        rng=np.random.default_rng(0),
    )
    for name, test in {"f": f, "i": i}.items():
        here = worlds.sel(group="pristine")
        np.testing.assert_allclose(here[f"{name}_null"], test.null_distribution[:4], rtol=1e-12)
        np.testing.assert_allclose(here[f"{name}_null_low"], test.low, rtol=1e-12)
        np.testing.assert_allclose(here[f"{name}_null_high"], test.high, rtol=1e-12)
        np.testing.assert_allclose(worlds[f"{name}_p"], test.p_value)
        assert float(worlds[f"{name}_curve_p"]) == test.curve_p_value
    np.testing.assert_allclose(worlds["f_null"].sum("group"), 1)
    assert worlds.attrs == {"worlds": 50}


def test_null_worlds_that_cross_and_lead_are_counted():
    size = 5
    worlds = worlds_of(np.arange(8) < size, shown=50)
    f, i = (worlds[f"{name}_null"].transpose("world", "group", ...).values for name in "fi")
    np.testing.assert_allclose(
        i.transpose(0, 2, 1) @ [size, 8 - size], [np.cumsum(worlds["squared_norm"])[:10]] * 50
    )
    above, below = (np.mean([(sign * (one - other) > 0).all() for one, other in f]) for sign in (1, -1))
    assert above > below
    assert (worlds["f_null_pristine_above"], worlds["f_null_corrupt_above"]) == (above, below)

    def lead(pristine, corrupt):
        return min((p - c) / (abs(p) + abs(c)) for p, c in zip(pristine, corrupt, strict=True))

    observed = lead(*worlds["i"].values)
    assert worlds["i_lead"] == pytest.approx(observed)
    assert worlds["i_lead_p"] == (1 + sum(lead(*world) >= observed for world in i)) / 51


def test_i_is_of_the_steps_before_the_first_gap():
    assert worlds_of(np.arange(7) < 3)["early_step"].values.tolist() == list(range(10))
    assert worlds_of(np.arange(7) < 3, early_steps=4)["early_step"].values.tolist() == [0, 1, 2, 3]
    gap = worlds_of(np.arange(7) < 3, steps=np.array([0, 1, 5]))
    assert gap["early_step"].values.tolist() == [0, 1]


def test_as_in_the_paper_i_is_of_ten_steps_and_three_worlds_are_shown():
    worlds = worlds_of(np.arange(7) < 3, steps=np.arange(12))
    assert worlds["early_step"].values.tolist() == list(range(10))
    assert worlds["world"].values.tolist() == [1, 2, 3]


def test_variables_are_laid_out_as_told_and_say_what_they_are():
    worlds = worlds_of(np.arange(60) % 3 > 0, labels=np.arange(60) % 2)
    assert worlds["step"].values.tolist() == STEPS.tolist()
    assert worlds["draw"].values.tolist() == [0]
    assert {name: of.dims for name, of in worlds.coords.items()} == {
        name: (name,) for name in ("group", "step", "early_step", "world", "draw")
    }
    tested = {
        "": ("group", "{}"),
        "_null": ("group", "world", "{}"),
        **dict.fromkeys(("_null_low", "_null_high"), ("group", "{}")),
        "_p": ("{}",),
        "_curve_p": (),
    }
    over = {
        f"{name}{part}": tuple(dim.format(step) for dim in dims)
        for name, step in (("f", "step"), ("i", "early_step"))
        for part, dims in tested.items()
    }
    over |= dict.fromkeys(("self_term_share", "squared_norm"), ("step",))
    over |= dict.fromkeys(("f_stratified_mean", "f_stratified_sd", "f_stratified_p"), ("step",))
    over |= dict.fromkeys(("f_null_pristine_above", "f_null_corrupt_above", "i_lead", "i_lead_p"), ())
    over |= dict.fromkeys(("product", "energy"), ("draw", "step", "group"))
    over |= {"f_pairs": ("group", "step"), "cosine": ("step", "group"), "group_size": ("draw", "group")}
    over |= {"null_product": ("draw", "null_world", "step")}
    assert {name: of.dims for name, of in worlds.data_vars.items()} == over
    of_numbers = (*worlds.data_vars.values(), worlds["step"], worlds["early_step"])
    assert all(of.attrs["units"] == "1" for of in of_numbers)
    assert all(of.attrs["long_name"] for of in worlds.variables.values())
    assert worlds["null_product"].dtype == np.float32


def test_what_was_stored_in_fewer_bits_is_tested_in_float64():
    pristine, g = np.arange(9) < 4, gradients(9).astype(np.float32)
    given = (contributions(g).astype(np.float32), self_terms(g).astype(np.float32), pristine.astype(np.int8))
    wide = (*(of.astype(np.float64) for of in given[:2]), pristine)
    few, many = (null_worlds(*of, STEPS, worlds=20, rng=np.random.default_rng(0)) for of in (given, wide))
    xr.testing.assert_identical(few, many)
    few, many = (
        null_test(u, members, worlds=20, rng=np.random.default_rng(0)) for u, _, members in (given, wide)
    )
    np.testing.assert_array_equal(few.null_distribution, many.null_distribution)


def test_all_worlds_are_shown_where_there_are_fewer():
    assert worlds_of(np.arange(7) < 3, worlds=2)["world"].values.tolist() == [1, 2]


@pytest.mark.parametrize("full", ["pristine", "corrupt"])
def test_an_empty_group_leaves_what_is_defined(full):
    worlds = worlds_of([full == "pristine"] * 7)
    empty = "corrupt" if full == "pristine" else "pristine"
    assert worlds["group_size"].sel(group=[full, empty]).values.tolist() == [[7, 0]]
    for name in ("f", "f_pairs"):
        assert (worlds[name].sel(group=full) == 1).all()
        assert (worlds[name].sel(group=empty) == 0).all()
    assert np.isfinite(worlds["i"].sel(group=full)).all()
    assert np.isnan(worlds["i"].sel(group=empty)).all()
    assert np.isfinite(worlds[["squared_norm", "self_term_share"]].to_array()).all()
    undefined = ["null_product", "i_lead", "i_lead_p", "f_null_pristine_above", "f_null_corrupt_above"]
    parts = ("p", "curve_p", "null", "null_low", "null_high")
    undefined += [f"{statistic}_{part}" for statistic in "fi" for part in parts]
    for name in undefined:
        assert np.isnan(worlds[name]).all(), name


def test_of_groups_that_are_not_empty_all_is_defined():
    worlds = worlds_of([True] * 6 + [False])
    for name, values in worlds.data_vars.items():
        assert np.isfinite(values).all(), name


def test_of_several_draws_the_first_is_shown_and_the_sums_of_all_are_kept():
    pristine = np.array([np.arange(9) < 4, np.arange(9) % 2 == 0, np.arange(9) < 4])
    g = [gradients(9, seed) for seed in range(3)]
    u, alone = (np.stack([function(of) for of in g]) for function in (contributions, self_terms))
    several = null_worlds(u, alone, pristine, STEPS, worlds=50, rng=np.random.default_rng(0))
    for draw in range(3):
        rng = np.random.default_rng(0)
        one = null_worlds(u[draw], alone[draw], pristine[draw], STEPS, worlds=50, rng=rng)
        here = several.isel(draw=draw)
        for name in ("product", "energy", "group_size"):
            np.testing.assert_array_equal(here[name], one[name][0])
        if draw == 0:
            of_first = [name for name, of in one.data_vars.items() if "draw" not in of.dims]
            xr.testing.assert_identical(several[of_first], one[of_first])
            np.testing.assert_array_equal(here["null_product"], one["null_product"][0, : 50 // 3])
    assert dict(several["null_product"].sizes) == {"draw": 3, "null_world": 16, "step": 11}
    mean = u.sum(2) * pristine.sum(1)[:, None] / 9
    sd = np.sqrt([null_moments(u[k], pristine[k].sum())[1] for k in range(3)])
    z = (several["null_product"].mean("null_world") - mean) / sd * np.sqrt(16)
    assert np.abs(z).max() < 4
    few = null_worlds(u, alone, pristine, STEPS, worlds=2, rng=np.random.default_rng(0))
    assert few.sizes["null_world"] == 1


def test_null_worlds_within_strata_have_their_moments():
    pristine, labels = np.arange(60) % 3 > 0, np.arange(60) % 2
    worlds = worlds_of(pristine, labels=labels)
    u, alone = contributions(gradients(60)), self_terms(gradients(60))
    mean, variance = stratified_moments(u, pristine, strata(labels, alone))
    np.testing.assert_allclose(worlds["f_stratified_mean"] * u.sum(1), mean)
    np.testing.assert_allclose((worlds["f_stratified_sd"] * u.sum(1)) ** 2, variance)
    z = (worlds["f"][0] - worlds["f_stratified_mean"]) / worlds["f_stratified_sd"]
    np.testing.assert_allclose(worlds["f_stratified_p"], 2 * stats.norm.sf(np.abs(z)))
    assert "f_stratified_p" not in worlds_of(pristine)
    # Rounding is that of the step: gradients of other sizes at other steps are tested alike.
    scale = 10.0 ** -np.arange(0, 2 * len(STEPS), 2)[:, None]
    rng = np.random.default_rng(0)
    scaled = null_worlds(scale * u, scale * alone, pristine, STEPS, labels=labels, worlds=50, rng=rng)
    np.testing.assert_allclose(scaled["f_stratified_p"], worlds["f_stratified_p"])


# --- what they are given --------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["sample", "layers", "displacement"])
def test_terms_are_the_same_whichever_way_they_were_measured(way):
    g, pristine = gradients(8).astype(np.float32), np.arange(8) < 3
    over, functions = ("step", "example"), (contributions, self_terms)
    if way == "sample":
        drawn = {
            name: (("draw", "step", "drawn_example"), function(g)[None])
            for name, function in zip(("contribution", "self_term"), functions, strict=True)
        }
        given = {**drawn, "drawn_pristine": (("draw", "drawn_example"), pristine[None])}
    elif way == "layers":
        given = {
            name: ((*over, "layer"), np.stack([function(g[..., :2]), function(g[..., 2:])], axis=2))
            for name, function in zip(("contribution", "squared_norm"), functions, strict=True)
        }
    else:
        names = ("contribution", "squared_norm_sum")
        given = {name: (over, function(g)) for name, function in zip(names, functions, strict=True)}
    found = terms(xr.Dataset({"pristine": ("example", pristine.astype(np.int8)), **given}))
    for expected, values in zip((contributions(g), self_terms(g)), found, strict=False):
        assert values.dtype == np.float64
        np.testing.assert_allclose(values[0], expected, rtol=1e-12)
    assert found.pristine.tolist() == [pristine.tolist()]
