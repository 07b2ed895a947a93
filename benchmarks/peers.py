"""A fresh network of this package against a U-Net of the diffusers library, trained and sampled for equal times.

The peer is ``diffusers.UNet2DModel`` with about as many parameters, given the past frames as further channels; its own
``DDPMScheduler`` makes the noise in training, which is that library's usual one: the noise is what is estimated, by AdamW
with a warm-up and a cosine. It is sampled by ``DDIMScheduler``. Ours is trained with the peaked law of noise levels, as its
main network was. Both see the same scenes, in batches of the same size, on
the same engine: compiled, in bf16 where the machine computes in it, channels last, weights averaged. They take turns for
the same wall time, in which compiling does not count. Both sample the same undecided meetings now and then, which does not
count either, to see how long each takes to a given calibration, and in the end with few steps and with many, to see how
few evaluations do. (Rates of learning fall over the
whole time, so that what is judged on the way is less than a training planned for so long would reach.)

Without diffusers (the extra "bench") nothing is measured, and the script says so and fails.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from scorevid.denoisers.unet import UNet
from scorevid.machine import computes_in_bf16
from scorevid.measures import calibration, choices
from scorevid.noise.prior import NoisePrior
from scorevid.sampling import solve
from scorevid.training.compiling import lost_gradients
from scorevid.training.steps import Settings, generator_for, learning_rate
from scorevid.training.trainer import Trainer
from scorevid.worlds.leaves.meetings import undecided_meetings
from scorevid.worlds.leaves.world import Leaves
from side_by_side import Result, median_range, options, ratio, take_turns

try:
    from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel
    from diffusers.training_utils import EMAModel
except ImportError as problem:
    print(f"NOT MEASURED: diffusers is missing ({problem}); pip install -c constraints.txt '.[bench]'", file=sys.stderr)
    sys.exit(3)

SIDES = ("scorevid", "UNet2DModel")
LEVELS = 1000  # of noise in training, as that library has it


def peer_network(memory: int, parameters: int, size: int) -> UNet2DModel:
    """The U-Net of three scales, one residual block a scale, with the count of parameters nearest to the one told."""

    def build(width: int, deepest: int) -> UNet2DModel:
        return UNet2DModel(
            sample_size=size,
            in_channels=memory + 1,
            out_channels=1,
            layers_per_block=1,
            block_out_channels=(width, 2 * width, deepest),
            down_block_types=("DownBlock2D",) * 3,
            up_block_types=("UpBlock2D",) * 3,
            norm_num_groups=4,
        )

    def count(widths: tuple[int, int]) -> int:
        with torch.device("meta"):
            return sum(p.numel() for p in build(*widths).parameters())

    choices = [(width, deepest) for width in range(8, 41, 4) for deepest in range(2 * width, 4 * width + 1, 8)]
    return build(*min(choices, key=lambda widths: abs(count(widths) - parameters)))


class Double(nn.Module):
    """The up-sampling of diffusers, nearest neighbours and a convolution, of which compiling does not lose the gradient."""

    def __init__(self, convolution: nn.Module):
        super().__init__()
        self.convolution = convolution

    def forward(self, x: torch.Tensor, *_) -> torch.Tensor:
        """x (B, C, H, W), of twice the height and width."""
        b, c, h, w = x.shape
        return self.convolution(x[:, :, :, None, :, None].expand(b, c, h, 2, w, 2).reshape(b, c, 2 * h, 2 * w))


class Peer:
    """The training of a U-Net as diffusers does it, a step at a time, and its sampler."""

    def __init__(self, network: UNet2DModel, world: Leaves, given, bf16: bool):
        self.network, self.world, self.batch, self.bf16 = network, world, given.batch, bf16
        for block in network.up_blocks:
            if block.upsamplers:  # compiled in bf16, their own loses gradients (scorevid.denoisers.unet.upsample2x)
                block.upsamplers = nn.ModuleList(Double(each.conv) for each in block.upsamplers)
        self.network = network.to(memory_format=torch.channels_last).train()
        self.noising = DDPMScheduler(num_train_timesteps=LEVELS)
        self.optimiser = torch.optim.AdamW(network.parameters(), given.peer_lr, (0.95, 0.999), weight_decay=1e-6)
        self.average = EMAModel(network.parameters(), decay=0.999, use_ema_warmup=True, power=0.75)
        self.step, self.planned_steps, self.peak = 0, 10**9, given.peer_lr
        self.loss = torch.compile(self._loss) if given.compile else self._loss

    def _loss(self, noisy, t, z):
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            estimate = self.network(noisy, t, return_dict=False)[0]
        return (estimate.float() - z).square().mean()

    def draw(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Frames, noisy one last, levels and noise of the next step."""
        generator = generator_for(0, self.step)
        c, x = self.world.draw(self.batch, generator)
        z = torch.randn(x.shape, generator=generator)
        t = torch.randint(LEVELS, (len(x),), generator=generator)
        noisy = self.noising.add_noise(2 * x - 1, z, t)
        return torch.cat([2 * c - 1, noisy], 1), t, z

    def lost_gradients(self) -> list[str]:
        """The parameters whose gradients compiling loses, on the next step's data; if any, steps are eager from here on."""
        lost = lost_gradients(self._loss, self.loss, self.network.named_parameters(), self.draw())
        if lost:
            self.loss = self._loss
        return lost

    def update(self) -> None:
        """One step of training."""
        self.loss(*self.draw()).backward()
        for group in self.optimiser.param_groups:
            group["lr"] = self.peak * learning_rate(self.step, self.planned_steps, 500)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.average.step(self.network.parameters())
        self.step += 1

    @torch.no_grad()
    def sample(self, c: torch.Tensor, steps: int) -> torch.Tensor:
        """A sample of the next frame of each scene (B, 1, H, W), by DDIM with the averaged weights."""
        scheduler = DDIMScheduler(num_train_timesteps=LEVELS)
        scheduler.set_timesteps(steps)
        past, y = 2 * c - 1, torch.randn(len(c), 1, *c.shape[2:], generator=torch.Generator().manual_seed(7))
        for t in scheduler.timesteps:
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
                noise = self.network(torch.cat([past, y], 1), t, return_dict=False)[0].float()
            y = scheduler.step(noise, t, y, return_dict=False)[0]
        return (y + 1) / 2

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The averaged weights in place of those that are trained."""
        self.average.store(self.network.parameters())
        self.average.copy_to(self.network.parameters())
        try:
            yield
        finally:
            self.average.restore(self.network.parameters())


class Race:
    """Two trainings that take turns for the same wall time. Rates of learning fall to zero by its end."""

    def __init__(self, trainer: Trainer, peer: Peer, minutes: float, turn: float):
        self.sides = {"ours": (trainer.state, trainer.update), "peer": (peer, peer.update)}
        self.seconds, self.turn = 60 * minutes, turn
        self.used = dict.fromkeys(self.sides, 0.0)
        self.speed: dict[str, list[float]] = {name: [] for name in self.sides}  # steps a second of each turn

    def run(self, minutes: float) -> None:
        """Go on until each side has had that long, turn by turn."""
        while min(self.used.values()) < 60 * minutes:
            for name, (side, update) in self.sides.items():
                start, first = time.perf_counter(), side.step
                until = min(self.turn, 60 * minutes - self.used[name])
                while side.step == first or time.perf_counter() - start < until:  # one at least, or there is no speed
                    update()
                took = time.perf_counter() - start
                self.used[name] += took
                self.speed[name].append((side.step - first) / took)
                left = max(0.0, self.seconds - self.used[name])
                side.planned_steps = side.step + max(1, int(left * median_range(self.speed[name]).value))


def judge(x: torch.Tensor, ahead) -> list:
    """Slope of the log odds of choices with its interval where a line can be fitted, share of blends, error of rendering."""
    u = choices.projection(x, ahead)
    counts = choices.count_choices(u)
    try:
        fit = calibration.fit_logit(choices.first_probability(ahead).numpy(), counts.first, counts.second)
        slope = list(fit.slope)
    except ValueError:
        slope = None  # too few samples that chose
    return [slope, list(choices.blend_share(u)), choices.rendering_error(x, ahead).mean().sqrt().item()]


def ours(f: UNet, c: torch.Tensor, steps: int = 12) -> torch.Tensor:
    """A sample of the next frame of each scene (B, 1, H, W), by the recommended solver, as many steps as recommended."""
    return solve(f, c, steps=steps, generator=torch.Generator().manual_seed(7)).x


def chooses(row: list, blends: float, error: float) -> bool:
    """Whether few samples were blends and the others were true to a future, of a row that ends as :func:`judge` has it.

    What is noise falls between two futures as seldom as what is well chosen.
    """
    _, share, rendering = row[-3:]
    return share[0] <= blends and rendering <= error


def reached(rows: list[list], given) -> dict[str, list[list[list]]]:
    """Of each side, for each share of blends that is asked for, the rows in which it chooses; a row begins with the side."""
    return {
        side: [[r for r in rows if r[0].startswith(side) and chooses(r, b, given.error)] for b in given.blends]
        for side in SIDES
    }


def fewest(rows: list[list]) -> str:
    """Evaluations and time of a sample in the row that has the fewest, of those in which it chooses."""
    if not rows:
        return "none of these"
    _, evaluations, milliseconds = min(rows, key=lambda row: row[1])[:3]
    return f"{evaluations} ({milliseconds.value:.3g} ms a sample)"


def main() -> None:
    given = options(
        __doc__,
        Path(__file__).parent / "results",
        minutes=(
            (1.0, 2.0, 4.0),
            (0.002, 0.005),
            "of training, without compiling, after which each of the two is judged, rising",
        ),
        turn=(10.0, 0.1, "seconds of a turn"),
        widths=((32, 64, 128), (4, 8, 16), "channels of our network at each scale"),
        batch=(48, 2, "images in a step"),
        scenes=(250, 8, "undecided meetings sampled, once each"),
        ours=((3, 6, 12, 24), (2,), "steps of our solver"),
        ddim=((6, 12, 25, 50, 100), (2,), "steps of DDIM, the most last"),
        blends=((0.5, 0.2, 0.1), (0.1,), "shares of blends to be reached"),
        error=(0.05, 0.05, "error of rendering to be reached with each, grey"),
        peer_lr=(1e-3, 1e-3, "peak learning rate of the peer"),
        rounds=(3, 1, "turns of sampling"),
        compile=(True, False, "whether to compile both"),
    )
    result, world = Result("peers", given, packages=("diffusers",)), Leaves()
    bf16 = computes_in_bf16(torch.device("cpu"))
    torch.manual_seed(0)
    network = UNet(world.memory, given.widths)
    parameters = sum(p.numel() for p in network.parameters())
    unet = peer_network(world.memory, parameters, world.size)
    peer = Peer(unet, world, given, bf16)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(steps=10**9, batch=given.batch, noise=NoisePrior(law="peaked"), compile=given.compile)
        trainer = Trainer(network, world, settings, folder)
        start = time.perf_counter()
        lost = peer.lost_gradients()
        if lost:
            result.note(f"Compiled, UNet2DModel loses the gradients of {len(lost)} parameters: its steps are eager.")
        for _ in range(3):
            trainer.update()
            peer.update()
        trainer.freeze()  # compiles the step that comes later, so that it is not counted there
        trainer.update()
        trainer.freeze(False)
        result.note(f"Compiling and the first steps of both took {time.perf_counter() - start:.0f} s.")
        scene, ahead = undecided_meetings(world, given.scenes, torch.Generator().manual_seed(3))
        c, few = scene.past(), scene.past()[: max(1, given.scenes // 8)]
        race, along, total = Race(trainer, peer, given.minutes[-1], given.turn), [], given.minutes[-1]
        for minutes in given.minutes:
            race.run(minutes)
            f = trainer.denoiser().eval()
            along.append(["scorevid", minutes, trainer.state.images, *judge(ours(f, c), ahead)])
            with peer.averaged():
                drawn = peer.sample(c, given.ddim[-1])
            along.append(["UNet2DModel", minutes, peer.step * given.batch, *judge(drawn, ahead)])
    peer.average.copy_to(unet.parameters())
    images = {name: median_range([given.batch * v for v in each]) for name, each in race.speed.items()}
    result.table(
        f"Peers: training, {total:g} minutes each, in turns",
        ["", "parameters", "images", "images a second", "× peer"],
        [
            [
                "scorevid",
                parameters,
                trainer.state.images,
                images["ours"],
                ratio(race.speed["ours"], race.speed["peer"]),
            ],
            ["UNet2DModel", sum(p.numel() for p in unet.parameters()), peer.step * given.batch, images["peer"], 1.0],
        ],
    )
    result.table(
        f"Peers: {given.scenes:,} undecided meetings as training goes on",
        ["", "minutes", "images", "slope of log odds", "share of blends", "error of rendering, grey"],
        sorted(along, key=lambda row: SIDES.index(row[0])),
    )
    asked = f"for an error of {given.error:g} at most and a share of blends of at most"
    shares = ["", *(f"{b:g}" for b in given.blends)]
    result.table(
        f"Peers: minutes of training, of those after which both are judged, {asked}",
        shares,
        [
            [side, *(min(r[1] for r in some) if some else f"not within {total:g}" for some in each)]
            for side, each in reached(along, given).items()
        ],
    )

    cases = {}
    for steps in given.ours:
        evaluations = solve(f, few[:1], steps=steps, generator=torch.Generator()).evaluations.max().item()
        cases[SIDES[0], f"solve in {steps} steps", evaluations] = lambda c, steps=steps: ours(f, c, steps)
    for steps in given.ddim:
        cases[SIDES[1], f"DDIM in {steps} steps", steps] = lambda c, steps=steps: peer.sample(c, steps)
    times = take_turns({case: lambda draw=draw: draw(few) for case, draw in cases.items()}, given.rounds)
    rows = [
        [f"{side}, {how}", evaluations, median_range([1e3 * t / len(few) for t in times[side, how, evaluations]])]
        + judge(draw(c), ahead)
        for (side, how, evaluations), draw in cases.items()
    ]
    result.table(
        f"Peers: sampling {given.scenes:,} undecided meetings after {total:g} minutes each",
        ["", "evaluations", "ms a sample", "slope of log odds", "share of blends", "error of rendering, grey"],
        rows,
    )
    result.table(
        f"Peers: fewest evaluations, of those tried, {asked}",
        shares,
        [[side, *map(fewest, each)] for side, each in reached(rows, given).items()],
    )
    result.finish()


if __name__ == "__main__":
    main()
