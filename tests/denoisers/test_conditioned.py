"""The other parameterisations against their closed forms, and as networks that train, save and load."""

import pytest
import torch

from scorevid.denoisers.conditioned import EDM, Flow, Noise, Preconditioned, Regression, build_network
from scorevid.denoisers.weights import load_denoiser, save_denoiser
from scorevid.noise.prior import NoisePrior, PastNoise
from scorevid.studies.ablations import PEERS
from scorevid.training.runs import open_run
from scorevid.training.steps import Settings, noisy_batch
from scorevid.training.trainer import Trainer
from scorevid.worlds.leaves.world import Leaves

WORLD = Leaves(size=8, n_disks=1, memory=2, radius=(1.5, 2.5))
KINDS = (EDM(), Flow(), Noise())
FOLDER = "scorevid/denoisers/weights/peers"


def batch(n=6, seed=0):
    y, c, x, sigma = noisy_batch(WORLD, NoisePrior(), n, torch.Generator().manual_seed(seed))
    return y.double(), c.double(), x.double(), sigma.double()


def preconditioned(kind, **changes):
    torch.manual_seed(0)
    return Preconditioned(2, (4, 8), kind, **changes).double().eval()


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_the_denoisers_error_in_units_of_c_out(kind):
    """‖F − target‖² = ‖D − x‖² / (s c_out)², by definition of both."""
    y, c, x, sigma = batch()
    f = preconditioned(kind, sigma_data=0.3)
    level = sigma / 0.3
    c_out = {EDM(): level / (1 + level**2).sqrt(), Flow(): level / (1 + level), Noise(): level}[kind]
    error = ((f(y, c, sigma.flatten()) - x) / (0.3 * c_out)).square().mean()
    torch.testing.assert_close(f.squared_error(y, c, x, sigma), error)


def test_flow_matching_estimates_the_velocity():
    """On the path x_t = t x + (1 − t) z, in units of sigma_data about mid-grey, F's target is x − z."""
    y, c, x, sigma = batch()
    f = preconditioned(Flow(), sigma_data=0.3)
    t = 1 / (1 + sigma / 0.3)
    clean, z = (x - 0.5) / 0.3, (y - x) / sigma
    seen = {}

    def velocity(y, c):
        seen["x_t"] = y
        return clean - z

    f.backbone.forward = velocity
    assert f.squared_error(y, c, x, sigma) < 1e-20
    torch.testing.assert_close(seen["x_t"], t * clean + (1 - t) * z)


def test_the_third_kind_estimates_the_noise():
    """D = y − σF and F's target is z; would catch another sign, unit or weight: the loss is ‖D − x‖² / σ²."""
    y, c, x, sigma = batch()
    f, seen = preconditioned(Noise(), sigma_data=0.3), {}
    z = (y - x) / sigma

    def estimate(y, c):
        seen["input"] = y
        return z + 0.1

    f.backbone.forward = estimate
    torch.testing.assert_close(f(y, c, sigma.flatten()), y - sigma * (z + 0.1))
    torch.testing.assert_close(seen["input"], (y - 0.5) / (0.3**2 + sigma**2).sqrt())
    loss = f.squared_error(y, c, x, sigma)
    assert loss.item() == pytest.approx(0.01)
    torch.testing.assert_close(loss, ((f(y, c, sigma.flatten()) - x) / sigma).square().mean())


def test_a_masked_past_is_told_from_one_of_mid_grey():
    """Would catch an encoding about mid-grey by which a masked past looks like a possible one."""
    y, c, x, sigma = batch()
    f, seen = preconditioned(Noise(), sigma_data=0.3), []
    f.backbone.forward = lambda y, c: seen.append(c[:, :2]) or y
    for past in (PastNoise(mask=1.0).put_on(c, torch.Generator()), torch.full_like(c, 0.5), c):
        f.squared_error(y, past, x, sigma)
    masked, grey, clean = seen
    assert (masked == -0.5 / 0.3).all() and (grey == 0).all()
    assert (clean - masked).flatten(1).norm(dim=1).min() > 1


def test_edm_has_inputs_and_targets_of_unit_variance():
    x = 0.5 + 0.2 * torch.randn(4000, 1, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    z = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for sigma in (0.02, 0.2, 2.0):
        level = torch.tensor(sigma / 0.2)
        scaled = (x + sigma * z - 0.5) / 0.2
        c_in, c_skip, c_out, _ = EDM().coefficients(level)
        assert (c_in * scaled).std().item() == pytest.approx(1, rel=0.02)
        target = ((x - 0.5) / 0.2 - c_skip * scaled) / c_out
        assert target.std().item() == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_preconditioned_networks_pass_clean_frames_at_no_noise(kind):
    y, c, _, _ = batch()
    torch.testing.assert_close(preconditioned(kind)(y, c, 1e-9), y)


@pytest.mark.parametrize("kind", KINDS)
def test_levels_may_differ_from_row_to_row(kind):
    y, c, _, sigma = batch()
    f = preconditioned(kind)
    together = f(y, c, sigma.flatten())
    for k in range(len(y)):
        torch.testing.assert_close(together[k : k + 1], f(y[k : k + 1], c[k : k + 1], sigma[k].item()))


def test_regression_looks_at_the_past_only():
    y, c, x, sigma = batch()
    f = Regression(2, (4, 8)).double().eval()
    torch.testing.assert_close(f(y, c), f(None, c), rtol=0, atol=0)
    torch.testing.assert_close(f.squared_error(y, c, x, sigma), (f(None, c) - x).square().mean())
    assert (f(y, c) - f(y, c.flip(1))).abs().max() > 0


@pytest.mark.parametrize(
    "config", [{"type": "Preconditioned", "kind": k} for k in ("EDM", "Flow", "Noise")] + [{"type": "Regression"}, {}]
)
def test_they_train_resume_save_and_load(config, tmp_path):
    torch.manual_seed(0)
    network = build_network({"memory": 2, "widths": [4, 8]} | config)
    Trainer(network, WORLD, Settings(steps=4, batch=4, compile=False), tmp_path / "run").run(progress=False)
    again = open_run(tmp_path / "run", steps=6)
    assert again.run(progress=False) and type(again.network) is type(network)
    save_denoiser(again.denoiser(), "a", {}, tmp_path)
    loaded = load_denoiser("a", tmp_path)
    y, c, _, _ = (v.float() for v in batch())
    torch.testing.assert_close(loaded(y, c, 0.3), again.denoiser()(y, c, 0.3))


@pytest.mark.parametrize(("kind", "new"), [("edm", EDM()), ("flow", Flow())])
def test_cards_of_version_0_1_describe_the_same_network(kind, new):
    """They name the type Told, the kind in small letters and sigma_data "spread"."""
    network = build_network({"type": "Told", "memory": 1, "widths": [4], "kind": kind, "spread": 0.2})
    assert (network.kind, network.sigma_data, network.needs_sigma) == (new, 0.2, True)
    assert build_network(network.config).config == network.config


@pytest.mark.parametrize("kind", KINDS)
def test_training_reduces_the_error(kind, tmp_path):
    torch.manual_seed(0)
    trainer = Trainer(Preconditioned(2, (8, 16), kind), WORLD, Settings(steps=120, batch=16, compile=False), tmp_path)
    y, c, x, sigma = (v.float() for v in batch(64, seed=9))
    before = trainer.denoiser()(y, c, sigma.flatten())
    trainer.run(progress=False)
    after = trainer.denoiser()(y, c, sigma.flatten())
    assert (after - x).square().mean() < 0.5 * (before - x).square().mean()


def test_published_peers_are_of_one_budget():
    """Equal processor time for the three denoisers; regression, an easier task, had less."""
    cards = {name: load_denoiser(name, FOLDER).card for name in PEERS}
    assert all(card["noise"]["law"] == "peaked" and card["training"]["batch"] == 48 for card in cards.values())
    hours = [cards[name]["training"]["hours"] for name in ("blind", "edm", "flow")]
    assert max(hours) < 1.25 * min(hours)  # a plan is made from the speed at the start


def test_published_regression_predicts_better_than_copying():
    c, x = Leaves().draw(64, torch.Generator().manual_seed(5))
    f = load_denoiser("regression", FOLDER)
    assert (f(None, c) - x).square().mean() < 0.5 * (c[:, -1:] - x).square().mean()


@pytest.mark.parametrize(
    "call",
    [
        lambda: build_network({"type": "Preconditioned", "kind": "DDPM"}),
        lambda: Preconditioned(2, (4,), sigma_data=0.0),
        lambda: Regression(0, (4,)),
        lambda: build_network({"type": "GAN"}),
        lambda: preconditioned(EDM())(*batch()[:2], torch.ones(2)),
        lambda: preconditioned(EDM())(*batch()[:2]),
        lambda: preconditioned(EDM())(*batch()[:2], -1.0),
        lambda: preconditioned(Flow())(*batch()[:2], float("nan")),
        lambda: preconditioned(EDM())(batch()[0], batch()[1][:, :1], 1.0),
        lambda: preconditioned(EDM())(batch()[0].long(), batch()[1], 1.0),
        lambda: preconditioned(EDM())(batch()[0][:3], batch()[1], 1.0),
        lambda: Regression(2, (4,))(None, torch.zeros(1, 3, 4, 4)),
    ],
)
def test_bad_input(call):
    with pytest.raises(ValueError):
        call()
