"""Published weights: whole, unchanged, and described by their card."""

import json
import shutil

import pytest
import torch

import scorevid
from scorevid.denoisers.unet import UNet
from scorevid.denoisers.weights import FOLDER, DamagedWeights, available, load_card, save_denoiser


@pytest.mark.parametrize("name", available())
def test_published_weights_load_and_denoise(name):
    f = scorevid.load_denoiser(name)
    assert not f.training and not any(p.requires_grad for p in f.parameters())
    y, c = torch.rand(2, 1, 32, 32), torch.rand(2, f.memory, 32, 32)
    assert torch.isfinite(f(y, c)).all()


@pytest.mark.parametrize("name", available())
def test_cards_say_what_a_reader_asks(name):
    card = load_card(name)
    for key in ("made", "world", "noise", "training", "machine", "versions", "licence", "evaluation", "sha256"):
        assert card[key], f"the card of {name} says nothing of {key}"
    assert card["training"]["images"] == card["training"]["steps"] * card["training"]["batch"]


def test_leaves_32_is_published():
    assert "leaves-32" in available()
    assert "leaves-32" in available("Leaves") and "gaussian-32" not in available("Leaves")


def test_a_denoiser_comes_back_as_it_was_saved(tmp_path):
    f = UNet(1, (4, 8)).eval()
    save_denoiser(f, "mine", {"made": "today"}, tmp_path)
    g = scorevid.load_denoiser("mine", tmp_path)
    y, c = torch.rand(2, 1, 8, 8), torch.rand(2, 1, 8, 8)
    for name, kept in f.state_dict().items():
        assert torch.equal(kept, g.state_dict()[name]), name
    torch.testing.assert_close(f(y, c), g(y, c))  # the same to the order of sums: the memory layout is another
    assert g.card["made"] == "today" and g.card["parameters"] == sum(p.numel() for p in f.parameters())


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="leaves-32"):
        scorevid.load_denoiser("leafs-32")


@pytest.fixture
def copy(tmp_path):
    for suffix in (".safetensors", ".json"):
        shutil.copy(FOLDER / f"leaves-32{suffix}", tmp_path)
    return tmp_path


def test_a_changed_file_is_refused(copy):
    path = copy / "leaves-32.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedWeights, match="sha256"):
        scorevid.load_denoiser("leaves-32", copy)


def test_a_truncated_and_a_missing_file_are_refused(copy):
    path = copy / "leaves-32.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedWeights, match="damaged"):
        scorevid.load_denoiser("leaves-32", copy)
    path.unlink()
    with pytest.raises(DamagedWeights, match="missing"):
        scorevid.load_denoiser("leaves-32", copy)


def test_a_card_of_another_file_is_refused(copy):
    card = json.loads((copy / "leaves-32.json").read_text())
    card["sha256"] = "0" * 64
    (copy / "leaves-32.json").write_text(json.dumps(card))
    with pytest.raises(DamagedWeights):
        scorevid.load_denoiser("leaves-32", copy)
