"""A training run killed with SIGKILL again and again, resumed each time, against the same run left alone.

    python benchmarks/interruption.py                                 # ten kills, at moments by chance
    python benchmarks/interruption.py --every 40 --save-every 60      # every 40 seconds, for as long as the run takes

Exits with 1 unless the logged losses of both are the same to the last digit.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("--kills", type=int, default=10, help="after which the run is left alone")
arguments.add_argument("--every", type=float, help="seconds from each start to its kill, in place of --kills")
arguments.add_argument("--save-every", type=float, default=0.2, help="seconds between checkpoints")
arguments.add_argument("--steps", type=int, default=3000)
arguments.add_argument("--seed", type=int, default=0)
arguments = arguments.parse_args()

command = [
    *(sys.executable, "-m", "scorevid", "train", "--steps", str(arguments.steps), "--batch", "16", "--warmup", "50"),
    *("--world.size", "16", "--network.widths", "8", "16", "--save-every", str(arguments.save_every), "--no-compile"),
    *("--resume", "auto", "--out"),
]


def losses(folder: Path) -> list[tuple[int, float]]:
    if not (folder / "log.jsonl").exists():
        return []
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [(line["step"], line["loss"]) for line in lines]


with tempfile.TemporaryDirectory() as folder:
    whole, broken = Path(folder) / "whole", Path(folder) / "broken"
    start = time.monotonic()
    subprocess.run([*command, str(whole)], check=True, capture_output=True)
    unbroken = time.monotonic() - start

    clock, kills, start, status = random.Random(arguments.seed), 0, time.monotonic(), None
    while status is None:
        if arguments.every:
            limit = arguments.every
        elif kills < arguments.kills:
            # starting takes about as long as a tenth of the run: some kills hit it, most the training
            limit = clock.uniform(0.2, 1.0) * unbroken / arguments.kills + 3
        else:
            limit = None
        process = subprocess.Popen([*command, str(broken)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
            print(f"kill {kills}: the log has {len(losses(broken))} lines", flush=True)
    seconds, same = time.monotonic() - start, losses(whole) == losses(broken)
    print(f"{kills} kills in {seconds:.0f} s, {unbroken:.0f} s without any; it ended with {status}")
    print(f"{len(losses(whole))} logged losses of both runs are {'the same' if same else 'DIFFERENT'}")
    sys.exit(bool(status) or not same or (not arguments.every and kills < arguments.kills))
