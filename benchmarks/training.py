"""Training images a second of the trainer against the plain loop (eager, fp32, default memory format, Adam).

Same network, same data, same batch, one run: the two take turns, so that other work on the machine hits both.
"""

import argparse
import statistics
import tempfile
import time

import torch

from scorevid.batches import generator_for, noisy_batch
from scorevid.denoiser import Denoiser
from scorevid.noise import NoisePrior
from scorevid.training import Settings, Trainer
from scorevid.worlds.leaves import Leaves

arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument("--widths", type=int, nargs="+", default=[32, 64, 128])
arguments.add_argument("--batch", type=int, default=48)
arguments.add_argument("--rounds", type=int, default=5)
arguments.add_argument("--seconds", type=float, default=6.0, help="of each of the two in a round")
arguments = arguments.parse_args()

world, noise = Leaves(), NoisePrior()
plain = Denoiser(world.memory, arguments.widths)
optimiser = torch.optim.Adam(plain.parameters(), 1e-3)


def plain_step(step: int) -> None:
    y, c, x, _ = noisy_batch(world, noise, arguments.batch, generator_for(0, step))
    optimiser.zero_grad()
    (plain(y, c) - x).square().mean().backward()
    optimiser.step()


with tempfile.TemporaryDirectory() as folder:
    settings = Settings(steps=10**9, batch=arguments.batch)
    trainer = Trainer(Denoiser(world.memory, arguments.widths), world, settings, folder)
    start = time.perf_counter()
    for k in range(3):
        trainer._update()
        plain_step(k)
    print(f"compiled and warm after {time.perf_counter() - start:.0f} s; {'bf16' if trainer.bf16 else 'fp32'}")

    def rate(step) -> float:
        start, done = time.perf_counter(), 0
        while time.perf_counter() - start < arguments.seconds:
            step(done)
            done += 1
        return done * arguments.batch / (time.perf_counter() - start)

    ratios = []
    for _ in range(arguments.rounds):
        slow, fast = rate(plain_step), rate(lambda _: trainer._update())
        ratios.append(fast / slow)
        print(f"plain {slow:6.0f} images/s   scorevid {fast:6.0f} images/s   ratio {fast / slow:.2f}")
print(f"median ratio {statistics.median(ratios):.2f} on {torch.get_num_threads()} threads")
