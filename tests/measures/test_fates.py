"""The fate of a disk that the past hides: true frames, and false ones."""

import pytest
import torch
from hidden_disks import FRAMES, N, at, generator, hidden_and_control, passing, repainted

from scorevid.measures.fates import CHANGED, DROPPED, KEPT, count_fates, fate
from scorevid.worlds.leaves.hidden import emergence, own_pixels
from scorevid.worlds.leaves.world import Leaves


def test_fates_of_frames_that_are_known():
    scenes = hidden_and_control()
    times = emergence(scenes[0], FRAMES)
    for scene in scenes:
        ground = torch.full((N,), scene.ground)
        moved = scene.replace(position=scene.position + torch.tensor([[0.0, 0.0], [0.3, -0.3]]))
        gone = scene.replace(position=scene.position + torch.tensor([[0.0, 0.0], [99.0, 0.0]]))
        noise = 0.02 * torch.randn(N, 32, 32, generator=generator())
        for x, due in (
            (at(scene, times), KEPT),
            (at(scene, times) + noise, KEPT),
            (at(moved, times), KEPT),
            (at(gone, times), DROPPED),
            (at(gone, times) + noise, DROPPED),
            (at(repainted(scene, 0.8 * scene.grey[:, 1] + 0.2 * ground), times), KEPT),
            (at(repainted(scene, 0.5 * scene.grey[:, 1] + 0.5 * ground), times), CHANGED),
            (at(repainted(scene, 0.2 * scene.grey[:, 1] + 0.8 * ground), times), DROPPED),
            (at(repainted(scene, 2 * ground - scene.grey[:, 1]), times), CHANGED),
            (at(repainted(scene, scene.grey[:, 0]), times), CHANGED),
        ):
            result = fate(x, scene, times)
            assert result.dtype == torch.long and result.tolist() == [due] * N


def test_light_and_dark_do_not_make_up_for_each_other():
    scene, times = passing(), torch.tensor([3])
    x = at(scene, times)
    where = own_pixels(scene, times)
    checks = torch.where(torch.arange(32) % 2 == 0, 0.3, -0.3).expand_as(x)
    assert checks[where].mean().abs() < 0.1
    assert fate(x + checks, scene, times).tolist() == [CHANGED]
    assert fate(x + checks / 3, scene, times).tolist() == [KEPT]


def test_each_scene_has_its_own_time():
    scene = passing()
    both = scene.replace(**{k: torch.cat([v, v]) for k, v in vars(scene).items() if torch.is_tensor(v)})
    times = torch.tensor([2, 5])
    assert fate(at(both, times), both, times).tolist() == [KEPT, KEPT]
    assert fate(at(both, times.flip(0)), both, times).tolist() == [DROPPED, DROPPED]


def test_fates_are_counted():
    assert count_fates(torch.tensor([[KEPT, DROPPED, KEPT], [CHANGED, KEPT, DROPPED]])) == {
        "kept": 3,
        "changed": 1,
        "dropped": 2,
    }
    assert count_fates(torch.zeros(0, dtype=torch.long)) == {"kept": 0, "changed": 0, "dropped": 0}
    with pytest.raises(ValueError, match="got"):
        count_fates(torch.tensor([0, 3]))


def test_bad_fates_raise():
    scenes = hidden_and_control()
    scene = scenes[0]
    times = emergence(scene, FRAMES)
    x = at(scene, times)
    for bad in (x[:-1], x[:, None], x[..., :-1], x.long(), x.tolist()):
        with pytest.raises(ValueError, match="x_hat must be"):
            fate(bad, scene, times)
    with pytest.raises(ValueError, match="finite"):
        fate(x / 0, scene, times)
    for bad in (times[:-1], times[:, None], torch.tensor(3), 3):
        with pytest.raises(ValueError, match="times must be"):
            fate(x, scene, bad)
    with pytest.raises(ValueError, match="pixels of disk 1 alone, 40 of 40"):
        fate(x, scene, torch.full((N,), -1))
    with pytest.raises(ValueError, match="ground's grey"):
        fate(x, repainted(scene, torch.full((N,), scene.ground)), times)
    with pytest.raises(ValueError, match="two disks"):
        fate(x, Leaves().scenes(N, generator()), times)
