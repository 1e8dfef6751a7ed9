"""Stage `publish`: figures, their tables and the text about them, in a folder under version control."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cgpipe.pipeline.artifacts import Provenance, whole
from cgpipe.pipeline.progress import log


@dataclass(frozen=True)
class Spec:
    """The settings that this stage reads: none."""


def run(spec: Spec, provenance: Provenance, *, files: Sequence[Path], folder: Path) -> None:
    """Copy files to a folder, each whole or not at all."""
    for path in files:
        with whole(folder / path.name) as temporary:
            shutil.copyfile(path, temporary)
    log.info("wrote %d files to %s", len(files), folder)
