"""Cards: what a world knows of its scenes is what a denoiser of it is judged by."""

from dataclasses import dataclass
from functools import partial

import pytest
import torch

from scorevid.denoisers.unet import UNet
from scorevid.denoisers.wiener import Wiener
from scorevid.measures.errors import SIGMAS
from scorevid.training.cards import score_card
from scorevid.worlds.clips.world import Clips
from scorevid.worlds.gaussian import Gaussian
from scorevid.worlds.leaves.world import Leaves
from scorevid.worlds.registry import TestScenes

WORLD = Leaves(size=16, n_disks=2, radius=(2.0, 4.0))


def test_a_card_is_reproducible_and_complete():
    torch.manual_seed(0)
    f = UNet(2, (4, 4)).eval()
    one, two = score_card(f, WORLD, scenes=30, seed=5), score_card(f, WORLD, scenes=30, seed=5)
    assert one == two
    assert list(one["excess_error"]) == list(one["squared_error"]) == [str(s) for s in SIGMAS]
    assert 0 < one["squared_error_copy"] < 0.1


def test_the_card_of_gaussian_video_holds_the_optimum_against_itself():
    world = Gaussian(size=16, past_noise=0.1)
    scores = score_card(partial(Wiener(world), sigma=0.3), world, scenes=50)
    assert scores["score_error"]["0.3"] == 0 < scores["score_error"]["3.0"] < scores["score_error"]["0.02"]
    assert "excess_error" not in scores


@dataclass(frozen=True)
class Still:
    """A world in which nothing moves, made in this file alone."""

    size: int = 8
    memory: int = 1
    knows: bool = False

    def draw(self, batch, generator):
        x = torch.rand(batch, 1, 8, 8, generator=generator)
        return x.clone(), x


@dataclass(frozen=True)
class StillAndLinear(Still):
    def test_scenes(self, n, generator):
        return TestScenes.draw(self, n, generator, linear=True)


def test_a_new_world_is_judged_by_what_it_provides():
    """Catches a card that has to know which worlds there are."""
    card = score_card(lambda y, c: c, Still(), scenes=10)
    assert card["squared_error_copy"] == 0 == max(card["squared_error"].values()) and card["scenes"] == 10
    assert not {"score_error", "excess_error"} & set(card)
    with pytest.raises(AttributeError):  # the Wiener filter of a world without a spectrum
        score_card(lambda y, c: c, StillAndLinear(), scenes=10)


def test_natural_video_is_judged_on_shots_for_testing():
    card = score_card(lambda y, c: c[:, -1:], Clips(), scenes=40)
    assert set(card) == {"seed", "scenes", "squared_error", "squared_error_copy"}
    assert card["squared_error"]["0.1"] == pytest.approx(card["squared_error_copy"], rel=1e-4)
