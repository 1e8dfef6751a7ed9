import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune
from torchvision.ops import StochasticDepth

from cgpipe.networks.module import ModuleNetwork

SHAPE, CLASSES = (2, 4, 4), 3


class Written(nn.Module):
    """A module with a forward pass given as a function of itself and the images."""

    def __init__(self, forward, **layers):
        super().__init__()
        self.way = forward
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x):
        return self.way(self, x)


def linear(into=32, out=CLASSES):
    return nn.Linear(into, out)


def sequence(*between, entering=SHAPE[0]):
    """A small convolutional network with some layers in its midst."""
    return nn.Sequential(
        nn.Conv2d(entering, 4, 3, padding=1), *between, nn.Flatten(), nn.Linear(4 * 4 * 4, CLASSES)
    )


def problem(examples=4, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(examples, *SHAPE, generator=generator, dtype=dtype)
    return images, torch.arange(examples) % CLASSES


def network_of(module, seed=0):
    torch.manual_seed(seed)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return ModuleNetwork(module, SHAPE, CLASSES)


def by_layer(network, module, image, label):
    """The gradient of one example by plain autograd on the module as the user wrote it."""
    with torch.enable_grad():
        loss = functional.cross_entropy(module(image[None].clone()), label[None])
        trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
        gradients = dict(zip(trained, torch.autograd.grad(loss, list(trained.values())), strict=True))
    found = []
    for layer, of in zip(network.layers, network.parameters(), strict=True):
        paths = {name: f"{layer}.{name.replace('/', '.')}" for name in of}
        found.append(
            {name: gradients.get(path, gradients.get(path.partition(".")[2])) for name, path in paths.items()}
        )
    return found


def agree(module):
    """Hold a module's per-example gradients to plain autograd, one example at a time, in float64."""
    network = network_of(module).double()
    module = copy.deepcopy(module).double().eval()
    images, labels = problem()
    with torch.no_grad():
        expected = module(images.clone())
    found = network.pass_examples(images, labels)
    torch.testing.assert_close(found.logits, expected)
    each = [by_layer(network, module, x, y) for x, y in zip(images, labels, strict=True)]
    for number, layer in enumerate(found.layers):
        own = [gradients[number] for gradients in each]
        for name, sums in layer.sums().items():
            torch.testing.assert_close(sums, sum(of[name] for of in own))
        norms = torch.stack([sum(g.square().sum() for g in of.values()) for of in own])
        torch.testing.assert_close(layer.squared_norms(), norms)
        products = torch.stack([sum((g * own[0][name]).sum() for name, g in of.items()) for of in own])
        torch.testing.assert_close(layer.products(own[0]), products)
    parameters = sum(p.numel() for p in module.parameters() if p.requires_grad)
    assert sum(p.numel() for of in network.parameters() for p in of.values()) == parameters
    return network


# --- what a network can be ------------------------------------------------------------------------


class Block(nn.Module):
    """A residual block that adds in place, as torchvision's."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.GroupNorm(2, 4)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        out = self.norm(self.conv(x))
        out += x
        return self.relu(out)


@pytest.mark.parametrize(
    "between",
    [
        pytest.param([nn.ReLU()], id="relu"),
        pytest.param([nn.ReLU(inplace=True)], id="in-place relu"),
        pytest.param([nn.GroupNorm(2, 4), nn.ReLU(inplace=True)], id="norm"),
        pytest.param([Block(), Block()], id="residual"),
        pytest.param([nn.Tanh(), nn.Conv2d(4, 4, 1, bias=False), nn.AvgPool2d(1)], id="other layers"),
    ],
)
def test_gradients_are_those_of_plain_autograd(between):
    agree(sequence(*between))


def test_layers_are_in_the_order_of_the_forward_pass_by_their_own_names():
    module = Written(
        lambda net, x: net.last(net.first(x.flatten(1)).relu()), last=linear(5), first=linear(32, 5)
    )
    network = agree(module)
    assert network.layers == ("first", "last")
    assert list(network.state()) == ["first.weight", "first.bias", "last.weight", "last.bias"]
    assert (network.classes, network.width) == (CLASSES, 32)


def test_an_input_that_is_changed_after_it_was_used():
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(5))

        def forward(self, x):
            return (x + self.shift).relu()  # torch keeps what comes out, not what goes in

    def forward(net, x):
        h = net.first(x.flatten(1)) * 1.0
        left = net.shifted(h)
        h.add_(100)
        return net.last(left)

    agree(Written(forward, first=linear(32, 5), shifted=Shifted(), last=linear(5)))


def test_outputs_that_are_changed_in_place_and_are_views():
    class Turned(nn.Linear):
        def forward(self, x):
            return super().forward(x).unflatten(1, (2, 3)).mT

    def forward(net, x):
        h = net.turned(x.flatten(1))
        h += net.other(x.flatten(1)).unflatten(1, (3, 2)).mul_(0.5)
        h.mul_(2).relu_()
        return net.last(h.flatten(1))

    agree(Written(forward, turned=Turned(32, 6), other=linear(32, 6), last=linear(6)))


def test_parameters_of_the_network_itself():
    module = Written(lambda net, x: net.linear(x.flatten(1) + net.shift) * net.scale, linear=linear())
    module.shift, module.scale = nn.Parameter(torch.zeros(32)), nn.Parameter(torch.ones(CLASSES))
    network = agree(module)
    assert network.layers == ("linear", "Written")
    assert set(network.state()) == {"linear.weight", "linear.bias", "Written.shift", "Written.scale"}


class Attention(nn.Module):
    """Attention over four patches; the projection of its output is never called as a module."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        return x + self.attention(x, x, x, need_weights=False)[0]


def test_attention_belongs_to_the_block_around_it():
    module = Written(
        lambda net, x: net.out(net.block(x.reshape(len(x), 4, 8)).flatten(1)), block=Attention(), out=linear()
    )
    network = agree(module)
    assert network.layers == ("block", "out")
    assert "block.attention/out_proj/weight" in network.state()


def test_layers_that_see_rows_of_all_examples_belong_to_what_is_around_them():
    class Rows(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(8, 8)

        def forward(self, x):
            return self.linear(x.reshape(-1, 8)).tanh().reshape(len(x), 32)

    network = agree(Written(lambda net, x: net.out(net.rows(x)), rows=Rows(), out=linear()))
    assert network.layers == ("rows", "out")


def test_frozen_parameters_are_left_alone():
    module = sequence(nn.ReLU())
    module[0].weight.requires_grad_(False)
    network = agree(module)
    assert [list(of) for of in network.parameters()] == [["bias"], ["weight", "bias"]]
    assert set(network.state()) == {"0.weight", "0.bias", "3.weight", "3.bias"}
    module = sequence(nn.ReLU())
    module[0].requires_grad_(False)
    assert agree(module).layers == ("3",)


def test_an_output_that_does_not_reach_the_logits_for_some_images_has_no_gradient():
    def forward(net, x):
        side = net.side(x.flatten(1))
        return net.out(x.flatten(1)) + (side if float(x.detach().min()) >= 0 else side.detach())

    images, labels = problem(dtype=torch.float32)
    network = network_of(Written(forward, out=linear(), side=linear()))
    assert network.layers == ("side", "out")
    assert (network.pass_examples(images.abs(), labels).layers[0].squared_norms() > 0).all()
    assert (network.pass_examples(images, labels).layers[0].squared_norms() == 0).all()


# --- a network of its own -------------------------------------------------------------------------


def test_the_network_is_a_copy_and_its_parameters_are_live():
    module = sequence(nn.ReLU(inplace=True))
    network = network_of(module)
    images, _ = problem(dtype=torch.float32)
    before, twin, double = network.logits(images), network.copy(), network.double()
    with torch.no_grad():
        module[0].weight.zero_()
    assert torch.equal(network.logits(images), before)
    for of in network.parameters():
        of["bias"] += 1
    assert not torch.equal(network.logits(images), before)
    assert torch.equal(network.state()["0.bias"], network.parameters()[0]["bias"])
    assert torch.equal(twin.logits(images), before)
    twin.load(network.state())
    assert torch.equal(twin.logits(images), network.logits(images))
    assert double.logits(images.double()).dtype == torch.float64
    torch.testing.assert_close(double.logits(images.double()).float(), before)


def test_a_module_in_training_mode_and_the_random_stream_are_left_as_they_are():
    module = sequence(nn.ReLU(inplace=True)).train()
    state = torch.get_rng_state()
    before = [p.clone() for p in module.parameters()]
    ModuleNetwork(module, SHAPE)
    assert module.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
    assert not any(hooks for m in module.modules() for hooks in (m._forward_hooks, m._forward_pre_hooks))


def test_passes_take_some_examples_at_a_time():
    images, labels = problem(7, torch.float32)
    network = network_of(sequence(nn.ReLU()))
    parts = list(network.passes(images, labels, at_once=3))
    assert [one.part for one in parts] == [slice(0, 3), slice(3, 6), slice(6, 7)]
    whole = network.pass_examples(images, labels)
    torch.testing.assert_close(torch.cat([one.logits for one in parts]), whole.logits)
    norms = torch.cat([one.layers[0].squared_norms() for one in parts])
    torch.testing.assert_close(norms, whole.layers[0].squared_norms(), rtol=1e-5, atol=0)


def test_no_gradient_of_a_parameter_is_kept():
    images, labels = problem(dtype=torch.float32)
    network = network_of(sequence(nn.ReLU()))
    network.pass_examples(images, labels)
    assert all(p.grad is None for p in network.module.parameters())
    assert not network.logits(images).requires_grad


@pytest.mark.parametrize(
    ("name", "message"),
    [("0", "output of layer 0"), ("3", "output of layer 3")],
)
def test_where_a_value_is_not_finite(name, message):
    images, labels = problem(dtype=torch.float32)
    network = network_of(sequence(nn.ReLU()))
    assert network.non_finite(images, labels) == ""
    network.state()[f"{name}.bias"].fill_(torch.inf)
    assert network.non_finite(images, labels) == f"the {message} is not finite"


def test_a_gradient_that_is_not_finite():
    network = network_of(
        Written(
            lambda net, x: net.out(net.first(x.flatten(1)).abs().sqrt()), first=linear(32, 5), out=linear(5)
        )
    )
    images, labels = problem(dtype=torch.float32)
    for value in network.state().values():
        value.mul_(0 if len(value) == 5 else 1)
    assert network.non_finite(images, labels) == "the gradient at the output of layer first is not finite"


# --- activity -------------------------------------------------------------------------------------


def test_active_units_of_any_relu():
    class Own(nn.ReLU):
        pass

    def forward(net, x):
        h = net.own(net.conv(x))
        h = net.relu(functional.relu(h - 0.2) - 0.3)
        h = net.relu(
            h - 0.1,
        )
        h = net.six(net.inner(h))
        return net.out(torch.relu(h - 0.1).flatten(1))

    module = Written(
        forward,
        conv=nn.Conv2d(2, 2, 1),
        own=Own(),
        relu=nn.ReLU(inplace=True),
        six=nn.ReLU6(),
        inner=Written(lambda net, x: (x - 0.1).relu_() + net.leaky(x), leaky=nn.LeakyReLU()),
        out=linear(),
    )
    network = network_of(module)
    assert network.activations == ("own", "relu", "relu:2", "relu:3", "inner.relu", "six", "relu:4")
    images, _ = problem(5, torch.float32)
    logits, counts = network.active(images)
    assert torch.equal(logits, network.logits(images))
    left = functional.conv2d(images, network.module.conv.weight, network.module.conv.bias)
    expected = []
    for shift in (0, 0.2, 0.3, 0.1):
        left = (left - shift).clamp(min=0)
        expected.append((left > 0).sum(0))
    for found, count in zip(counts, expected, strict=False):
        assert found.dtype == torch.int64
        assert torch.equal(found, count)
    assert len(counts) == 7
    assert expected[0].max() > expected[3].max() > 0


@pytest.mark.parametrize(
    ("to", "back"),
    [
        (lambda x: x.reshape(-1, 8), lambda h: h.reshape(-1, 4, 8)),  # rows of all examples
        (lambda x: x.reshape(-1, 4, 8).transpose(0, 1), lambda h: h.transpose(0, 1)),  # tokens first
    ],
)
def test_relus_whose_first_axis_is_not_the_examples_are_not_counted(to, back):
    def forward(net, x):
        h = net.inner(to(x))
        return net.out(net.last(back(h).flatten(1)))

    inner = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
    module = Written(forward, inner=inner, last=nn.ReLU(), out=linear())
    with pytest.warns(UserWarning, match=r"inner\.1: the first axis of what it gives is not the examples"):
        network = ModuleNetwork(module, SHAPE, CLASSES)
    assert network.activations == ("last",)
    images, _ = problem(5, torch.float32)
    (count,) = network.active(images)[1]
    h = back(module.inner(to(images))).flatten(1)
    assert torch.equal(count, (h > 0).sum(0))


def test_a_layer_whose_weight_was_set_anew_has_its_bias_last():
    module = sequence(nn.Conv2d(4, 4, 1), nn.ReLU())
    for layer in (module[0], module[1], module[-1]):
        prune.l1_unstructured(layer, "weight", 0.5)
        prune.remove(layer, "weight")
    assert [name for name, _ in module[-1].named_parameters()] == ["bias", "weight"]
    network = agree(module)
    assert [list(of) for of in network.parameters()] == 3 * [["weight", "bias"]]
    assert network.cosine_to_training(*problem()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("kept_in", ["another layer", "a list"])
def test_a_buffer_that_several_hold_may_change_in_training(kept_in):
    """It is one of the batch-norm kind: accepted with their warning, and drawn from no random numbers."""

    class Centre(nn.Module):
        def __init__(self, mean=None):
            super().__init__()
            self.register_buffer("mean", torch.zeros(1) if mean is None else mean)

        def forward(self, x):
            if self.training:
                self.mean.mul_(0.9).add_(0.1 * x.detach().mean())
            return x - self.mean

    first = Centre()
    second = Centre(first.mean) if kept_in == "another layer" else nn.Identity()
    module = Written(
        lambda net, x: net.a(net.second(net.first(x)).flatten(1)), second=second, first=first, a=linear()
    )
    if kept_in == "a list":
        module.held = [first.mean]
        module.way = lambda net, x: net.a(net.first(x + net.held[0]).flatten(1))
    with pytest.warns(UserWarning, match="taken in eval mode"):
        ModuleNetwork(module, SHAPE, CLASSES)


# --- batch normalization --------------------------------------------------------------------------


def normalized():
    module = sequence(nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4))
    module[1].running_mean.normal_()
    return module


def test_batch_normalization_is_taken_with_saved_statistics_and_one_warning():
    module = normalized()
    with pytest.warns(
        UserWarning, match=r"layer 1 and 1 more: taken in eval mode, with saved statistics"
    ) as warned:
        network = agree(module)
    assert len(warned) == 1
    assert torch.equal(network.state()["1.running_mean"], module[1].running_mean.double())
    with pytest.raises(ValueError, match=r"layer 1 and 1 more: .*or use GroupNorm"):
        network.require_per_example_gradients()


def user_batch_norm():
    def forward(net, x):
        x = functional.batch_norm(x, net.mean, net.variance, training=net.training)
        return net.a(x.flatten(1))

    module = Written(forward, a=linear())
    module.register_buffer("mean", torch.zeros(2))
    module.register_buffer("variance", torch.ones(2))
    return module


BY_MODE = {
    "instance norm": (
        lambda: sequence(nn.InstanceNorm2d(4, affine=True, track_running_stats=True)),
        "layer 1",
    ),
    "one's own batch norm": (user_batch_norm, "the network"),
    "spectral norm": (
        lambda: sequence(parametrizations.spectral_norm(nn.Conv2d(4, 4, 1))),
        "layer 1.parametrizations.weight.0",
    ),
    "another path": (
        lambda: Written(lambda net, x: net.a(x.flatten(1)) * (2 if net.training else 1), a=linear()),
        "the network",
    ),
}


@pytest.mark.parametrize("case", BY_MODE)
def test_what_depends_on_the_mode_is_told_and_trains_by_plain_sgd_alone(case):
    make, which = BY_MODE[case]
    with pytest.warns(UserWarning, match=f"^{which}: taken in eval mode"):
        network = ModuleNetwork(make(), SHAPE, CLASSES)
    with pytest.raises(ValueError, match=f"^{which}: in training mode it gives something else"):
        network.require_per_example_gradients()


def test_batch_normalization_that_stays_in_eval_mode_does_not_depend_on_the_mode():
    class Frozen(nn.BatchNorm2d):
        def train(self, mode=True):
            super().train(False)

    network = ModuleNetwork(sequence(Frozen(4)), SHAPE, CLASSES)
    network.require_per_example_gradients()
    images, labels = problem(6, dtype=torch.float32)
    assert network.cosine_to_training(images, labels) == pytest.approx(1, abs=1e-6)


def test_the_state_has_buffers_that_a_module_does_not_save():
    module = sequence()
    module.register_buffer("seen", torch.tensor(3.0), persistent=False)
    assert network_of(module).state()["seen"] == 3


@pytest.mark.filterwarnings("ignore:layer 1 and 1 more")
def test_how_far_the_gradient_is_from_that_of_a_training_step():
    network = network_of(normalized()).double()
    images, labels = problem(6)
    before = {name: values.clone() for name, values in network.state().items()}
    here = torch.cat(
        [g.flatten() for one in network.pass_examples(images, labels).layers for g in one.sums().values()]
    )
    module = copy.deepcopy(network.module).train()
    with torch.enable_grad():
        functional.cross_entropy(module(images), labels).backward()
    training = torch.cat([p.grad.flatten() for p in module.parameters()])
    cosine = network.cosine_to_training(images, labels)
    assert cosine == pytest.approx(float(here @ training / here.norm() / training.norm()), rel=1e-9)
    assert cosine < 0.99
    assert all(torch.equal(values, before[name]) for name, values in network.state().items())
    found = network.training_gradient(images, labels)
    torch.testing.assert_close(torch.cat([g.flatten() for of in found for g in of.values()]), training)
    assert not torch.equal(network.state()["1.running_mean"], before["1.running_mean"])
    assert not network.module.training


def test_without_batch_normalization_a_training_step_has_the_mean_of_the_gradients():
    network = network_of(sequence(nn.ReLU())).double()
    images, labels = problem()
    network.require_per_example_gradients()
    assert network.cosine_to_training(images, labels) == pytest.approx(1, abs=1e-12)
    layers = network.pass_examples(images, labels).layers
    for layer, mean in zip(layers, network.training_gradient(images, labels), strict=True):
        for name, sums in layer.sums().items():
            torch.testing.assert_close(sums / len(labels), mean[name])


# --- errors ---------------------------------------------------------------------------------------


def tied():
    module = Written(lambda net, x: net.b(net.a(x.flatten(1))), a=linear(32, 32), b=linear(32, 32))
    module.b.weight = module.a.weight
    return module


def shared():
    """A parameter that is used outside its layer's own call, too."""
    return Written(
        lambda net, x: net.out(functional.linear(net.a(x.flatten(1)).tanh(), net.a.weight)),
        a=linear(32, 32),
        out=linear(),
    )


def gated():
    """As `shared`, of a small part of the network."""

    def forward(net, x):
        h = x.flatten(1)
        return net.out(h + 1e-6 * functional.linear(net.a(h).tanh(), net.a.weight))

    return Written(forward, a=linear(32, 32), out=linear())


def own_dropout():
    rng = np.random.default_rng(0)

    def forward(net, x):
        kept = torch.from_numpy(net.rng.random(32) > 0.5) if net.training else 1
        return net.a(x.flatten(1) * kept)

    module = Written(forward, a=linear())
    module.rng = rng
    return module


def annealing():
    def forward(net, x):
        net.warmth *= 0.9 if net.training else 1
        return net.a(x.flatten(1)) / net.warmth

    module = Written(forward, a=linear())
    module.warmth = 1.0
    return module


def changing():
    class Halving(nn.Linear):
        def forward(self, x):
            return super().forward(x.mul_(0.5))

    return Written(lambda net, x: net.a(x.flatten(1) * 1.0), a=Halving(32, CLASSES))


def zeroed(module, layer=""):
    nn.init.zeros_(module.get_submodule(layer).weight)
    return module


def hooked_gradient():
    module = Written(lambda net, x: net.a(x.flatten(1)), a=linear())
    module.a.weight.register_hook(lambda gradient: gradient * 0)
    return module


def keeping():
    def forward(net, x):
        net.h = net.a(x.flatten(1))
        return net.h * 2

    return Written(forward, a=linear())


def pruned(layer):
    prune.l1_unstructured(layer, "weight", 0.5)
    return layer


def frozen_part():
    def forward(net, x):
        with torch.no_grad():
            h = net.a(x.flatten(1))
        return net.b(h)

    return Written(forward, a=linear(32, 5), b=linear(5))


def counting():
    def forward(net, x):
        net.calls += 1
        return net.a(x.flatten(1))

    module = Written(forward, a=linear())
    module.register_buffer("calls", torch.zeros(()))
    return module


ERRORS = {
    "tied weights": (tied, r"parameters a\.weight and b\.weight are the same \(tied weights\)"),
    "a layer called twice": (
        lambda: Written(lambda net, x: net.out(net.a(net.a(x.flatten(1)))), a=linear(32, 32), out=linear()),
        r"layer a \(Linear\) is called 2 times",
    ),
    "one module under two names": (
        lambda: sequence(nn.Flatten(), *[linear(64, 64)] * 2, nn.Unflatten(1, (4, 4, 4))),
        r"parameters 2\.weight and 3\.weight are the same",
    ),
    "no parameters": (nn.Flatten, r"the network \(Flatten\) has no parameters"),
    "all frozen": (lambda: sequence().requires_grad_(False), "no parameters that need a gradient"),
    "used outside its call": (shared, r"layer a \(Linear\): gradients of single examples do not add up"),
    "a layer that changes its input": (
        changing,
        r"layer a \(Halving\) has no gradients .* by torch\.func: .*in-place",
    ),
    "unused": (
        lambda: Written(lambda net, x: net.a(x.flatten(1)), a=linear(), auxiliary=linear()),
        r"parameter auxiliary\.weight takes no part in the forward pass",
    ),
    "dropout": (lambda: sequence(nn.ReLU(), nn.Dropout(0.5)), r"layer 2 \(Dropout\) .*draws random numbers"),
    "noise": (
        lambda: Written(lambda net, x: net.a((x + torch.randn_like(x)).flatten(1)), a=linear()),
        r"draws random numbers",
    ),
    "statistics of the batch": (
        lambda: sequence(nn.BatchNorm2d(4, track_running_stats=False)),
        r"layer 1 \(BatchNorm2d\) gives something else for an image alone",
    ),
    "examples that mix": (
        lambda: Written(lambda net, x: net.a(x.flatten(1)).softmax(0), a=linear()),
        r"the network \(Written\) gives something else for an image alone",
    ),
    "wrong channels": (
        lambda: sequence(entering=3),
        r"images of 2x4x4 \(channels, rows, columns\): layer 0 \(Conv2d\) raised RuntimeError: .*expected",
    ),
    "wrong size": (
        lambda: sequence(nn.MaxPool2d(2)),
        r"layer 3 \(Linear\) raised RuntimeError: .*mat1 and mat2",
    ),
    "a bug": (
        lambda: Written(lambda net, x: net.a(x.flatten(1)).nothing, a=linear()),
        r"the network \(Written\) raised AttributeError: .*nothing.* \(at .*test_module\.py:\d+\)",
    ),
    "other classes": (
        lambda: nn.Sequential(nn.Flatten(), linear(32, 5)),
        r"returns torch\.float32, shape \(3, 5\) for 3 images: .*\(batch, classes\) = \(3, 3\)",
    ),
    "maps": (lambda: nn.Conv2d(2, CLASSES, 1), r"returns torch\.float32, shape \(3, 3, 4, 4\)"),
    "a mean over the batch": (
        lambda: Written(lambda net, x: net.a(x.flatten(1)).mean(0), a=linear()),
        r"shape \(3,\) for 3 images",
    ),
    "probabilities": (
        lambda: nn.Sequential(nn.Flatten(), linear(), nn.Softmax(1)),
        r"the network \(Sequential\) returns probabilities: let it return logits",
    ),
    "a tuple": (lambda: Written(lambda net, x: (net.a(x.flatten(1)),), a=linear()), "returns tuple"),
    "classes": (
        lambda: Written(lambda net, x: net.a(x.flatten(1)).round().long(), a=linear()),
        r"returns torch\.int64",
    ),
    "images changed in place": (
        lambda: Written(lambda net, x: net.a(x.relu_().flatten(1)), a=linear()),
        "changes its images in place",
    ),
    "stochastic depth": (
        lambda: sequence(nn.ReLU(), StochasticDepth(0.01, "batch")),
        r"layer 2 \(StochasticDepth\) draws random numbers",
    ),
    "dropout before weights of 0": (
        lambda: Written(
            lambda net, x: net.a(functional.dropout(x.flatten(1), 0.5, net.training)), a=zeroed(linear())
        ),
        r"the network \(Written\) draws random numbers",
    ),
    "lazy": (lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), r"parameter 1\.weight has no values yet"),
    "used outside its call, below weights of 0": (
        lambda: zeroed(shared(), "out"),
        r"layer a \(Linear\): gradients of single examples do not add up",
    ),
    "used outside its call, in a part that counts for little": (
        gated,
        r"layer a \(Linear\): gradients of single examples do not add up",
    ),
    "random numbers of its own in training": (own_dropout, r"layer a \(Linear\) draws random numbers"),
    "something beside buffers that changes in training": (
        annealing,
        r"gives something else when it sees the same images again: .* keep what changes in buffers",
    ),
    "a hook on a gradient": (hooked_gradient, r"parameter a\.weight has a hook on its gradient"),
    "an activation that is kept": (keeping, r"the network \(Written\) keeps h, a tensor that was computed"),
    "pruned weights": (
        lambda: sequence(pruned(nn.Conv2d(4, 4, 1))),
        r"layer 1 \(Conv2d\) keeps weight, .*prune\.remove",
    ),
    "an auxiliary head in training": (
        lambda: Written(
            lambda net, x: (net.a(x.flatten(1)), x) if net.training else net.a(x.flatten(1)), a=linear()
        ),
        "returns tuple",
    ),
    "a part without gradients": (
        frozen_part,
        r"layer a has parameters that need a gradient, and runs without",
    ),
    "float32 alone": (
        lambda: Written(lambda net, x: net.a(x.float().flatten(1)), a=linear()),
        r"in float64, .*layer a \(Linear\) raised RuntimeError: .*dtype.*x\.dtype",
    ),
    "bfloat16": (lambda: sequence().bfloat16(), r"parameter 0\.weight is torch\.bfloat16"),
    "a buffer that changes in eval mode": (
        counting,
        r"the network \(Written\) changes a buffer in eval mode",
    ),
    "no derivative": (
        lambda: Written(lambda net, x: net.a(x.flatten(1)).detach(), a=linear()),
        "has no gradient",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_name_the_layer(case):
    make, message = ERRORS[case]
    with pytest.raises(ValueError, match=message):
        ModuleNetwork(make(), SHAPE, CLASSES)


def test_a_layer_that_torch_func_does_not_take():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return x * self.scale * (2 if float(x.sum()) > 0 else 1)

    module = Written(lambda net, x: net.a(net.own(x).flatten(1)), own=Own(), a=linear())
    with pytest.raises(ValueError, match=r"layer own \(Own\) .*(torch\.func|image alone)"):
        ModuleNetwork(module, SHAPE, CLASSES)


def test_a_path_that_depends_on_the_images():
    def forward(net, x):
        h = net.a(x.flatten(1))
        left = net.b(h)
        if float(x.min()) < 0:
            h.relu_()
        return left

    network = ModuleNetwork(Written(forward, a=linear(32, 5), b=linear(5)), SHAPE, CLASSES)
    images, labels = problem(dtype=torch.float32)
    network.pass_examples(images.abs(), labels)
    with pytest.raises(ValueError, match=r"layer b is not called, or .* changed in place"):
        network.pass_examples(images, labels)
