"""Published weights: whole, unchanged, and described by their card."""

import hashlib
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


def test_a_card_that_is_none_is_refused(copy):
    """Half a file, the pointer of Git LFS, and JSON about something else: never a traceback from within."""
    for content in ("", '{"sha256": "0', "version https://git-lfs.github.com/spec/v1\n", "[1, 2]", '{"name": "a"}'):
        (copy / "leaves-32.json").write_text(content)
        with pytest.raises(DamagedWeights, match=r"leaves-32\.json is not a card"):
            scorevid.load_denoiser("leaves-32", copy)


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\n", None])
def test_a_file_that_does_not_hold_the_network_is_refused(copy, content):
    """Also where the card has its sha256: no weights at all, or those of another network."""
    path, card = copy / "leaves-32.safetensors", json.loads((copy / "leaves-32.json").read_text())
    path.write_bytes((FOLDER / "gaussian-32.safetensors").read_bytes() if content is None else content)
    card["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (copy / "leaves-32.json").write_text(json.dumps(card))
    with pytest.raises(DamagedWeights, match="does not hold the network"):
        scorevid.load_denoiser("leaves-32", copy)


def test_a_network_of_a_later_version_is_refused(copy):
    card = json.loads((copy / "leaves-32.json").read_text())
    (copy / "leaves-32.json").write_text(json.dumps(card | {"network": card["network"] | {"attention": True}}))
    with pytest.raises(ValueError, match=r"of this version of scorevid.*attention"):
        scorevid.load_denoiser("leaves-32", copy)


def test_weights_of_a_subfolder_are_found_by_its_name():
    assert scorevid.load_denoiser("peers/edm").needs_sigma


@pytest.mark.parametrize("name", ["leaves-32", "peers/edm", "peers/regression"])
@pytest.mark.parametrize("default", [torch.float32, torch.float64])
def test_any_precision_of_frames_serves(name, default):
    """Networks compute in the precision of their weights, whatever torch's default, and answer in that of y."""
    torch.set_default_dtype(default)
    try:
        f = scorevid.load_denoiser(name)
    finally:
        torch.set_default_dtype(torch.float32)
    assert {p.dtype for p in f.parameters()} == {torch.float32}
    y, c = torch.rand(2, 1, 32, 32), torch.rand(2, 2, 32, 32)
    expected = f(y, c, 0.3)
    for dtype, tolerance in ((torch.float64, 1e-5), (torch.float16, 2e-2)):
        found = f(y.to(dtype), c.to(dtype), 0.3)
        assert found.dtype == dtype
        torch.testing.assert_close(found.float(), expected, atol=tolerance, rtol=0)
    assert f(y, c.double(), 0.3).dtype == (torch.float64 if name == "peers/regression" else torch.float32)
    with pytest.raises(ValueError, match="floating-point"):
        f(y, (255 * c).byte(), 0.3)
