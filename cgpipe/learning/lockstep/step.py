"""A step of many runs at once: parameters stacked, and all kernels of a step in one graph."""

from collections.abc import Sequence

import numpy as np
import torch
import triton  # type: ignore[import-untyped]

from cgpipe.learning.batches import BatchOrder
from cgpipe.learning.finite import BEFORE, NonFiniteError
from cgpipe.learning.lockstep import products, selection
from cgpipe.learning.run import TrainingRun
from cgpipe.learning.updates import Fused
from cgpipe.networks.dense import Layer
from cgpipe.networks.fully_connected import Dense

# Tiles of the matrix products: rows and columns of a program, and terms of a sum at once. They do not depend
# on the number of runs, as the order of its terms rounds a sum.
Options = dict[str, int | bool | str]
TILE: Options = {"ROWS": 32, "COLUMNS": 64, "INNER": 32, "num_warps": 4, "enable_fp_fusion": False}
WEIGHT_TILE: Options = TILE | {"ROWS": 64}
WARM_UP = 2  # steps before one is captured, in which the kernels are compiled


class Lockstep:
    """Updates of runs that have networks of one shape, minibatches of one size, and one device.

    Parameters
    ----------
    runs : sequence of TrainingRun
        Runs that `serves` is true of. Their parameters move into memory that all share. Those that will see
        the same minibatches share the order of these.
    """

    def __init__(self, runs: Sequence[TrainingRun]) -> None:
        images, self._batch_size = runs[0].training.images, runs[0].order.batch_size
        self._device, self._on_gpu = images.device, images.device.type == "cuda"
        tensor_cores = self._on_gpu and torch.cuda.get_device_capability(self._device)[0] >= 8
        # Three products in TF32, together as close to float64 as one in float32.
        self._precision = "tf32x3" if tensor_cores else "ieee"
        self._slots = {id(run): slot for slot, run in enumerate(runs)}
        self._stack_parameters(runs)
        self._set_up_feeds(runs)
        self._outputs = [bias.new_empty(len(runs), self._batch_size, bias.shape[1]) for bias in self._biases]
        self._gradients = [torch.empty_like(output) for output in self._outputs]  # (r, b, o) each
        scales = [run.rate.learning_rate / _count(run.rule.fused, self._batch_size) for run in runs]
        self._scales = self._tensor(scales, torch.float32)  # (r,)
        self._finite = self._tensor([1] * len(runs), torch.int32)  # (r,)
        self._lists: list[tuple[torch.Tensor, ...]] = []
        self._graph: torch.cuda.CUDAGraph | None = None
        if any(_clips(run) for run in runs):
            self._lists = [self._empty_lists(number) for number in range(len(self._weights))]
        self._go_on_with(runs)

    def step(self) -> None:
        """Make one update of each run that has not left. The device is not waited for."""
        for feed, (start, order) in enumerate(self._feeds):
            if order in self._orders:
                self._rows[feed] = order.next() + start
        self._batch.copy_(torch.from_numpy(self._rows))
        if self._graph is None and self._on_gpu and self._steps == WARM_UP:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._update()
        if self._graph is not None:
            self._graph.replay()
        else:
            self._update()
        self._steps += 1
        for run in self.runs:
            run.step += 1

    def check(self, run: TrainingRun) -> None:
        """Raise a NonFiniteError if an update of this run was not finite."""
        if not int(self._finite[self._slots[id(run)]]):
            raise NonFiniteError(BEFORE)

    def leave(self, run: TrainingRun) -> None:
        """Go on without a run."""
        self._go_on_with([other for other in self.runs if other is not run])

    def _tensor(self, values: Sequence[float], kind: torch.dtype) -> torch.Tensor:
        return torch.tensor(values, dtype=kind, device=self._device)

    def _stack_parameters(self, runs: Sequence[TrainingRun]) -> None:
        networks = [run.network for run in runs if isinstance(run.network, Dense)]  # as `serves` has seen
        self._weights, self._biases = [], []  # (r, o, i) and (r, o), of each layer
        for number in range(len(networks[0].stack)):
            weight = torch.stack([network.stack[number].weight for network in networks])
            # The first layer input by input in memory, as in a network alone.
            self._weights.append(weight.mT.contiguous().mT if number == 0 else weight.contiguous())
            self._biases.append(torch.stack([network.stack[number].bias for network in networks]))
        for slot, network in enumerate(networks):
            network.stack[:] = [
                Layer(w[slot], b[slot]) for w, b in zip(self._weights, self._biases, strict=True)
            ]

    def _set_up_feeds(self, runs: Sequence[TrainingRun]) -> None:
        """Find the runs that will see the same minibatches, and lay out images and labels."""
        self._images, starts = _joined([run.training.images for run in runs])
        self._labels, label_starts = _joined([run.training.labels for run in runs])
        self._feeds: list[tuple[int, BatchOrder]] = []  # the first row of the images, and the order
        feed_of = []
        for run, start in zip(runs, starts, strict=True):
            same = (
                feed
                for feed, (first, order) in enumerate(self._feeds)
                if first == start and order.goes_on_as(run.order)
            )
            feed = next(same, len(self._feeds))
            if feed == len(self._feeds):
                self._feeds.append((start, run.order))
            run.order = self._feeds[feed][1]
            feed_of.append(feed)
        self._feed_of = self._tensor(feed_of, torch.int32)  # (r,)
        # Added to the row of an image, the place of its label.
        offsets = [label - image for label, image in zip(label_starts, starts, strict=True)]
        self._labels_of = self._tensor(offsets, torch.int64)  # (r,)
        self._rows = np.zeros((len(self._feeds), self._batch_size), np.int64)  # (feed, b)
        self._batch = torch.zeros(self._rows.shape, dtype=torch.int64, device=self._device)

    def _empty_lists(self, number: int) -> tuple[torch.Tensor, ...]:
        """Memory for counts, examples and values: of each pixel for the first layer, else of each unit."""
        units, width = self._weights[number].shape[1:]
        shape = (len(self._feeds), width) if number == 0 else (len(self._slots), units)
        of_two_signs = () if number == 0 else (2,)
        counts = torch.zeros(*shape, *of_two_signs, dtype=torch.int32, device=self._device)
        examples = torch.zeros(*shape, self._batch_size, dtype=torch.int32, device=self._device)
        return counts, examples, torch.zeros_like(examples, dtype=torch.float32)

    def _go_on_with(self, runs: Sequence[TrainingRun]) -> None:
        def slots(members: Sequence[TrainingRun]) -> torch.Tensor:
            return self._tensor([self._slots[id(run)] for run in members], torch.int32)

        self.runs = list(runs)
        self._orders = {run.order for run in runs}
        self._active, self._clipped = slots(runs), slots([run for run in runs if _clips(run)])
        rules = dict.fromkeys(run.rule.fused for run in runs if run.rule.fused)
        self._members = {rule: slots([run for run in runs if run.rule.fused == rule]) for rule in rules}
        self._graph, self._steps = None, 0

    def _update(self) -> None:
        """One step: forward, backward, then the weights, as each layer's serve the pass backward first."""
        layers = list(zip(self._weights, self._biases, self._outputs, self._gradients, strict=True))
        batch, runs = self._batch_size, len(self._active)
        entered = [self._images, *self._outputs[:-1]]
        for number, (weight, bias, output, _) in enumerate(layers):
            units, width = weight.shape[1:]
            products.forward[_tiles(batch, units, runs, TILE)](
                *(entered[number], self._batch, self._feed_of, weight, bias, output, self._active),
                *(batch, width, units, *weight.stride()[1:], number == 0, number < len(layers) - 1),
                PRECISION=self._precision,
                **TILE,
            )
        classes = self._biases[-1].shape[1]
        products.loss_gradient[triton.cdiv(batch, 16), runs](
            *(self._outputs[-1], self._batch, self._feed_of, self._labels, self._labels_of),
            *(self._gradients[-1], self._finite, self._active, batch, classes),
            ROWS=16,
            COLUMNS=triton.next_power_of_2(classes),
            enable_fp_fusion=False,
        )
        for number in range(len(layers) - 1, 0, -1):
            units, width = self._weights[number].shape[1:]
            products.backward[_tiles(batch, width, runs, TILE)](
                *(self._gradients[number], self._weights[number], entered[number]),
                *(self._gradients[number - 1], self._finite, self._active, batch, width, units),
                PRECISION=self._precision,
                **TILE,
            )
        if len(self._clipped):
            self._list()
        for rule, slots in self._members.items():
            for number in range(len(layers)):
                if rule.c == 0:
                    self._update_plainly(number, entered[number], slots)
                else:
                    self._update_clipped(number, entered[number], slots, rule)

    def _list(self) -> None:
        batch, examples = self._batch_size, triton.next_power_of_2(self._batch_size)
        across = max(8, 4096 // examples)
        width = self._images.shape[1]
        selection.list_pixels[triton.cdiv(width, across), len(self._feeds)](
            *(self._images, self._batch, *self._lists[0], batch, width),
            EXAMPLES=examples,
            PIXELS=across,
            enable_fp_fusion=False,
        )
        for lists, gradients in zip(self._lists[1:], self._gradients[1:], strict=True):
            units = gradients.shape[2]
            selection.list_units[triton.cdiv(units, across), len(self._clipped)](
                *(gradients, *lists, self._clipped, batch, units),
                EXAMPLES=examples,
                COLUMNS=across,
                enable_fp_fusion=False,
            )

    def _update_plainly(self, number: int, entered: torch.Tensor, slots: torch.Tensor) -> None:
        weight, bias = self._weights[number], self._biases[number]
        units, width = weight.shape[1:]
        products.plain_update[_tiles(width, units, len(slots), WEIGHT_TILE)](
            *(
                entered,
                self._batch,
                self._feed_of,
                self._gradients[number],
                weight,
                bias,
                self._scales,
                slots,
            ),
            *(self._batch_size, width, units, *weight.stride()[1:], number == 0),
            PRECISION=self._precision,
            **WEIGHT_TILE,
        )

    def _update_clipped(self, number: int, entered: torch.Tensor, slots: torch.Tensor, rule: Fused) -> None:
        weight, bias = self._weights[number], self._biases[number]
        units, width = weight.shape[1:]
        shared = (self._gradients[number], weight, bias, self._scales, slots)
        sizes = (self._batch_size, width, units, rule.c, rule.trimmed)
        # A program for each input of the first layer, or each unit of another, and one for the biases.
        programs, lanes = (width, units) if number == 0 else (units, width)
        across = min(256 if programs > 64 else 64, max(32, triton.next_power_of_2(lanes)))
        grid = (programs + 1, triton.cdiv(lanes, across), len(slots))
        options = {"LANES": across, "num_warps": max(1, across // 64), "enable_fp_fusion": False}
        if number == 0:
            first = (self._images, self._batch, self._feed_of, *self._lists[0])
            selection.update_by_pixel[grid](*first, *shared, *sizes, **options)
        else:
            selection.update_by_unit[grid](entered, *self._lists[number], *shared, *sizes, **options)


def _clips(run: TrainingRun) -> bool:
    return bool(run.rule.fused and run.rule.fused.c)


def _count(fused: Fused | None, batch: int) -> int:
    """How many values a mean is over."""
    return batch - 2 * fused.c if fused and fused.trimmed else batch


def _tiles(rows: int, columns: int, runs: int, tile: Options) -> tuple[int, int, int]:
    return triton.cdiv(rows, tile["ROWS"]), triton.cdiv(columns, tile["COLUMNS"]), runs


def _joined(parts: Sequence[torch.Tensor]) -> tuple[torch.Tensor, list[int]]:
    """Tensors one after the other, each once, and the first row of each in them."""
    once = {id(part): part for part in parts}
    starts, rows = {}, 0
    for key, part in once.items():
        starts[key] = rows
        rows += len(part)
    joined = next(iter(once.values())) if len(once) == 1 else torch.cat(list(once.values()))
    return joined, [starts[id(part)] for part in parts]
