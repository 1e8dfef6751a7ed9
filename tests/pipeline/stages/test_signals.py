"""The signal ahead of a time limit reaches every job on a cluster, and is for trainings alone."""

import subprocess
import sys

STAGES = """
import importlib, pkgutil, signal
from cgpipe import cli
from cgpipe.pipeline import stages
for module in pkgutil.iter_modules(stages.__path__, "cgpipe.pipeline.stages."):
    importlib.import_module(module.name)
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN, module.name
    signal.raise_signal(signal.SIGUSR1)
print(module.name)
"""


def test_a_stage_outlives_a_signal_that_snakemake_ignores() -> None:
    """A process begins with it ignored, as snakemake does, and no library changes that."""
    done = subprocess.run(
        ["sh", "-c", 'trap "" USR1; "$@"', "sh", sys.executable, "-c", STAGES],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("cgpipe.pipeline.stages.")
