"""A training run killed with SIGKILL again and again, resumed each time, against the same run left alone.

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

arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument("--kills", type=int, default=10)
arguments.add_argument("--steps", type=int, default=3000)
arguments.add_argument("--seed", type=int, default=0)
arguments = arguments.parse_args()

command = [
    *(sys.executable, "-m", "scorevid", "train", "--steps", str(arguments.steps), "--batch", "16", "--warmup", "50"),
    *("--world.size", "16", "--network.widths", "8", "16", "--save-every", "0.2", "--no-compile", "--out"),
]


def losses(folder: Path) -> list[tuple[int, float]]:
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [(line["step"], line["loss"]) for line in lines]


with tempfile.TemporaryDirectory() as folder:
    whole, broken = Path(folder) / "whole", Path(folder) / "broken"
    start = time.monotonic()
    subprocess.run([*command, str(whole)], check=True, capture_output=True)
    unbroken = time.monotonic() - start

    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    clock, kills, resume = random.Random(arguments.seed), 0, []
    while kills < arguments.kills:
        process = subprocess.Popen([*command, str(broken), *resume], **quiet)
        try:  # starting takes about as long as a tenth of the run: some kills hit it, most the training
            process.wait(clock.uniform(0.2, 1.0) * unbroken / arguments.kills + 3)
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
            resume = ["--resume"] if (broken / "checkpoint.pt").exists() else []
            print(f"kill {kills}: the log has {len(losses(broken)) if (broken / 'log.jsonl').exists() else 0} lines")
    subprocess.run([*command, str(broken), *resume], check=True, capture_output=True)
    same = losses(whole) == losses(broken)
    print(f"{kills} kills; {len(losses(whole))} logged losses of both runs are {'the same' if same else 'DIFFERENT'}")
    sys.exit(not (same and kills == arguments.kills))
