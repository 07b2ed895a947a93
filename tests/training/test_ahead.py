"""Batches that are made ahead are the same, each made once."""

import threading

import numpy as np
import pytest
import torch
from made_video import write_video

from scorevid import UNet
from scorevid.training import Settings, Trainer
from scorevid.training.ahead import Ahead
from scorevid.worlds.clips.world import Clips


@pytest.mark.parametrize("ahead", [False, True])
def test_each_step_gets_its_own_batch(ahead):
    made = []
    batches = Ahead(lambda step: made.append(step) or 10 * step)
    batches.start(ahead)
    assert [batches(step) for step in (3, 4, 5, 9, 10)] == [30, 40, 50, 90, 100]
    assert sorted(made)[:3] == [3, 4, 5] and (6 in made) == ahead


def test_the_next_one_is_made_by_another_thread_while_this_one_is_used():
    makers = {}
    done = threading.Event()

    def make(step):
        makers[step] = threading.current_thread()
        if step == 1:
            done.set()
        return step

    batches = Ahead(make)
    batches.start(True)
    batches(0)
    assert done.wait(10) and makers[0] is threading.current_thread() and makers[1] is not makers[0]


def test_what_goes_wrong_is_said_at_the_step_that_it_belongs_to():
    batches = Ahead(lambda step: 1 // (2 - step))
    batches.start(True)
    assert (batches(0), batches(1)) == (0, 1)
    with pytest.raises(ZeroDivisionError):
        batches(2)


def test_one_that_was_made_before_a_new_start_is_forgotten():
    made = iter(range(9))
    batches = Ahead(lambda step: next(made))
    batches.start(True)
    assert batches(0) == 0
    batches.start(False)
    assert batches(1) > 0 and batches._pending is None


@pytest.mark.filterwarnings("ignore")
def test_training_from_the_disk_is_training_from_memory(tmp_path, monkeypatch):
    """To the bit: places are drawn evenly, which is done alike."""
    monkeypatch.setenv("SCOREVID_CACHE", str(tmp_path / "cache"))
    frames = np.random.default_rng(0).integers(0, 256, (24, 40, 52), dtype=np.uint8)
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "a.mkv", frames)
    np.savez(tmp_path / "arrays.npz", a=frames)
    weights = []
    for source in ("videos", "arrays.npz"):
        world = Clips(source=str(tmp_path / source), size=16, height=40, motion=0.0, hold_out=0.0)
        assert world.streams == (source == "videos")
        torch.manual_seed(0)
        trainer = Trainer(UNet(2, (4,)), world, Settings(steps=6, batch=4, compile=False), tmp_path / f"run-{source}")
        assert trainer.run(progress=False)
        weights.append(torch.cat([p.flatten() for p in trainer.network.parameters()]))
    assert torch.equal(*weights)
