"""Draws the picture on the front page, moving (result.gif) and still (result.png): ``make picture``.

Two past frames, then the next one as one step of denoising from strong noise answers it, and as four samples come to it.
"""

import io
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import torch
from PIL import Image

from scorevid import load_denoiser
from scorevid.companion import figures
from scorevid.measures import choices
from scorevid.sampling import solve
from scorevid.worlds.leaves import Leaves, undecided_meetings

FOLDER = Path(__file__).parent / "_static"
N_SAMPLES, SIGMA_0 = 4, 5.0
LOOK, STEP, STAY = 900, 260, 4000  # milliseconds: a past frame, a step of the sampler, the end

figures.use_style()
f = load_denoiser("leaves-32")
about = f"leaves-32, sha256 {f.card['sha256']}"  # a test holds it against the weights
generator = torch.Generator().manual_seed(3)
scenes, ahead = undecided_meetings(Leaves(), 32, generator, probability=[0.5] * 32)
clearest = int(ahead.ambiguity().argmax())
past = scenes[clearest].past()  # (1, 2, H, W)
noisy = ahead[clearest].draw(generator) + SIGMA_0 * torch.randn(1, 1, *past.shape[2:], generator=generator)
with torch.no_grad():
    one_step = f(noisy, past)[0, 0]
path = []  # noisy frames on the way, (4, H, W) each
samples = solve(
    f,
    past,
    n_samples=N_SAMPLES,
    sigma_0=SIGMA_0,
    generator=generator,
    callback=lambda k, y, *_: path.append(y.flatten(0, -3)),
).x[0]
darker = int(scenes[clearest].grey[0, 1] < scenes[clearest].grey[0, 0])  # of disks 0 and 1
words = {darker: "darker in front", 1 - darker: "lighter in front", choices.BLEND: "a blend"}
at = choices.projection(torch.cat([one_step[None], samples])[None], ahead[clearest])
blend, *ends = [words[int(k)] for k in choices.classify(at)[0]]
waiting = torch.ones_like(past[0, 0])


def picture(frames, titles) -> Image.Image:
    figure = figures.frames_row(torch.stack(frames), titles=titles)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, bbox_inches=None)
    matplotlib.pyplot.close(figure)
    return Image.open(buffer).convert("L")


columns = ["one step", *["sample"] * N_SAMPLES]
moving = [
    picture([frame] + [waiting] * 5, [label, *columns])
    for frame, label in zip(past[0], ("two frames ago", "last frame"), strict=True)
]
moving += [picture([past[0, -1], one_step, *y], ["last frame", *columns]) for y in path]
moving.append(picture([past[0, -1], one_step, *samples], ["last frame", f"one step: {blend}", *ends]))
times = [LOOK] * 2 + [STEP] * len(path) + [STAY]
moving, times = moving[-1:] + moving, [LOOK, *times]  # the end first, for whoever sees one frame only
moving[0].save(
    FOLDER / "result.gif", save_all=True, append_images=moving[1:], duration=times, loop=0, comment=about.encode()
)

still = figures.frames_row(torch.cat([past[0], one_step[None], samples]), titles=["past", "past", *columns])
still.savefig(FOLDER / "result.png", dpi=150, metadata={"Description": about})
