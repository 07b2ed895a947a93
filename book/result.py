"""Draws book/_static/result.png, the picture on the front page: ``make picture``."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import torch

from scorevid import figures, load_denoiser
from scorevid.runs import make_world
from scorevid.sampling import ascend
from scorevid.worlds.meetings import undecided_meetings

figures.use_style()
f = load_denoiser("leaves-32")
generator = torch.Generator().manual_seed(3)
scenes, ahead = undecided_meetings(make_world(f.card["world"]), 32, generator, odds=[0.5] * 32)
clearest = int(ahead.ambiguity().argmax())
c = scenes[clearest].past()
y = ahead[clearest].draw(generator) + 4.0 * torch.randn(1, 1, 32, 32, generator=generator)
with torch.no_grad():
    one_step = f(y, c)[0]
samples = ascend(f, c, n_samples=4, sigma_0=4.0, beta=0.5, centre="prediction", generator=generator).x[0]
titles = ["past", "past", "one step", *["sample"] * 4]
figure = figures.frames_row(torch.cat([c[0], one_step, samples]), titles=titles)
about = {"Description": f"leaves-32, sha256 {f.card['sha256']}"}  # a test holds it against the weights
figure.savefig(Path(__file__).parent / "_static" / "result.png", dpi=150, metadata=about)
