"""Places in a scene are what their names say."""

import pytest
import torch

from scorevid.worlds.leaves.next_frames import futures
from scorevid.worlds.leaves.probes import PROBES, probe_pixels
from scorevid.worlds.leaves.world import Leaves


def value(frames, at):
    rows = torch.arange(len(frames))
    return frames[rows, :, at[:, 0], at[:, 1]]


@pytest.fixture(scope="module")
def meeting():
    world = Leaves(n_disks=2, speed=(1.0, 2.5))
    scenes = world.meetings(200, torch.Generator().manual_seed(0))
    whole = ((scenes.position - 15.5).abs() < 15.5 - scenes.radius[..., None]).all(2).all(1)
    return scenes[whole]


def test_places_are_pixels_and_all_are_named(meeting):
    found = probe_pixels(meeting)
    assert found.keys() == PROBES.keys()
    for at in found.values():
        assert at.shape == (len(meeting), 2) and at.dtype == torch.long and at.min() >= 0 and at.max() < 32


def test_ground_is_ground_in_every_frame(meeting):
    assert (value(meeting.video(), probe_pixels(meeting)["ground"]) == 0.5).all()


def test_the_inside_of_a_disk_is_the_disk(meeting):
    front = meeting[meeting.depth[:, 0] == 0]
    torch.testing.assert_close(value(front.next_frame(), probe_pixels(front)["inside"])[:, 0], front.grey[:, 0])


def test_the_back_edge_was_covered_before(meeting):
    alone = meeting.replace(depth=torch.tensor([0, 1]).expand_as(meeting.depth))
    seen = value(alone.video(), probe_pixels(alone)["back edge"])
    fast = alone.velocity[:, 0].norm(dim=1) > 1.5
    assert (((seen - alone.grey[:, :1]).abs() < 0.05)[fast, 1]).float().mean() > 0.5
    assert ((seen - alone.grey[:, :1]).abs()[:, 2] > 0.1).float().mean() > 0.9


def test_the_overlap_is_where_the_futures_differ(meeting):
    where = futures(meeting).where()
    assert value(where.float(), probe_pixels(meeting)["overlap"]).mean() > 0.95


def test_outside_of_the_overlap_the_future_is_certain(meeting):
    where = futures(meeting).where().float()
    for name, at in probe_pixels(meeting).items():
        if name != "overlap":
            assert value(where, at).sum() <= 0.05 * len(meeting), name


def test_a_single_disk_has_no_overlap():
    with pytest.raises(ValueError, match="two disks"):
        probe_pixels(Leaves(n_disks=1).scenes(1, torch.Generator().manual_seed(0)))
