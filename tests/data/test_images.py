"""Images as networks see them."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cgpipe.data.datasets import _channels
from cgpipe.data.images import flat_images, shaped_images, with_zeroed_pixels

SHAPES = st.one_of(
    st.tuples(*[st.integers(1, 5)] * 3), st.tuples(*[st.integers(1, 5)] * 3, st.integers(1, 4))
)
IMAGES = SHAPES.flatmap(lambda shape: arrays(np.uint8, shape))


def dataset_of(images, pixel_max=255):
    axes = ("train_example", "height", "width", "channel")[: images.ndim]
    mean, deviation = _channels(images, pixel_max)
    variables = {"train_images": (axes, images), "test_images": (("test_example", *axes[1:]), images[::-1])}
    channels = {"channel_mean": ("channel", mean), "channel_deviation": ("channel", deviation)}
    return xr.Dataset(variables | channels, attrs={"pixel_max": pixel_max})


def expected(images, pixel_max, training=None):
    """(example, channel, row, column), in float64."""
    pixels = images.reshape(*images.shape[:3], -1) / np.float64(pixel_max)
    if training is not None:
        of = training.reshape(-1, pixels.shape[-1]) / np.float64(pixel_max)
        pixels = (pixels - of.mean(0)) / of.std(0)
    return pixels.transpose(0, 3, 1, 2)


@given(IMAGES, st.sampled_from([16, 255]))
def test_images_keep_their_shape_and_flat_ones_are_in_the_order_of_the_files(images, pixel_max):
    dataset = dataset_of(images, pixel_max)
    for part, of in (("train", images), ("test", images[::-1])):
        shaped, flat = shaped_images(dataset, part), flat_images(dataset, part)
        assert shaped.dtype == flat.dtype == np.float32
        assert shaped.flags.c_contiguous
        assert np.array_equal(shaped, expected(of, pixel_max).astype(np.float32))
        assert np.array_equal(flat, (of.reshape(len(of), -1) / np.float64(pixel_max)).astype(np.float32))


@given(IMAGES, st.sampled_from([16, 255]))
def test_normalized_images_have_mean_0_and_deviation_1_in_each_channel_of_the_training_set(images, pixel_max):
    dataset = dataset_of(images, pixel_max)
    deviation = images.reshape(-1, dataset.sizes["channel"]).std(0) / pixel_max
    assert np.allclose(dataset["channel_deviation"], deviation, rtol=1e-12, atol=0)
    if not deviation.all():
        channel = deviation.argmin()
        with pytest.raises(ValueError, match=f"channel {channel} has the value .* cannot be normalized"):
            shaped_images(dataset, "train", normalize=True)
        return
    for part, of in (("train", images), ("test", images[::-1])):
        shaped = shaped_images(dataset, part, normalize=True)
        assert shaped.dtype == np.float32
        # The rounding of the mean and of the pixel are in units of the deviation.
        error = 2e-7 / deviation[:, None, None] + 1e-6
        assert np.all(np.abs(shaped - expected(of, pixel_max, images)) <= error * (1 + np.abs(shaped)))
        flat = flat_images(dataset, part, normalize=True)
        assert np.array_equal(flat, shaped.transpose(0, 2, 3, 1).reshape(len(of), -1))


def test_statistics_of_the_digits_are_those_of_their_training_images(digits):
    pixels = digits["train_images"].to_numpy() / 16
    assert digits["channel_mean"].dtype == digits["channel_deviation"].dtype == np.float64
    assert digits["channel_mean"].to_numpy() == pytest.approx([pixels.mean()], rel=1e-14)
    assert digits["channel_deviation"].to_numpy() == pytest.approx([pixels.std()], rel=1e-14)
    normalized = flat_images(digits, "train", normalize=True)
    assert normalized.mean(dtype=np.float64) == pytest.approx(0, abs=1e-6)
    assert normalized.std(dtype=np.float64) == pytest.approx(1, abs=1e-6)


@given(IMAGES, st.floats(0, 1), st.lists(st.integers(0, 99), min_size=1, max_size=5))
def test_a_share_of_the_pixels_of_each_image_is_black_in_all_channels(images, share, places):
    images = np.maximum(images, 1)
    index, before = np.array(places) % len(images), images.copy()
    dataset = dataset_of(images)
    part = with_zeroed_pixels(dataset, index, share, rng=np.random.default_rng(0))
    found = part["train_images"].values
    black = (found == 0).reshape(*images[index].shape[:3], -1)
    assert (black.all(-1) == black.any(-1)).all()
    pixels = black.shape[1] * black.shape[2]
    assert (black.all(-1).sum((1, 2)) == round(share * pixels)).all()
    assert np.array_equal(found[found > 0], images[index][found > 0])
    assert np.array_equal(dataset["train_images"], before)
    assert part["channel_mean"].equals(dataset["channel_mean"])


def test_copies_have_black_pixels_of_their_own():
    dataset = dataset_of(np.ones((2, 8, 8), np.uint8))
    one, other, another = (
        with_zeroed_pixels(dataset, np.array([1, 1]), 0.5, rng=np.random.default_rng(seed))["train_images"]
        for seed in (0, 0, 1)
    )
    assert not np.array_equal(one[0], one[1])
    assert np.array_equal(one, other)
    assert not np.array_equal(one, another)
