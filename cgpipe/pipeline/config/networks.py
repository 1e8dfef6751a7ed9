"""The section `network` of an experiment."""

from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import Field, JsonValue, ValidationInfo, field_validator, model_validator

from cgpipe.data.shapes import Shape
from cgpipe.networks.registry import FEWEST_PIXELS, require_size, source_hash
from cgpipe.pipeline.config.own import mistakes_in_args, without_function
from cgpipe.pipeline.config.section import Mistake, Section, report


class WithoutArguments(Section):
    """A network of the registry that takes no arguments: `{}`."""


class AlexnetSmall(Section):
    """The arguments of `alexnet_small`."""

    channels: int = Field(64, ge=1, description="Outputs of each of the two convolutions")


class Network(Section):
    """Which network, by one of its keys."""

    dense: list[Annotated[int, Field(ge=1)]] | None = Field(
        None,
        description="A fully connected ReLU network: units of each hidden layer. `[2048]` is one hidden "
        "layer, `[]` a linear classifier",
    )
    conv_small: WithoutArguments | None = Field(
        None, description="`{}`: two convolutions and a linear layer, for small images"
    )
    lenet5: WithoutArguments | None = Field(None, description="`{}`: LeNet-5")
    alexnet_small: AlexnetSmall | None = Field(
        None, description="`{}` or `{channels: 32}`: the small AlexNet of Zhang et al. 2017"
    )
    vgg11: WithoutArguments | None = Field(None, description="`{}`: VGG-11")
    resnet18: WithoutArguments | None = Field(
        None, description="`{}`: ResNet-18 with GroupNorm, and a stem for small images"
    )
    module: str | None = Field(
        None,
        description="A network of your own, a `torch.nn.Module`: `path.py:function` or "
        "`package.module:function`. The function gets `shape` (channels, rows, columns) and `classes`, if it "
        "has such parameters, and `args`. A path is relative to the folder that holds `results/`",
    )
    args: dict[str, JsonValue] = Field(
        default_factory=dict,
        validate_default=True,
        description="Further arguments of the function of `module`",
    )

    @field_validator("module")
    @classmethod
    def _there(cls, module: str | None) -> str | None:
        try:
            wrong = [] if module is None else [*without_function(module)]
        except (ValueError, OSError) as error:
            wrong = [str(error)]
        for reason in wrong:
            raise ValueError(f"a function in a file or an installed module; {reason}")
        return module

    @field_validator("args")
    @classmethod
    def _taken(cls, args: dict[str, JsonValue], info: ValidationInfo) -> dict[str, JsonValue]:
        module = info.data.get("module")
        if module is not None:
            report(mistakes_in_args(module, args))
        return args

    @model_validator(mode="after")
    def _one(self) -> Self:
        kinds = [name for name in type(self).model_fields if name != "args"]
        given = [name for name in kinds if getattr(self, name) is not None]
        if len(given) != 1:
            empty = [
                name for name in kinds if name in self.model_fields_set and name not in ("dense", "module")
            ]
            write = f"; write {{{empty[0]}: {{}}}}" if empty and not given else ""
            raise ValueError(f"exactly one of {', '.join(kinds)}{write}")
        if self.args and self.module is None:
            report([Mistake(("args",), self.args, "none without module")])
        return self

    def __str__(self) -> str:
        args = f", args: {self.args}" if self.args else ""
        return f"{{{self.kind}: {self.arguments}{args}}}"

    def misfits(self, shape: Shape) -> Iterator[str]:
        """What is allowed instead of it for images of this size; nothing if it takes them."""
        try:
            if self.kind in FEWEST_PIXELS:
                require_size(self.kind, (shape.channels, shape.height, shape.width))
        except ValueError as error:
            yield f"a network that takes the images; {error}"

    @property
    def kind(self) -> str:
        """The key that was given."""
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)

    @property
    def arguments(self) -> Any:
        """What was given there."""
        given = getattr(self, self.kind)
        return given.model_dump() if isinstance(given, Section) else given

    def described(self) -> dict[str, Any]:
        """What a training reads: the network with its arguments; of one's own, also what its source is."""
        if self.module is not None:
            return {"module": self.module, "args": self.args, "source": source_hash(self.module)}
        return {self.kind: self.arguments}
