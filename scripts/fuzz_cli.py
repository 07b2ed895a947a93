"""Try every option of every command of ``scorevid`` with values that cannot be, and look for tracebacks.

python scripts/fuzz_cli.py --minutes 10

Each option is given -1, 0, nan, inf, a huge number, an empty string and a word: alone, and then two options at a time by
chance. A refusal has to be one in words. A traceback, a death by a signal, or no end within the time limit is a fault, and
the script then ends with 1. It trains a tiny network for a few updates. Memory is limited, so that a huge number cannot
harm the machine. The command lines are run in forks of one process, as the imports take longer than the rest.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: a process with threads is not to be forked

from scorevid import cli
from scorevid.worlds.motion.world import KINDS

VALUES = ("-1", "0", "nan", "inf", "1" + "0" * 30, "", "none-such")
MEMORY = 12 * 2**30  # bytes of address space; libraries alone reserve a few
TINY = [*("--network.widths", "4", "--batch", "4", "--no-compile", "--steps", "3"), "--device", "cpu"]
BASES = {  # a command that works, for each that there is
    "train": ["train", *TINY, "--world.size", "16", "--out", "new"],
    "train-gaussian": ["train-gaussian", *TINY, "--world.size", "16", "--out", "new"],
    "train-clips": ["train-clips", *TINY, "--out", "new"],
    **{f"train-{name}": [f"train-{name}", *TINY, "--out", "new"] for name in ("motion", *KINDS)},
    "evaluate": ["evaluate", "run", "--scenes", "5"],
    "publish": ["publish", "run", "mine", "--folder", "weights", "--scenes", "5"],
    "sweep": ["sweep", "none.ipynb", "--out", "swept"],
}


def scorevid(arguments: list[str], folder: Path, seconds: float) -> tuple[int | None, str]:
    """Exit status, None after a time-out, and what was printed: by a child of this process, which has imported all of it."""
    said = folder / "said.txt"
    child = os.fork()
    if not child:
        try:
            run_child(arguments, folder, said)
        finally:
            os._exit(70)
    end = time.monotonic() + seconds
    while not (done := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > end:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None, said.read_text(errors="replace")
        time.sleep(0.02)
    return os.waitstatus_to_exitcode(done[1]), said.read_text(errors="replace")


def run_child(arguments: list[str], folder: Path, said: Path) -> None:
    """Do in this process, which ends by it, what ``scorevid`` does with these arguments."""
    os.setsid()
    os.chdir(folder)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for number, (path, how) in enumerate([(os.devnull, os.O_RDONLY), (said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)]):
        os.dup2(os.open(path, how), number)
    os.dup2(1, 2)
    sys.argv[1:], status = arguments, 0
    try:
        cli.main()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def options(command: str, folder: Path) -> list[str]:
    """The options of a command, read off its help."""
    status, text = scorevid([command, "--help"], folder, 120)
    if status:
        raise SystemExit(f"scorevid {command} --help ended with {status}:\n{text}")
    return sorted(set(re.findall(r"(?<![\w-])--[a-z][\w.-]*", text)) - {"--help"})


def cases(known: dict[str, list[str]], chance: random.Random):
    """Command and options: each option with each value, in an order by chance, then pairs of options without end."""
    single = [(c, ((o, v),)) for c, names in known.items() for o in names for v in VALUES]
    chance.shuffle(single)
    pairs = ((chance.choice(list(known)), chance) for _ in itertools.count())
    double = ((c, tuple((r.choice(known[c]), r.choice(VALUES)) for _ in range(2))) for c, r in pairs)
    for command, given in itertools.chain(single, double):
        yield BASES[command], given


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long to try")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds that one command may take")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    tried, faults, end = 0, [], time.monotonic() + 60 * given.minutes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        status, text = scorevid(["train", *TINY, "--world.size", "16", "--out", "run"], folder, 300)
        if status:
            raise SystemExit(f"a run to begin with could not be trained:\n{text}")
        known = {command: options(command, folder) for command in BASES}
        for base, options_given in cases(known, random.Random(given.seed)):
            if time.monotonic() > end:
                break
            for times in (1, 2):  # options of two values refuse one
                arguments = [*base, *(word for o, value in options_given for word in (o, *[value] * times))]
                for left in ("new", "weights", "swept"):
                    shutil.rmtree(folder / left, ignore_errors=True)
                status, text = scorevid(arguments, folder, given.limit)
                tried += 1
                if status is None or status < 0 or "Traceback" in text:
                    faults.append(arguments)
                    said = ("no end" if status is None else f"status {status}") + f", {text.strip().splitlines()[-1:]}"
                    print(f"{' '.join(map(repr, arguments))}: {said}", flush=True)
                if status != 2:
                    break
    print(f"{tried} command lines of {sum(map(len, known.values()))} options, {len(faults)} faults")
    raise SystemExit(bool(faults))


if __name__ == "__main__":
    main()
