"""The key `dataset`: one by its name, or a folder of images."""

import hashlib
import os
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidatorFunctionWrapHandler, WrapValidator

from cgpipe.data.errors import DataError
from cgpipe.data.folder import Listing, listed
from cgpipe.data.shapes import DATASETS, Shape
from cgpipe.pipeline.config.section import Mistake, Section, report, suggestion

NOTES = Path(".snakemake", "folders")  # checksums of folders that were read before

if TYPE_CHECKING:
    DatasetName = str
else:
    DatasetName = Literal[tuple(DATASETS)]


class Folder(Section):
    """A folder of images."""

    folder: str = Field(
        min_length=1,
        description="Folder that holds `train` and `test` (or else `val`), each with a folder of images for "
        "each class. `~` and variables are expanded, and a relative path starts at the folder that holds "
        "`results/`",
    )
    size: int | None = Field(
        None,
        ge=1,
        description="Height and width of the images: the shorter side of each is resized to it, and its "
        "middle is kept. Without it all images must have one size",
    )

    def __str__(self) -> str:
        return self.folder

    @property
    def name(self) -> str:
        """Short, for paths."""
        digest = hashlib.sha256(f"{self.folder} {self.size}".encode()).hexdigest()
        return f"{re.sub(r'[^a-z0-9]+', '-', self.path.name.lower())}-{digest[:8]}"

    @property
    def path(self) -> Path:
        """Where it lies."""
        return expanded(self.folder)

    @cached_property
    def listing(self) -> Listing:
        """Its images."""
        return listed(self.path)

    @cached_property
    def shape(self) -> Shape:
        """Size of the dataset."""
        return self.listing.shape(self.size)

    @cached_property
    def planned(self) -> dict[str, Any]:
        """What stage data reads of it: what is in it, not where it lies."""
        return {"files": self.listing.checksum(NOTES), "size": self.size}


def _named_or_folder(given: Any, _: ValidatorFunctionWrapHandler) -> Any:
    if not isinstance(given, (Mapping, Folder)):
        if isinstance(given, str) and given in DATASETS:
            return given
        hint = suggestion(given, [*DATASETS]) if isinstance(given, str) else ""
        raise ValueError(f"{', '.join(map(repr, DATASETS))} or {{folder: PATH, size: 32}}{hint}")
    folder = Folder.model_validate(given)
    try:
        folder.shape  # noqa: B018  (looks at the files)
    except DataError as error:
        allowed = "a folder of images, with a folder for each class in train and the same in test (or val)"
        report([Mistake(("folder",), folder.folder, f"{allowed}; {error}")])
    return folder


Dataset = Annotated[DatasetName | Folder, WrapValidator(_named_or_folder)]


def shape_of(dataset: Dataset) -> Shape:
    """Size of a dataset."""
    return dataset.shape if isinstance(dataset, Folder) else DATASETS[dataset]


def expanded(path: str) -> Path:
    """A path with `~` and variables such as `$HOME` replaced, from the working folder if it is relative."""
    return Path(os.path.expandvars(os.path.expanduser(path))).absolute()  # noqa: PTH111  (takes a ~ of nobody)
