"""Convolutional networks by name, for images of 28x28, 32x32 and other sizes, without batch normalization.

Each function takes the size of an image (channels, rows, columns) and the number of classes, and returns a
module of torch's own layers, with their own initial weights. `cgpipe.networks.registry` has the fewest pixels
that each takes. `cgpipe.networks.build` calls them under a seed.
"""

from collections import OrderedDict
from collections.abc import Callable

from torch import nn

from cgpipe.networks.registry import Size, require_size

# Outputs of each convolution of VGG-11, and after which of them, from 1, there is a max-pooling by 2.
VGG11 = (64, 128, 256, 256, 512, 512, 512, 512)
POOLED = (1, 2, 4, 6, 8)


def lenet5(shape: Size, classes: int) -> nn.Module:
    """LeNet-5 (LeCun et al. 1998, figure 2), with the sizes of its layers, for images of 28 pixels or more.

    Smaller images are padded to 32x32 with zeros, as there. What is newer: ReLU instead of tanh, max-pooling
    instead of averages with weights, each map of C3 sees all of S2, and a linear layer takes the place of the
    radial basis functions. 61,706 parameters for 28x28x1 and 10 classes.
    """
    require_size("lenet5", shape)
    channels, rows, columns = _padded(shape)
    rows, columns = ((side // 2 - 2) // 2 - 2 for side in (rows, columns))
    return _sequential(
        pad=_padding(shape),
        c1=nn.Conv2d(channels, 6, 5),
        relu1=nn.ReLU(),
        s2=nn.MaxPool2d(2),
        c3=nn.Conv2d(6, 16, 5),
        relu3=nn.ReLU(),
        s4=nn.MaxPool2d(2),
        flat=nn.Flatten(),
        c5=nn.Linear(16 * rows * columns, 120),
        relu5=nn.ReLU(),
        f6=nn.Linear(120, 84),
        relu6=nn.ReLU(),
        output=nn.Linear(84, classes),
    )


def alexnet_small(shape: Size, classes: int, channels: int = 64) -> nn.Module:
    """The small AlexNet of Zhang et al. 2017, appendix A: for images of 7 pixels or more.

    Twice convolution 5x5, max-pooling 3x3 by 2 and local response normalization, then linear layers of 384,
    192 and `classes` units. Its 64 channels and the numbers of the normalization are those of TensorFlow's
    tutorial for CIFAR-10. There, images are cropped to 28x28, scaled one by one, and padded for the pooling;
    here they are whole, as they are given, and not padded, which comes to the same 1,387,786 parameters for
    32x32x3 and 10 classes.

    Parameters
    ----------
    channels : int
        Outputs of each of the two convolutions.
    """
    require_size("alexnet_small", shape)
    if isinstance(channels, bool) or not isinstance(channels, int) or channels < 1:
        raise ValueError(f"alexnet_small: {channels} channels: give a whole number from 1")
    into, rows, columns = shape
    rows, columns = ((((side - 1) // 2) - 1) // 2 for side in (rows, columns))
    layers: dict[str, nn.Module] = {}
    for number, entering in enumerate((into, channels), start=1):
        layers[f"conv{number}"] = nn.Conv2d(entering, channels, 5, padding=2)
        layers[f"relu{number}"] = nn.ReLU()
        layers[f"pool{number}"] = nn.MaxPool2d(3, 2)
        layers[f"norm{number}"] = nn.LocalResponseNorm(9, alpha=0.001, beta=0.75, k=1)
    return _sequential(**layers, **_classifier(3, channels * rows * columns, 384, 192, classes))


def vgg11(shape: Size, classes: int) -> nn.Module:
    """VGG-11 (Simonyan and Zisserman 2015, configuration A) for images of 28 pixels or more.

    Smaller images than 32x32 are padded with zeros. The two hidden linear layers have 512 units instead of
    4,096, as images are smaller, and no dropout. 9,750,922 parameters for 32x32x3 and 10 classes.
    """
    require_size("vgg11", shape)
    entering, rows, columns = _padded(shape)
    layers: dict[str, nn.Module] = {"pad": _padding(shape)}
    for number, leaving in enumerate(VGG11, start=1):
        layers[f"conv{number}"] = nn.Conv2d(entering, leaving, 3, padding=1)
        layers[f"relu{number}"] = nn.ReLU()
        if number in POOLED:
            layers[f"pool{number}"] = nn.MaxPool2d(2)
        entering = leaving
    return _sequential(**layers, **_classifier(9, 512 * (rows // 32) * (columns // 32), 512, 512, classes))


def resnet18(shape: Size, classes: int) -> nn.Module:
    """ResNet-18 (He et al. 2016), torchvision's own, for small images, of 8 pixels or more.

    GroupNorm of 32 groups (Wu and He 2018) in place of batch normalization, which lets the gradient of an
    example depend on others. A 3x3 stem without pooling takes the place of that for large images.
    """
    import torchvision  # noqa: PLC0415 - only this network needs it

    require_size("resnet18", shape)
    network: nn.Module = torchvision.models.resnet18(
        num_classes=classes, norm_layer=lambda channels: nn.GroupNorm(32, channels)
    )
    stem = nn.Conv2d(shape[0], 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")  # as torchvision's
    network.conv1, network.maxpool = stem, nn.Identity()
    for layer in network.modules():
        if isinstance(layer, nn.ReLU):
            layer.inplace = False
    return network


def conv_small(shape: Size, classes: int) -> nn.Module:
    """Two convolutions and a linear layer, for images of 4 pixels or more, such as scikit-learn's digits.

    6,090 parameters for 8x8x1 and 10 classes.
    """
    require_size("conv_small", shape)
    channels, rows, columns = shape
    return _sequential(
        conv1=nn.Conv2d(channels, 16, 3, padding=1),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(16, 32, 3, padding=1),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(2),
        flat=nn.Flatten(),
        linear3=nn.Linear(32 * (rows // 4) * (columns // 4), classes),
    )


ZOO: dict[str, Callable[..., nn.Module]] = {
    function.__name__: function for function in (lenet5, alexnet_small, vgg11, resnet18, conv_small)
}


def _sequential(**layers: nn.Module) -> nn.Module:
    """Layers one after the other, by name."""
    return nn.Sequential(OrderedDict(layers))


def _classifier(number: int, entering: int, first: int, second: int, classes: int) -> dict[str, nn.Module]:
    """Three linear layers, numbered from `number` on."""
    return {
        "flat": nn.Flatten(),
        f"linear{number}": nn.Linear(entering, first),
        f"relu{number}": nn.ReLU(),
        f"linear{number + 1}": nn.Linear(first, second),
        f"relu{number + 1}": nn.ReLU(),
        f"linear{number + 2}": nn.Linear(second, classes),
    }


def _padded(shape: Size) -> Size:
    """The size with at least 32 rows and columns."""
    return shape[0], max(32, shape[1]), max(32, shape[2])


def _padding(shape: Size) -> nn.Module:
    _, rows, columns = (to - of for of, to in zip(shape, _padded(shape), strict=True))
    left, top = columns // 2, rows // 2
    return nn.ZeroPad2d((left, columns - left, top, rows - top)) if rows or columns else nn.Identity()
