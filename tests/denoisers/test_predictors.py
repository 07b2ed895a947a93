"""ConvLSTM and SimVP against their definitions, and as networks that train, save and load."""

import math

import pytest
import torch

from scorevid.denoisers.conditioned import Preconditioned, Regression, build_network
from scorevid.denoisers.predictors.convlstm import ConvLSTM, Layer
from scorevid.denoisers.predictors.simvp import Inception, SimVP
from scorevid.denoisers.unet import UNet
from scorevid.denoisers.weights import load_denoiser, save_denoiser
from scorevid.training.runs import open_run
from scorevid.training.steps import Settings
from scorevid.training.trainer import Trainer
from scorevid.worlds.leaves.world import Leaves

SMALL = {
    ConvLSTM: {"memory": 3, "widths": [4, 6], "layers": 2},
    SimVP: {"memory": 3, "widths": [4, 6], "hidden": 8, "blocks": 2},
}
BOTH = pytest.mark.parametrize("kind", list(SMALL))


def network(kind, **changes):
    torch.manual_seed(0)
    return kind(**SMALL[kind] | changes).double()


def past(n=3, memory=3, size=(8, 12), seed=0):
    return torch.rand(n, memory, *size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@BOTH
def test_they_predict_a_frame_from_the_past_alone(kind):
    """Would catch a prediction or a loss that looks at the noisy frame, and one of another shape or type."""
    f, c = network(kind), past()
    x, nothing = past(memory=1, seed=1), torch.full((3, 1, 8, 12), torch.nan, dtype=torch.float64)
    found = f(None, c)
    assert found.shape == (3, 1, 8, 12) and found.dtype == torch.float64
    assert torch.equal(f(nothing, c, 0.3), found)
    torch.testing.assert_close(f.squared_error(nothing, c, x, None), (found - x).square().mean())
    assert not f.needs_sigma
    assert f.float()(None, c).dtype == torch.float64  # the network computes in its own type


@BOTH
def test_a_prediction_does_not_depend_on_the_rest_of_the_batch(kind):
    """Would catch statistics of the batch, in training mode as well: there are none that evaluation has to guess."""
    f, c = network(kind).train(), past()
    torch.testing.assert_close(f(None, c)[1:2], f(None, c[1:2]))
    assert torch.equal(f(None, c), f.eval()(None, c))


@BOTH
def test_every_past_frame_counts_and_so_does_their_order(kind):
    """Would catch a translator or a state that leaves out frames, and one that takes them for a set."""
    f, c = network(kind), past(n=1).requires_grad_()
    (gradient,) = torch.autograd.grad(f(None, c).square().sum(), c)
    assert (gradient.abs().amax((0, 2, 3)) > 1e-5).all()
    assert (f(None, c) - f(None, c.flip(1))).abs().max() > 1e-4


def test_a_layer_on_one_pixel_is_the_lstm_of_the_paper():
    """Equation 3 written out in numbers; would catch gates that are mixed up, and an output gate that sees the old cell."""
    torch.manual_seed(1)
    layer = Layer(1, 1).double()
    torch.nn.init.normal_(layer.peepholes)
    w, b, u = layer.look.weight[:, 0, 1, 1].tolist(), layer.look.bias.tolist(), layer.carry.weight[:, 0, 1, 1].tolist()
    peep_i, peep_f, peep_o = layer.peepholes.flatten().tolist()
    h = cell = 0.0
    frames, states = [0.7, -1.3, 2.1, 0.4], []
    for x in frames:
        i, f, g, o = (w[k] * x + u[k] * h + b[k] for k in range(4))
        i, f = (1 / (1 + math.exp(-v)) for v in (i + peep_i * cell, f + peep_f * cell))
        cell = f * cell + i * math.tanh(g)
        h = math.tanh(cell) / (1 + math.exp(-(o + peep_o * cell)))
        states.append(h)
    found = layer(torch.tensor(frames, dtype=torch.float64).reshape(1, 4, 1, 1, 1))
    torch.testing.assert_close(found.flatten(), torch.tensor(states, dtype=torch.float64))


def test_states_are_carried_no_further_than_a_pixel_a_frame_and_never_back_in_time():
    """Would catch states that see later frames, and convolutions of another size."""
    torch.manual_seed(0)
    layer = Layer(1, 3).double()
    x = torch.zeros(1, 3, 1, 9, 9, dtype=torch.float64)
    dotted = x.clone()
    dotted[0, 1, 0, 4, 4] = 1.0
    changed = (layer(dotted) - layer(x)).abs().amax((0, 2)) > 0
    assert not changed[0].any()
    assert [int(rows.any(0).sum()) for rows in changed[1:]] == [3, 5]


def test_the_recurrent_one_takes_a_past_of_any_length():
    f, c = network(ConvLSTM), past(memory=5)
    assert f(None, c).shape == (3, 1, 8, 12)
    assert (f(None, c) - f(None, c[:, -3:])).abs().max() > 0


def test_a_block_is_the_sum_of_four_sizes_of_kernels():
    """Would catch a size that is missing: what a dot reaches, and what is left of it without the largest."""
    torch.manual_seed(0)
    block = Inception(2, 8, 4).double()
    for branch in block.branches:
        branch[1] = torch.nn.Identity()  # the normalisation spreads a dot over the frame
    zero = torch.zeros(1, 2, 15, 15, dtype=torch.float64)
    dotted = zero.clone()
    dotted[0, 0, 7, 7] = 1.0
    widths = []
    while len(block.branches):
        widths.append(int(((block(dotted) - block(zero)).abs().amax((0, 1, 2)) > 0).sum()))
        del block.branches[-1]
    assert widths == [11, 7, 5, 3]
    torch.testing.assert_close(Inception(2, 8, 4)(torch.rand(1, 2, 4, 4)).shape, torch.Size((1, 4, 4, 4)))


def test_the_skip_is_from_the_latest_frame():
    """With a decoder that says nothing only the latest frame is left; would catch a skip from the oldest."""
    f, c = network(SimVP), past()
    with torch.no_grad():
        f.meet[0].weight[:, : f.widths[0]] = 0.0
    other = past(seed=2)
    assert torch.equal(f(None, torch.cat([other[:, :2], c[:, 2:]], 1)), f(None, c))
    assert (f(None, torch.cat([c[:, :2], other[:, 2:]], 1)) - f(None, c)).abs().max() > 0


def test_the_networks_that_are_compared_are_of_about_one_size():
    """Would catch defaults that give one method twice the parameters of another."""
    counts = [sum(p.numel() for p in f(3).parameters()) for f in (UNet, Preconditioned, Regression, ConvLSTM, SimVP)]
    assert max(counts) < 1.25 * min(counts)


@BOTH
def test_they_train_resume_save_and_load(kind, tmp_path):
    """Would catch a configuration that leaves out an argument, and a network that the trainer cannot take on."""
    world = Leaves(size=8, n_disks=1, memory=3, radius=(1.5, 2.5))
    torch.manual_seed(0)
    made = build_network({"type": kind.__name__, **SMALL[kind]})
    assert made.config == {"type": kind.__name__, **SMALL[kind]}
    Trainer(made, world, Settings(steps=4, batch=4, compile=False), tmp_path / "run").run(progress=False)
    again = open_run(tmp_path / "run", steps=6)
    assert again.run(progress=False) and type(again.network) is kind
    save_denoiser(again.denoiser(), "a", {}, tmp_path)
    c, _ = world.draw(4, torch.Generator().manual_seed(5))
    with torch.no_grad():
        found = load_denoiser("a", tmp_path)(None, c)
        torch.testing.assert_close(found, again.denoiser()(None, c))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        *((lambda kind=kind: network(kind)(None, past(size=(8, 9))), "multiples of 2") for kind in SMALL),
        *((lambda kind=kind: network(kind)(None, past().long()), "c must be") for kind in SMALL),
        *((lambda kind=kind: network(kind)(None, past()[0]), "c must be") for kind in SMALL),
        *((lambda kind=kind: network(kind, memory=0), "memory must be") for kind in SMALL),
        *((lambda kind=kind: network(kind, widths=()), "widths must be") for kind in SMALL),
        *((lambda kind=kind: network(kind, widths=(4, 0)), "widths must be") for kind in SMALL),
        (lambda: network(SimVP)(None, past(memory=2)), "c must be"),
        (lambda: network(SimVP, blocks=1), "blocks must be"),
        (lambda: network(SimVP, hidden=1), "hidden must be"),
        (lambda: network(ConvLSTM, layers=0), "layers must be"),
        (lambda: build_network({"type": "SimVP", "layers": 2}), "arguments of a SimVP"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
