"""One network, several memories: frames that are not there count for nothing, and neither do new ones at first."""

import pytest
import torch

from scorevid.denoisers.conditioned import Regression
from scorevid.denoisers.memory import ShorterMemory, with_longer_memory
from scorevid.denoisers.unet import UNet


def network(memory=2, widths=(4, 8)):
    torch.manual_seed(0)
    return UNet(memory, widths).eval()


def frames(memory, n=3, size=8):
    generator = torch.Generator().manual_seed(memory)
    return torch.rand(n, 1, size, size, generator=generator), torch.rand(n, memory, size, size, generator=generator)


def test_a_shorter_memory_sees_the_latest_frames_alone():
    f, (y, c) = network(4), frames(4)
    cut = c.clone()
    cut[:, :2] = 0
    with torch.no_grad():
        torch.testing.assert_close(ShorterMemory(f, 2)(y, c[:, 2:]), f(y, cut))
        assert torch.equal(ShorterMemory(f, 4)(y, c), f(y, c))
        short = ShorterMemory(f, 2)
        torch.testing.assert_close(short(3 * y, 3 * c[:, 2:]), 3 * short(y, c[:, 2:]))
    assert short.memory == 2 and not short.needs_sigma and not short.training
    assert ShorterMemory(f.train(), 2).training


@pytest.mark.parametrize("memory", [-1, 5, 1.0])
def test_memories_that_a_network_does_not_have_are_refused(memory):
    with pytest.raises(ValueError, match="memory must be"):
        ShorterMemory(network(4), memory)


def test_a_past_of_another_length_is_refused():
    y, c = frames(4)
    with pytest.raises(ValueError, match="c must"):
        ShorterMemory(network(4), 2)(y, c)


def test_a_longer_memory_gives_what_the_shorter_gave():
    f, (y, c) = network(), frames(5)
    longer = with_longer_memory(f, f.config | {"memory": 5})
    with torch.no_grad():
        torch.testing.assert_close(longer(y, c), f(y, c[:, 3:]))
        torch.testing.assert_close(ShorterMemory(longer, 2)(y, c[:, 3:]), f(y, c[:, 3:]))
    assert longer.memory == 5 and longer.encoder[0][0].conv.weight.shape[1] == 6


def test_networks_that_differ_in_more_than_their_memory_are_refused():
    f = network()
    for config, problem in (
        (f.config | {"widths": [4, 16]}, "differs in its memory alone"),
        (f.config | {"memory": 1}, "memory must be at least"),
        (f.config | {"bias": True}, "differs in its memory alone"),
    ):
        with pytest.raises(ValueError, match=problem):
            with_longer_memory(f, config)
    other = Regression(2, (4, 8))
    with pytest.raises(ValueError, match="UNet"):
        with_longer_memory(other, other.config)
