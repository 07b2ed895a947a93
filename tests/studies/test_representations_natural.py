"""Representations of natural video, on shots whose motion is known, and readouts of features whose worth is known."""

import csv
import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
import torch
from made_weights import texture

from scorevid.denoisers.conditioned import Regression
from scorevid.denoisers.unet import UNet
from scorevid.denoisers.weights import FOLDER, load_card
from scorevid.estimates import bootstrap
from scorevid.measures.representations import readout
from scorevid.studies import load_results
from scorevid.studies import representations as study
from scorevid.studies.representations import natural_readouts
from scorevid.worlds.clips.patches import held_out
from scorevid.worlds.clips.world import every_shot, footage

SIZE = 64
STILL = [(0, 0)] * 3
PATHS = {  # where the texture is in each of three frames, pixels to the right and down
    "right": [(0, 0), (2, 0), (4, 0)],
    "down": [(0, 0), (0, 1), (0, 2)],
    "back": [(0, 0), (2, 0), (1, 0)],
    "still": STILL,
}


def shot(path, seed=0):
    """A texture at these places, (T, 64, 64) uint8."""
    ground = 0.5 + 2 * texture(seed, SIZE, SIZE)
    return (255 * np.stack([np.roll(ground, (y, x), (0, 1)) for x, y in path]).clip(0, 1)).astype(np.uint8)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("shots") / "made.npz"
    np.savez(path, **{name: shot(places) for name, places in PATHS.items()})
    return str(path)


@pytest.fixture(scope="module")
def moved(source):
    """By shot, means over its patches of targets and of flow statistics."""
    world = every_shot(source, memory=2)
    patches = held_out(world)
    targets, of_flow = study.motion_of(world, patches)
    own = {name: np.array([clip == name for clip in patches.clip]) for name in PATHS}
    return {
        name: ({k: v[rows].mean() for k, v in targets.items()}, of_flow[rows].mean(0)) for name, rows in own.items()
    }


def test_targets_are_of_the_motion_to_the_next_frame(moved):
    """Catches a flow of the other direction, components that are exchanged, and motion of the past."""
    for name, x, y in (("right", 2, 0), ("down", 0, 1), ("back", -1, 0), ("still", 0, 0)):
        targets, _ = moved[name]
        assert (targets["horizontal"], targets["vertical"]) == pytest.approx((x, y), abs=0.2)
        assert np.exp(targets["speed"]) == pytest.approx(np.hypot(x, y) + 0.1, abs=0.25)
        assert abs(targets["divergence"]) < 0.02 and targets["covered"] + targets["uncovered"] < 0.1


def test_flow_statistics_do_not_see_the_next_frame(moved):
    """Catches a baseline that is given what is to be decoded: only the last step of this shot goes back."""
    (_, of_right), (_, of_back) = moved["right"], moved["back"]
    assert of_back == pytest.approx(of_right, abs=1e-9)
    assert of_right[:2] == pytest.approx((2, 0), abs=0.2)


def test_divergence_and_curl_are_those_of_the_plane_through_the_flow():
    """Catches components that are exchanged, and signs."""
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    a, b, c, d = 0.01, 0.02, 0.03, 0.004
    flow = torch.stack([a * columns + b * rows + 1, c * columns + d * rows - 1])[None]
    found = study.flow_statistics(flow)[0]
    assert found[4:6] == pytest.approx([a + d, c - b], abs=1e-5)
    still = study.flow_statistics(torch.zeros(1, 2, 32, 32))[0]
    assert still == pytest.approx([0] * 6 + [np.log(0.1)] * 2)


def test_pixel_statistics_are_of_each_frame_and_each_step():
    """Catches a change from another frame."""
    c, y = torch.tensor([0.2, 0.5])[None, :, None, None].expand(1, 2, 8, 8), torch.full((1, 1, 8, 8), 0.6)
    found = study.pixel_statistics(c, y)[0]
    assert found == pytest.approx([0.2, 0.5, 0.6, 0, 0, 0, np.log(0.301), np.log(0.101)], abs=1e-5)


def seen(source, *test):
    return SimpleNamespace(card={"world": {"source": ["bank", Path(source).name], "test": list(test)}})


def test_shots_that_a_network_was_trained_on_are_not_measured(source):
    """Catches training shots among those measured, and test shots of one network that another was trained on."""
    found = study.unseen_shots(source, {"one": seen(source, "right", "still"), "other": seen("other.npz"), "none": 1})
    assert list(found.clips()) == ["right", "still"] and (found.size, found.memory) == (32, 2)
    both = {"one": seen(source, "right", "still"), "other": seen(source, "still", "down")}
    assert list(study.unseen_shots(source, both).clips()) == ["still"]
    with pytest.raises(ValueError, match="source must have shots that networks were not trained on"):
        study.unseen_shots(source, {"one": seen(source)})
    of_bank = study.unseen_shots("bank", {"one": seen(source)})
    assert list(of_bank.clips()) == [name for name, clip in footage("bank").items() if clip.split != "train"]


def test_patches_are_spread_over_so_many_frames(source):
    """Catches more patches or frames than asked for, and draws from the global generator."""
    world = every_shot(source, memory=2)
    found, again = (study.spread_patches(world, 1, 3, seed=1) for _ in range(2))
    assert [found.clip.count(name) for name in PATHS] == [3] * 4 and torch.equal(found.place, again.place)
    assert found.c.shape == (12, 2, 32, 32)
    with pytest.raises(ValueError, match="n_patches must be a positive integer, got 0"):
        study.spread_patches(world, 1, 0)


def test_representations_are_of_all_blocks_and_of_one_noisy_frame(source):
    """Catches noise of its own for each network, and a past alone that sees the next frame."""
    torch.manual_seed(0)
    networks = {"M = 2": UNet(2, widths=(4, 6)).eval(), "regression": Regression(2, (4, 6)).eval()}
    networks["twin"] = networks["M = 2"]
    patches = held_out(every_shot(source, memory=2))
    found = study.represent(networks, patches, 0.3, seed=2)
    blocks = ["encoder.0", "encoder.1", "decoder.0", "all"]
    assert [key for key in found if key[0] == "regression"] == [("regression", block) for block in blocks]
    assert found["M = 2", "all"].shape[1] == sum(found["M = 2", block].shape[1] for block in blocks[:-1])
    assert all(np.array_equal(found["M = 2", block], found["twin", block]) for block in blocks)
    assert found["pixels", ""].shape == (len(patches.clip), 3 * 16 * 16)
    patches.x.zero_()
    other = study.represent(networks, patches, 0.3, seed=2)
    for name, same in (("regression", True), ("M = 2, past alone", True), ("M = 2", False)):
        assert np.array_equal(found[name, "all"], other[name, "all"]) == same
    with pytest.raises(ValueError, match="M = 2 must be one of regression"):
        study.represent({"regression": networks["regression"]}, patches, 0.3)


def test_the_untrained_network_has_the_architecture_of_the_published_one():
    """Catches a seed that changes nothing, and one behind the caller's back."""
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one, same, other = (study.untrained_like("natural-32-m2", seed, batches=1, batch=4) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state) and not one.training
    assert sum(p.numel() for p in one.parameters()) == load_card("natural-32-m2")["parameters"]
    kernels = [torch.cat([p.flatten() for p in f.parameters()]) for f in (one, same, other)]
    assert torch.equal(kernels[0], kernels[1]) and not torch.equal(kernels[0], kernels[2])


N, EACH = 30, 4  # shots, patches of each
CLIP = [f"shot-{k}" for k in range(N) for _ in range(EACH)]


def planted(target, seed=0):
    """By representation: the target among noise, and noise alone."""
    noise = np.random.default_rng(seed).normal(size=(2, len(target), 5))
    noise[0, :, 2] = target
    return {("M = 2", "encoder.0"): noise[0], ("untrained", "encoder.0"): noise[1]}


def test_a_planted_feature_is_decoded_and_noise_is_not():
    """Catches targets of other patches, and a lead of the wrong sign or over another block."""
    target = np.random.default_rng(1).normal(size=len(CLIP))
    rows = study.decoded(planted(target), {"horizontal": target}, CLIP, {})
    first, noise = rows
    assert first["estimate"][0] > 0.99 and abs(noise["estimate"][0]) < 0.25
    assert (first["kind"], first["shots"], first["groups"], first["labelled"]) == ("r", N, N, None)
    assert first["ahead"].keys() == {"untrained"} and first["ahead"]["untrained"][1] > 0.7
    worth = max(0, noise["estimate"][0])
    assert first["ahead"]["untrained"][0] == pytest.approx(first["estimate"][0] - worth, abs=2e-4)
    assert noise["ahead"] == {}
    json.dumps(rows, allow_nan=False)


def test_what_marks_a_group_does_not_help_to_decode():
    """Catches shots of one group on both sides: a feature that names the group gives its target away."""
    labels = {f"shot-{k}": {"group": f"group-{k % 15}"} for k in range(N)}
    number = np.array([int(name.split("-")[1]) % 15 for name in CLIP])
    target = np.random.default_rng(2).normal(size=15)[number]
    (row,) = study.decoded({("pixels", ""): np.eye(15)[number]}, {"speed": target}, CLIP, labels)
    assert row["groups"] == 15 and row["estimate"][0] < 0.3


def labels_of(positive):
    return {f"shot-{k}": {"group": f"shot-{k}", "moving camera": bool(p)} for k, p in enumerate(positive)}


def test_few_labels_suffice_for_a_perfect_feature_and_not_for_noise():
    """Catches classes that are exchanged, labelled shots that are judged, and scores of other shots."""
    positive = np.arange(N) % 2 == 0
    _, noise = planted(np.zeros(len(CLIP))).values()
    features = {("M = 2", "all"): np.repeat(positive, EACH)[:, None] + 0.1 * noise[:, :1], ("untrained", "all"): noise}
    features |= {("M = 2", "other"): noise}
    rows = study.told_apart(features, CLIP, labels_of(positive), [4, 99], draws=20)
    assert [row["labelled"] for row in rows] == [4] * 3 and {row["what"] for row in rows} == {"moving camera"}
    assert rows[0]["estimate"] == [1, 1, 1] and (rows[0]["shots"], rows[0]["groups"]) == (N, N)
    assert rows[0]["ahead"].keys() == {"untrained"} and rows[2]["ahead"] == {}
    assert rows[0]["ahead"]["untrained"][1] > 0
    json.dumps(rows, allow_nan=False)


def test_noise_is_worth_nothing():
    """Catches judged shots that were labelled, and intervals that are too narrow: half of them would lie beside 0.5."""
    generator, positive = np.random.default_rng(3), np.arange(N) < 12
    found = study.tell_apart({k: generator.normal(size=(N, 4)) for k in range(16)}, positive, 4, draws=25).values()
    assert np.mean([f.auc.value for f in found]) == pytest.approx(0.5, abs=0.03)
    assert sum(f.auc.low <= 0.5 <= f.auc.high for f in found) >= 15


def test_without_a_group_is_without_its_pairs_and_its_classifiers():
    """Catches groups that are left out of the one and not of the other."""
    positive, group = np.arange(8) < 4, np.array([0, 0, 1, 2, 3, 4, 5, 0])
    x = np.random.default_rng(4).normal(size=(8, 1))
    (found,) = study.tell_apart({"x": x}, positive, 1, group, draws=30).values()
    expected = []
    for left_out in range(6):
        pairs = 0
        for seen in found.labelled:
            if seen[left_out]:
                continue
            scored = ~np.isin(group, [*np.flatnonzero(seen), left_out])
            pairs += (scored & positive).sum() * (scored & ~positive).sum()
        won, counted = (
            (v[:, -1] - v[:, left_out])[~found.labelled[:, left_out]].sum() for v in (found.won, found.pairs)
        )
        assert counted == pairs and 0 <= won <= pairs
        expected.append(won / pairs)
    spread = np.sqrt(5 / 6 * np.square(np.subtract(expected, np.mean(expected))).sum())
    assert found.auc.n == 6 and found.auc.high == pytest.approx(min(1, found.auc.value + 2.5706 * spread), abs=1e-3)


def test_groups_are_not_parted_and_ties_count_half():
    """Catches a labelled shot whose group is judged: a feature that names the group would be worth something."""
    positive = np.arange(N) < 10
    group = np.where(positive, np.arange(N) // 2, np.arange(N))
    found = study.tell_apart({"names": np.eye(N)[group], "none": np.ones((N, 1))}, positive, 3, group, draws=10)
    assert found["names"].auc.value == pytest.approx(0.5, abs=0.05) and found["names"].auc.n == 25
    assert tuple(found["none"].auc) == (0.5, 0.5, 0.5)
    assert tuple(study.ahead_of(found["none"], found["none"])) == (0, 0, 0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"labelled": 15}, "labelled must be less than the groups of either kind, of which one has 15, got 15"),
        ({"labelled": 0}, "labelled must be a positive integer, got 0"),
        ({"features": {"a": np.ones((3, 1))}}, r"features 'a' must be \(30, k\) finite numbers, got \(3, 1\)"),
        ({"features": {"a": np.full((N, 1), np.nan)}}, "finite numbers"),
        ({"groups": [0, 1]}, r"groups must be \(30,\), got \(2,\)"),
    ],
)
def test_what_no_classifier_can_be_fitted_to_is_refused(given, message):
    arguments = {"features": {"a": np.ones((N, 1))}, "positive": np.arange(N) < 15, "labelled": 4} | given
    with pytest.raises(ValueError, match=message):
        study.tell_apart(**arguments)


def test_labels_of_unknown_shots_are_refused():
    """Catches labels of a shot with a misspelt name, which would be left out without a word."""
    target, labels = np.arange(len(CLIP), dtype=float), labels_of([True] * N) | {"nobody": {"group": "nobody"}}
    with pytest.raises(ValueError, match="labels must be of shots that are measured, got those of nobody"):
        study.told_apart(planted(target), CLIP, labels, [4])
    with pytest.raises(ValueError, match="got those of nobody"):
        study.decoded(planted(target), {"speed": target}, CLIP, labels)


RECORDS = [
    {"name": "a", "camera": "static", "motion": "human action", "group": "house"},
    {"name": "b", "camera": "zoom/forward", "motion": "fluid", "group": ""},
    {"name": "c", "camera": "", "motion": ""},
    {"name": "elsewhere", "camera": "pan", "motion": "rigid"},
]


def test_labels_are_read_from_either_kind_of_file(tmp_path):
    """Catches kinds that are exchanged, a missing label that counts as one, and records of other shots."""
    (tmp_path / "labels.json").write_text(json.dumps(RECORDS))
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["name", "camera", "motion", "group"])
        writer.writeheader()
        writer.writerows(RECORDS)
    expected = {
        "a": {"group": "house", "moving camera": False, "human action": True},
        "b": {"group": "b", "moving camera": True, "human action": False},
        "c": {"group": "c"},
    }
    for name in ("labels.json", "labels.csv"):
        assert study.read_labels(tmp_path / name, ["a", "b", "c", "d"]) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[{", "records with a name, got labels.json"),
        ('[{"camera": "pan"}]', "records with a name, got labels.json"),
        ('[{"name": "a"}, {"name": "a"}]', "must be of different shots, got a again"),
        ('[{"name": "a", "camera": "fixed"}]', "camera must be one of static, .* got 'fixed' of a"),
        ('[{"name": "b", "camera": "pan"}, {"name": "a"}]', "labels.json has none of them"),
    ],
)
def test_labels_that_say_nothing_are_refused(tmp_path, text, message):
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        study.read_labels(tmp_path / "labels.json", ["a"])
    with pytest.raises(ValueError, match="records with a name, got missing"):
        study.read_labels(tmp_path / "missing.json", ["a"])


def test_the_sweep_stores_the_rows_that_come_along(tmp_path, monkeypatch):
    """Catches a sweep that stores other rows or keys than the chapter reads, and names of folders in what is stored."""
    for module in (natural_readouts, readout):
        monkeypatch.setattr(module, "bootstrap", partial(bootstrap, replicates=3))
    steps = [(0, 0), (2, 0), (0, 1), (-2, 0)]
    names = [f"made-{k}" for k in range(12)]
    paths = [[(0, 0), step, tuple(2 * v for v in step)] for step in 3 * steps]
    shots = {name: shot(path, k)[:, :40, :40] for k, (name, path) in enumerate(zip(names, paths, strict=True))}
    np.savez(tmp_path / "made.npz", **shots)
    records = [{"name": n, "camera": "pan" if k % 4 else "static", "motion": "rigid"} for k, n in enumerate(names)]
    (tmp_path / "labels.json").write_text(json.dumps(records))
    notebook = nbformat.read(Path(__file__).parents[2] / "notebooks" / "sweeps" / "representations_natural.ipynb", 4)
    (parameters, *cells), scope = [cell.source for cell in notebook.cells if cell.cell_type == "code"], {}
    exec(parameters, scope)
    given = {
        "shots": str(tmp_path / "made.npz"),
        "labels": str(tmp_path / "labels.json"),
        "folder": str(tmp_path / "out"),
    }
    scope |= given | {"n_frames": 1, "n_patches": 1, "labelled": [2], "draws": 3}
    for cell in cells:
        exec(cell, scope)
    small, large = load_results("representations_natural", tmp_path / "out"), load_results("representations_natural")
    assert small["parameters"].keys() == large["parameters"].keys() and small["parameters"]["source"] == ["made.npz"]
    assert str(tmp_path) not in (tmp_path / "out" / "representations_natural.json").read_text()

    def keys(rows):
        return [(r["representation"], r["block"], *r, *r["ahead"]) for r in rows if r["what"] == "speed"]

    assert keys(small["results"]) == keys(large["results"])
    found = {row["what"] for row in small["results"]}
    assert {"horizontal", "vertical", "speed", "moving camera"} <= found <= {*study.TARGETS, "moving camera"}


def test_the_stored_results_are_of_the_published_networks_and_of_no_training_shot():
    """Catches weights that were replaced after the measurement."""
    stored = load_results("representations_natural")
    cards = {"M = 2": load_card("natural-32-m2"), "regression": load_card("natural-32-regression", FOLDER / "peers")}
    assert stored["parameters"]["sha256"] == {label: card["sha256"] for label, card in cards.items()}
    shots = stored["parameters"]["shots"]
    assert len(shots) == len({*shots}) > 20 and {*stored["parameters"]["labelled_shots"]} <= {*shots}
    held = [card["world"]["test"] for card in cards.values()]
    assert held[0] == held[1] == [name for name in shots if name in held[0]]
