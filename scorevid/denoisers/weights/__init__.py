"""Published weights: NAME.safetensors and its card NAME.json, side by side in this folder.

The card says how the weights were made, what they score, and the sha256 of the file, which is checked on loading.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from scorevid.denoisers.conditioned import Network, build_network
from scorevid.files import replace_files

FOLDER = Path(__file__).parent


class DamagedWeights(ValueError):
    """A file of weights that is not what its card describes, or a card that is none."""


def available(world: str | None = None) -> list[str]:
    """Names of the published weights: all, or those trained on the world of that name, "Leaves" or "Gaussian"."""
    names = sorted(p.stem for p in FOLDER.glob("*.json"))
    return [name for name in names if world is None or load_card(name)["world"]["name"] == world]


def load_card(name: str, folder: Path | str = FOLDER) -> dict:
    """The card of published weights: data, noise prior, steps, time, machine, versions, scores, sha256.

    name: as of :func:`available`, or of a subfolder, "peers/edm". Raises ValueError for an unknown name, and
    :class:`DamagedWeights` for a file that is no card.
    """
    path = Path(folder) / f"{name}.json"
    if not path.is_file():
        known = ", ".join(available()) or "none"
        raise ValueError(f"name must be one of the published weights, {known}, got {name!r}, not in {path.parent}")
    try:
        card = json.loads(path.read_text())
        card["network"], card["sha256"]
    except (ValueError, TypeError, KeyError) as problem:
        raise DamagedWeights(f"{path} is not a card of weights with network and sha256: {problem}") from problem
    return card


def load_denoiser(name: str, folder: Path | str = FOLDER, device: torch.device | str = "cpu") -> Network:
    """A trained denoiser in evaluation mode, in the precision it was stored in, with its card as ``.card``.

    Raises ValueError for an unknown name and :class:`DamagedWeights` where the file is not what its card describes.
    """
    card = load_card(name, folder)
    path = Path(folder) / f"{name}.safetensors"
    if not path.is_file():
        raise DamagedWeights(f"{path} is missing, though its card is there: install scorevid again")
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != card["sha256"]:
        text = f"{path} is damaged or was changed: its sha256 is {sha256}, its card says {card['sha256']}"
        raise DamagedWeights(f"{text}. Install scorevid again, or fetch the file again")
    network = build_network(card["network"])
    try:
        network.load_state_dict(load(content), assign=True)
    except (SafetensorError, RuntimeError) as problem:
        reason = " ".join(str(problem).split())
        raise DamagedWeights(f"{path} does not hold the network that its card describes: {reason:.200}") from problem
    network.card = card
    network = network.to(device, memory_format=torch.channels_last)  # in which convolutions are faster, on a CPU too
    return network.eval().requires_grad_(False)


def save_denoiser(network: Network, name: str, card: dict, folder: Path | str = FOLDER) -> Path:
    """Write weights and card; the card gains the network's arguments, its parameter count, and the sha256.

    Raises OSError, and keeps what was there, where they cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    content = save({k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()})
    card = {
        "name": name,
        "network": network.config,
        "parameters": sum(p.numel() for p in network.parameters()),
        **card,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    replace_files({path: content, path.with_suffix(".json"): (json.dumps(card, indent=2) + "\n").encode()})
    return path
