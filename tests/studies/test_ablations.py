"""Ablations: every variant can be built, trained for a moment, published and loaded again."""

import signal
from pathlib import Path

import pytest
import torch
import yaml

from scorevid import load_denoiser
from scorevid.companion.claims import Bound
from scorevid.denoisers.unet import UNet
from scorevid.measures.errors import identity_distances
from scorevid.studies import ablations
from scorevid.training.trainer import Trainer
from scorevid.worlds.leaves.meetings import undecided_meetings
from scorevid.worlds.leaves.world import Leaves

LEDGER = Path(__file__).parents[2] / "book" / "claims.yml"


def test_every_variant_differs_from_the_base_in_one_thing():
    for name, variant in ablations.VARIANTS.items():
        changed = [*variant.network, *variant.noise, *variant.settings]
        assert len(changed) == {"base": 0, "adam": 2}.get(name, 1)  # Adam's rate had to fall as well
        network = UNet(**{**ablations.BASE, **variant.network}).eval()
        assert network(torch.rand(1, 1, 16, 16), torch.rand(1, 2, 16, 16)).shape == (1, 1, 16, 16)


@pytest.mark.parametrize("name", ["bias", "no-normalisation", "laplace", "adam"])
def test_a_variant_is_trained_and_published(tmp_path, name, monkeypatch):
    monkeypatch.setattr(ablations, "BASE", {"memory": 2, "widths": (4, 8)})
    monkeypatch.setattr(torch, "compile", lambda function: function)
    monkeypatch.setattr("scorevid.training.runs.score_card", lambda *_: {})  # which tests of cards and commands look at
    ablations.Ablate(minutes=0.01, out=tmp_path / "runs", folder=tmp_path / "weights", only=(name,), scenes=20)()
    f = load_denoiser(name, tmp_path / "weights")
    assert f.card["training"]["images"] > 0
    y, c = torch.rand(1, 1, 32, 32), torch.rand(1, 2, 32, 32)
    homogeneous = torch.allclose(f(2 * y, 2 * c), 2 * f(y, c), rtol=1e-3, atol=1e-4)
    assert homogeneous == (name != "bias")
    kind = ablations.VARIANTS[name].noise.get("corruption", "gaussian")
    assert f.card["noise"]["corruption"] == kind


def test_an_interrupted_variant_is_not_published(tmp_path, monkeypatch):
    monkeypatch.setattr(ablations, "BASE", {"memory": 2, "widths": (4,)})
    monkeypatch.setattr(torch, "compile", lambda function: function)
    update = Trainer.update

    def interrupt(self):
        update(self)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Trainer, "update", interrupt)
    with pytest.raises(SystemExit, match="goes on"):
        ablations.Ablate(minutes=1, out=tmp_path / "runs", folder=tmp_path / "weights", only=("base",), scenes=20)()
    assert (tmp_path / "runs" / "base" / "checkpoint.pt").is_file()
    assert not (tmp_path / "weights").exists()


def test_always_answering_the_mean_of_the_futures_breaks_the_claims_about_other_noise():
    """And a published network does not: what chapter 2 decides with these bounds, on fewer scenes and one kind."""
    generator = torch.Generator().manual_seed(0)
    scenes, ahead = undecided_meetings(Leaves(), 100, generator)
    c = scenes.past()
    ledger = {claim["id"]: Bound.parse(claim["bound"]) for claim in yaml.safe_load(LEDGER.read_text())}
    network = load_denoiser("signal", ablations.FOLDER)
    found = {
        name: identity_distances(f, c, ahead, 0.1, "signal", torch.Generator().manual_seed(1), batch=len(c))
        for name, f in (("network", network), ("mean", lambda y, c: ahead.mean()))
    }
    missed = {name: d.to_optimum.sum() / d.to_score.sum() for name, d in found.items()}
    assert missed["network"] in ledger["score.break-condition"]
    assert missed["mean"] not in ledger["score.break-condition"]
    assert found["network"].excess.sum() / found["mean"].excess.sum() in ledger["score.other-noise-is-learned"]
    assert 1.0 not in ledger["score.other-noise-is-learned"]  # the mean against itself
