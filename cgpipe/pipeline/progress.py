"""What a stage says while it runs: a bar on a terminal, lines in a log."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

log = logging.getLogger("cgpipe")


def start_log() -> None:
    """Log to the standard error, one line a message."""
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    log.setLevel(logging.INFO)  # libraries warn, and say no more


class Progress:
    """Steps of a training job.

    Parameters
    ----------
    steps : int
        Steps of all its runs.
    start : int
        Those that were made before.
    examples_per_step : int
        Size of a minibatch, for the speed.
    """

    def __init__(self, steps: int, start: int, examples_per_step: int, bar: "tqdm[Any]") -> None:
        self._steps, self._start, self._examples = steps, start, examples_per_step
        self._began = time.monotonic()
        self._bar = bar

    def reach(self, step: int) -> None:
        """Move the bar to a step."""
        self._bar.update(step - self._bar.n)

    def report(self, step: int, said: str) -> None:
        """Say something, and how fast the job goes and how long it will take."""
        self.reach(step)
        elapsed = time.monotonic() - self._began
        done = step - self._start
        pace = ""
        if done:
            left = elapsed / done * (self._steps - step)
            pace = f"  {done * self._examples / elapsed:,.0f} examples/s  {tqdm.format_interval(left)} left"
        log.info("%s%s", said, pace)


@contextmanager
def progress(steps: int, start: int, examples_per_step: int) -> Iterator[Progress]:
    """Show the steps of a job; the bar is drawn on a terminal alone."""
    bar: tqdm[Any] = tqdm(total=steps, initial=start, unit="step", disable=not sys.stderr.isatty())
    with bar, logging_redirect_tqdm():
        yield Progress(steps, start, examples_per_step, bar)
