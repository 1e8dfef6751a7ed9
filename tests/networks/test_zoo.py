import pytest
import torch
from torch import nn

from cgpipe.networks.build import build
from cgpipe.networks.module import ModuleNetwork
from cgpipe.networks.registry import FEWEST_PIXELS
from cgpipe.networks.zoo import ZOO

# As small as each takes them, so that the oracle is fast.
SMALLEST = {name: (2, pixels, pixels) for name, pixels in FEWEST_PIXELS.items()}
OF_LAYER = {"rtol": 1e-8, "atol": 1e-12}


def alone(network, image, label):
    """The logits and the gradient of one example by plain autograd: by layer and parameter."""
    with torch.enable_grad():
        logits = network.module(image[None])
        loss = nn.functional.cross_entropy(logits, label[None])
        gradients = torch.autograd.grad(loss, list(network.module.parameters()))
    named = dict(zip(dict(network.module.named_parameters()), gradients, strict=True))
    return logits[0].detach(), [
        {name: named[f"{layer}.{name}"] for name in of}
        for layer, of in zip(network.layers, network.parameters(), strict=True)
    ]


def test_each_network_says_how_small_images_may_be():
    assert FEWEST_PIXELS.keys() == ZOO.keys()


@pytest.mark.parametrize("name", ZOO)
def test_norms_products_and_sums_are_those_of_a_loop_over_examples(name):
    torch.manual_seed(0)
    shape, classes = SMALLEST[name], 3
    network = ModuleNetwork(build(name, shape, classes, seed=1), shape, classes).double()
    images, labels = torch.rand(3, *shape).double(), torch.tensor([2, 0, 2])
    direction = [{name: torch.randn_like(p) for name, p in of.items()} for of in network.parameters()]
    logits, each = zip(*(alone(network, x, y) for x, y in zip(images, labels, strict=True)), strict=True)
    seen = 0
    for part, found, layers in network.passes(images, labels, at_once=2):
        torch.testing.assert_close(found, torch.stack(logits[part]))
        for number, layer in enumerate(layers):
            own = [gradients[number] for gradients in each[part]]
            norms = torch.stack([sum(g.square().sum() for g in of.values()) for of in own])
            torch.testing.assert_close(layer.squared_norms(), norms, **OF_LAYER)
            along = direction[number]
            products = torch.stack([sum((g * along[name]).sum() for name, g in of.items()) for of in own])
            torch.testing.assert_close(layer.products(along), products, **OF_LAYER)
            for key, sums in layer.sums().items():
                torch.testing.assert_close(sums, sum(of[key] for of in own), **OF_LAYER)
            assert norms.min() > 0
        seen += len(found)
    assert seen == 3


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)], ids=str)
@pytest.mark.parametrize("name", ZOO)
def test_each_network_takes_the_images_of_mnist_and_cifar(name, shape):
    module = build(name, shape, 7, seed=0)
    assert module(torch.zeros(2, *shape)).shape == (2, 7)
    assert not any(getattr(layer, "inplace", False) for layer in module.modules())


@pytest.mark.parametrize(
    ("name", "shape", "parameters"),
    [
        ("lenet5", (1, 28, 28), 61_706),
        ("alexnet_small", (3, 32, 32), 1_387_786),  # Zhang et al. 2017, table 1
        ("vgg11", (3, 32, 32), 9_750_922),
        ("conv_small", (1, 8, 8), 6_090),
    ],
)
def test_numbers_of_parameters(name, shape, parameters):
    assert sum(p.numel() for p in build(name, shape, 10, seed=0).parameters()) == parameters


def test_resnet18_is_that_of_torchvision_but_for_the_stem():
    import torchvision

    def blocks(network):
        kinds = {f"layer{n}" for n in range(1, 5)} | {"fc"}
        return {name: p.shape for name, p in network.named_parameters() if name.split(".")[0] in kinds}

    network = build("resnet18", (3, 32, 32), 10, seed=0)
    assert blocks(network) == blocks(torchvision.models.resnet18(num_classes=10))
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
    assert network.conv1(torch.zeros(1, 3, 32, 32)).shape == (1, 64, 32, 32)


def test_lenet_pads_28_pixels_to_32_on_all_sides():
    image = torch.rand(1, 1, 28, 28)
    small, large = (build("lenet5", (1, side, side), 10, seed=0) for side in (28, 32))
    padded = nn.functional.pad(image, (2, 2, 2, 2))
    torch.testing.assert_close(small(image), large(padded), rtol=0, atol=0)


def test_channels_are_an_argument_of_the_small_alexnet():
    module = build("alexnet_small", (3, 32, 32), 10, seed=0, args={"channels": 8})
    assert module.conv2.weight.shape == (8, 8, 5, 5)
    for channels in (0, -1, 2.5, "8", True):
        with pytest.raises(ValueError, match="channels: give a whole number from 1"):
            build("alexnet_small", (3, 32, 32), 10, seed=0, args={"channels": channels})


@pytest.mark.parametrize("name", ZOO)
def test_too_small_images_are_an_error_that_says_which_network_takes_them(name):
    side = FEWEST_PIXELS[name] - 1
    with pytest.raises(
        ValueError, match=f"{name} takes images of at least {side + 1}x{side + 1} pixels"
    ) as e:
        build(name, (1, side + 9, side), 10, seed=0)
    assert f"{side + 9}x{side}" in str(e.value)
    assert ("for this size: " in str(e.value)) == (side >= 4)
