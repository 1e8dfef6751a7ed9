"""Folders of real images, for tests of datasets that are a folder."""

import numpy as np
from PIL import Image


def write_folder(folder, dataset, classes=3, examples=8, enlarged=1, ending="png"):
    """Write some images of each of the first classes of a dataset, in the layout of ImageFolder."""
    for part in ("train", "test"):
        images, labels = (dataset[f"{part}_{kind}"].to_numpy() for kind in ("images", "labels"))
        scale = 255 // dataset.attrs["pixel_max"]
        for label in range(classes):
            of_class = folder / part / f"class {label}"
            of_class.mkdir(parents=True)
            for place, index in enumerate(np.flatnonzero(labels == label)[:examples]):
                pixels = np.kron(images[index] * scale, np.ones((enlarged, enlarged), np.uint8))
                Image.fromarray(pixels.astype(np.uint8)).save(of_class / f"{place}.{ending}")
    return folder
