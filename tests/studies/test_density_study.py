"""What chapter 6 measures, on the exact denoiser and on made-up maps."""

import numpy as np
import pytest
import torch

from scorevid.denoisers.exact import Oracle
from scorevid.denoisers.wiener import Wiener
from scorevid.studies import density, sampling
from scorevid.studies.natural import margins, surprises
from scorevid.worlds.clips.patches import held_out
from scorevid.worlds.clips.world import Clips
from scorevid.worlds.gaussian import Gaussian
from scorevid.worlds.leaves.world import Leaves


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def scenes():
    return sampling.meetings(Leaves(size=16, radius=(2.5, 4.0)), 30, seeded(1), torch.linspace(0.2, 0.8, 30))


def test_odds_are_read_as_they_are_and_levels_add_up_to_them(scenes):
    """It would catch A and B exchanged, and levels in other units than D/2."""
    c, ahead, _ = scenes
    found = density.read_odds(Oracle(ahead, past=c), c, ahead, generator=seeded(), draws=16)
    assert np.abs(np.subtract(found["read"]["within"], found["true"])).mean() < 0.06
    level, slope = np.array(found["by_level"]["level"]), np.array(found["by_level"]["slope"])
    assert level[0] == pytest.approx(0.15) and level[-1] == pytest.approx(12)
    true, read = np.array(found["true"]), np.array(found["read"]["within"])
    added = np.trapezoid(slope[:, 0], np.log(level))
    assert added == pytest.approx((read @ true) / (true @ true), abs=0.02)  # but for what lies beyond
    assert np.allclose(found["entropy"]["true"], np.array(found["entropy"]["whole"]), atol=0.1)


def test_the_exact_score_is_a_gradient_and_a_turned_one_is_not(scenes):
    """It would catch two ways round that are the same, and halves that do not add up."""
    c, ahead, _ = scenes
    exact = Oracle(ahead, past=c)
    found = density.inconsistency(exact, c, ahead, 0.5, generator=seeded())
    for path in (found["straight"], *found["around"]):
        assert np.allclose(path, found["exact"], atol=0.05)

    class Turned:
        needs_sigma = True

        def __call__(self, y, c, sigma=None):
            d = exact(y, c, sigma) - y
            return y + d + 0.2 * d.roll(1, 3) - 0.2 * d.roll(-1, 3)  # an antisymmetric part

    one, other = density.inconsistency(Turned(), c, ahead, 0.5, generator=seeded())["around"]
    assert np.abs(np.subtract(one, other)).mean() > 0.1


def test_area_under_the_curve_counts_pairs():
    values, hit = torch.tensor([1.0, 2.0, 2.0, 3.0, 0.0]), torch.tensor([False, True, False, True, False])
    pairs = [(a > b) + 0.5 * (a == b) for a in values[hit].tolist() for b in values[~hit].tolist()]
    assert surprises.area_under_curve(values, hit) == pytest.approx(np.mean(pairs))
    with pytest.raises(ValueError, match="positive"):
        surprises.area_under_curve(values, torch.zeros(5, dtype=torch.bool))


def test_what_is_planted_lies_in_its_disk_and_is_found():
    """It would catch a mask that is not where the frame was changed, and maps in another order of pixels."""
    world = Clips(split="test", memory=2)
    patches = held_out(world, 6)
    for kind in surprises.KINDS:
        x, inside = surprises.plant(patches.x, kind, seeded())
        assert torch.equal(x[~inside], patches.x[~inside]) and not torch.equal(x[inside], patches.x[inside])
        assert 60 < inside.sum((1, 2, 3)).double().mean() < 90  # π 5²
    with pytest.raises(ValueError, match="kind"):
        surprises.plant(patches.x, "ghost", seeded())

    def perfect(y, c):
        """The next frame that the past announces, from a list."""
        return patches.x[[int((patches.c == past).all(3).all(2).all(1).nonzero()[0]) for past in c]]

    def blind(y, c):
        return torch.full_like(y, 0.5)

    perfect.memory, blind.memory = 2, 0
    records = surprises.planted_surprises(world, {"M = 2": perfect, "M = 0": blind}, patches, [0.5, 1.0])
    assert {(r["shot"], r["kind"]) for r in records} == {(s, k) for s in set(patches.clip) for k in surprises.KINDS}
    assert min(r["area"]["surprise"] for r in records if r["kind"] == "object") > 0.85


def test_bits_of_a_past_frame_are_those_of_gaussian_video():
    """Known errors at seven levels add up to the closed form: it would catch a wrong sign, base or tail."""
    sigmas = [0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0]
    world = Gaussian(contrast=0.25, past_noise=0.1)
    power, left = world.spectrum().double().numpy(), Wiener(world).unknown.double().numpy()

    def errors(variance):
        return [float((variance * s**2 / (variance + s**2)).mean()) for s in sigmas]

    found = {"M = 0": errors(power), "M = 1": errors(left)}
    listed = [{"predictor": p, "gain": None, "where": "all", "squared_error": e} for p, e in found.items()]
    bits = margins.bits([{"errors": listed}, {"errors": listed}], sigmas, "M = 0", "M = 1")
    exact = [0.5 * np.log2((power + s**2) / (left + s**2)).mean() for s in sigmas]
    assert bits.shape == (2, 7) and bits[1][:6] == pytest.approx(exact[:6], rel=0.03)
