"""The playground, in a browser without a network: its modules give what the package gives, and its panels can be used."""

import math
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from scorevid import Leaves, load_denoiser
from scorevid.denoisers.exact import Oracle
from scorevid.measures.choices import count_choices, projection
from scorevid.measures.linear_weights import rows
from scorevid.sampling.ascent import Ascent
from scorevid.sampling.sampler import SamplerState
from scorevid.sampling.solvers import Ladder, Multistep
from scorevid.worlds.leaves.meetings import determined
from scorevid.worlds.leaves.next_frames import futures
from scorevid.worlds.leaves.scenes import Scene
from scorevid_book.playground import bare_page, write_networks

ROOT = Path(__file__).parents[2]
CLOSE = {"rtol": 0, "atol": 1e-4}
FIELDS = ("x", "y", "vx", "vy", "r", "g")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The page as the build makes it, but for the book around it: a folder."""
    folder = tmp_path_factory.mktemp("site")
    bare_page(folder)
    return folder


@pytest.fixture(scope="module")
def address(site, serve):
    with serve(site) as at:
        yield at


@pytest.fixture(scope="module")
def page(browser, address):
    """The page, opened once, with the network loaded. Whatever it logs, fails to load or asks of others is kept as .wrong."""
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page, wrong = context.new_page(), []
    page.set_default_timeout(120_000)
    page.on("console", lambda m: wrong.append(m.text))
    page.on("pageerror", lambda e: wrong.append(str(e)))
    page.on("response", lambda r: r.status >= 400 and wrong.append(f"{r.status} {r.url}"))
    context.on("request", lambda r: r.url.startswith((address, "data:", "blob:")) or wrong.append(r.url))
    page.goto(f"{address}book/playground.html")
    page.wait_for_function("document.documentElement.dataset.playground === 'ready'")
    for name in ("world", "exact", "choices", "meetings", "random", "state", "network"):
        page.evaluate(f"async () => {{ window.{name} = await import('../_static/playground/{name}.js'); }}")
    page.evaluate("window.networks = new network.Networks()")
    page.wrong = wrong
    yield page
    context.close()


def floats(values, *shape):
    """Numbers from the page, where 1.0 is 1, as a tensor."""
    return torch.tensor(values, dtype=torch.float32).view(*shape)


def call(page, task, **what):
    """What the worker answers. Arrays go and come as lists; big ones, such as noise, as lists of lists."""
    program = """([task, what]) => {
        for (const name of ["y", "c"]) if (what[name]) what[name] = Float32Array.from(what[name]);
        if (what.noise) what.noise = what.noise.map((frame) => Float32Array.from(frame));
        const plain = (v) => ArrayBuffer.isView(v) ? Array.from(v) : Array.isArray(v) ? v.map(plain)
            : v && typeof v === "object" ? Object.fromEntries(Object.entries(v).map(([k, w]) => [k, plain(w)])) : v;
        return networks.call(task, what).then(plain);
    }"""
    return page.evaluate(
        program, [task, {k: v.flatten().tolist() if hasattr(v, "flatten") else v for k, v in what.items()}]
    )


def as_disks(scene):
    """A scene of the package, one of a batch, as the page has it."""
    table = torch.cat([scene.position, scene.velocity, scene.radius[..., None], scene.grey[..., None]], 2)[0]
    disks = [dict(zip(FIELDS, disk.tolist(), strict=True)) for disk in table]
    return {"disks": disks, "front": int(scene.depth[0].argmin())}


def as_scene(made):
    """And back."""
    table = torch.tensor([[[disk[name] for name in FIELDS] for disk in made["disks"]]])
    return Scene(table[..., 0:2], table[..., 2:4], table[..., 4], table[..., 5], torch.tensor([[0, 1]]))


@pytest.fixture(scope="module")
def scenes():
    """Fifty scenes, some decided and some not, and some that the past does not determine."""
    return Leaves(n_disks=2, meeting=0.5).scenes(50, torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def example(scenes):
    """c, the futures, y at σ = 0.8, and the pixel in which the futures differ most, of the first undecided scene."""
    scene = scenes[(futures(scenes).count() == 2).nonzero()[0].item()]
    possible = futures(scene)
    noise = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    y, pixel = (
        possible.frames[:, :1] + 0.8 * noise,
        (possible.frames[0, 0] - possible.frames[0, 1]).abs().argmax().item(),
    )
    return SimpleNamespace(scene=scene, c=scene.past(), futures=possible, y=y, pixel=pixel)


def test_past_futures_and_odds_are_those_of_the_package(page, scenes):
    program = """(scenes) => scenes.map((scene) => ({
        past: world.past(scene).map((frame) => Array.from(frame)),
        futures: world.futures(scene).map(({ frame, probability }) => ({ frame: Array.from(frame), probability })),
        determined: world.determined(scene),
    }))"""
    found = page.evaluate(program, [as_disks(scenes[k]) for k in range(50)])
    law, past, sure = futures(scenes), scenes.past(), determined(scenes)
    assert set(law.count().tolist()) == {1, 2} and set(sure.tolist()) == {True, False}
    for k, each in enumerate(found):
        n = law.count()[k]
        assert (len(each["futures"]), each["determined"]) == (n, sure[k])
        frames = floats([f["frame"] for f in each["futures"]], -1, 32, 32)
        torch.testing.assert_close(frames, law.frames[k, :n], rtol=0, atol=1e-5)
        torch.testing.assert_close(floats(each["past"], 2, 32, 32), past[k], rtol=0, atol=1e-5)
        odds = floats([f["probability"] for f in each["futures"]], -1)
        torch.testing.assert_close(odds, law.probabilities[k, :n], rtol=0, atol=1e-5)


def test_new_scenes_are_undecided_and_within_what_the_network_was_trained_on(page):
    made = page.evaluate("Array.from({ length: 20 }, (_, k) => meetings.drawMeeting(new random.Random(k)))")
    for scene in map(as_scene, made):
        assert futures(scene).count() == 2 and determined(scene)
        assert ((scene.radius >= 3) & (scene.radius <= 7)).all() and (scene.grey - 0.5).abs().min() >= 0.15
        assert scene.velocity.norm(dim=2).max() <= 2.5 + 1e-5


def test_noise_is_normal_and_the_same_for_one_seed(page):
    first, again, other = (
        np.array(page.evaluate(f"Array.from(new random.Random({k}).frame(20000))")) for k in (1, 1, 2)
    )
    assert (first == again).all() and abs(np.corrcoef(first, other)[0, 1]) < 0.03
    assert abs(first.mean()) < 0.03 and abs(first.std() - 1) < 0.03 and abs((first**4).mean() - 3) < 0.3


@pytest.mark.parametrize("network, size", [("leaves-32", (32, 32)), ("natural-32-m2", (64, 64))])
@pytest.mark.parametrize("sigma", [0.02, 5.0])
def test_the_network_answers_as_in_pytorch(page, network, size, sigma):
    generator = torch.Generator().manual_seed(0)
    c = torch.rand(1, 2, *size, generator=generator)
    y = c[:, 1:] + sigma * torch.randn(1, 1, *size, generator=generator)
    found = call(page, "denoise", network=network, y=y, c=c, size=size)
    torch.testing.assert_close(floats(found, 1, 1, *size), load_denoiser(network)(y, c), **CLOSE)


def test_a_row_of_weights_is_that_of_the_package(page, example):
    pixel = example.pixel
    expected = rows(load_denoiser("leaves-32"), example.y, example.c, [(pixel // 32, pixel % 32)])
    found = call(page, "row", network="leaves-32", y=example.y, c=example.c, size=(32, 32), pixel=pixel)
    torch.testing.assert_close(floats(found["on_y"], 1, 1, 32, 32), expected.on_y, **CLOSE)
    torch.testing.assert_close(floats(found["on_c"], 1, 1, 2, 32, 32), expected.on_c, **CLOSE)
    assert expected.on_y.abs().max() > 0.01


@pytest.mark.parametrize(
    "method, settings, sampler",
    [
        ("multistep", {"steps": 12, "beta": 1}, Multistep()),
        ("multistep", {"steps": 6, "beta": 0.5}, Multistep(ladder=Ladder(steps=6), beta=0.5)),
        ("ascent", {"beta": 0.5, "h0": 0.2}, Ascent(beta=0.5, h_0=0.2)),
    ],
)
def test_samplers_take_the_path_of_the_package(page, example, monkeypatch, method, settings, sampler):
    """From given noise to the samples, in which errors of all steps are."""
    given = torch.randn(200, 2, 1, 32, 32, generator=torch.Generator().manual_seed(2))
    left = iter(given)
    monkeypatch.setattr(SamplerState, "noise", lambda state: next(left))
    expected = sampler(load_denoiser("leaves-32"), example.c, n_samples=2, generator=torch.Generator())
    used = 200 - sum(1 for _ in left)
    noise = given[:used].flatten(0, 1).flatten(1).tolist()
    found = call(page, "sample", network="leaves-32", c=example.c, size=(32, 32), n=2, method=method, settings=settings,
                 seed=0, noise=noise)  # fmt: skip
    torch.testing.assert_close(floats(found["samples"], 1, 2, 32, 32), expected.x, **CLOSE)
    assert used > (1 if settings["beta"] == 1 else 4)


def test_the_ascent_is_foreseen_to_take_as_many_steps_as_in_the_package(page):
    for beta in (0.01, 0.1, 1.0):
        program = f"import('../_static/playground/solver.js').then((m) => m.expectedSteps({{ beta: {beta} }}))"
        assert page.evaluate(program) == Ascent(beta=beta).expected_steps


@pytest.mark.parametrize("sigma", [0.05, 0.8, 5.0])
def test_the_optimum_and_its_weights_are_those_of_the_package(page, example, sigma):
    oracle, pixel = Oracle(example.futures), example.pixel
    y = example.futures.frames[:, 1:] + sigma * torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(3))
    program = """([scene, y, sigma, pixel]) => {
        const futures = world.futures(scene), noisy = Float32Array.from(y);
        return [exact.posteriorMean, exact.optimalRow].map((f) => Array.from(f(noisy, futures, sigma, pixel)));
    }"""
    mean, row = page.evaluate(program, [as_disks(example.scene), y.flatten().tolist(), sigma, pixel])
    torch.testing.assert_close(floats(mean, 1, 1, 32, 32), oracle(y, example.c, sigma), **CLOSE)
    covariance = oracle.posterior_covariance(y, example.c, sigma).matrix()[0, pixel]
    torch.testing.assert_close(floats(row, -1), covariance / sigma**2, **CLOSE)


def test_choices_are_counted_as_in_the_package(page, example):
    share = torch.linspace(-0.1, 1.1, 25)[None, :, None, None]
    samples = share * example.futures.frames[:, :1] + (1 - share) * example.futures.frames[:, 1:]
    expected = count_choices(projection(samples, example.futures))
    program = "([scene, samples]) => choices.count(samples, world.futures(scene))"
    found = page.evaluate(program, [as_disks(example.scene), samples[0].flatten(1).tolist()])
    assert found == {"first": expected.first.item(), "second": expected.second.item(), "blends": expected.blends.item()}
    assert min(found.values()) > 0


def test_a_link_carries_the_state_and_nonsense_does_not(page):
    program = "(hash) => state.fromLink(hash)"
    link = page.evaluate("state.toLink({ ...state.DEFAULT, sigma: 0.8, future: 1, seed: 7, pixel: [3, 4] })")
    found = page.evaluate(program, link)
    assert (found["sigma"], found["future"], found["seed"], found["pixel"]) == (0.8, 1, 7, [3, 4])
    assert page.evaluate("state.toLink(state.fromLink(state.toLink(state.DEFAULT))) === state.toLink(state.DEFAULT)")
    default = page.evaluate("state.DEFAULT")
    assert page.evaluate(program, "#a=x,,1e9&sigma=-3&pixel=NaN&seed=")["disks"][1] == default["disks"][1]
    assert page.evaluate(program, "#a=0,0,9,9,99,7&sigma=99")["disks"][0] | {"x": 0} == {
        **dict(zip(FIELDS, (0, 0, 2.5, 2.5, 7, 1), strict=True))
    }
    assert page.evaluate(program, "#denoise") is None


def test_scenes_that_chapters_link_are_undecided_and_their_panels_exist(page):
    targets = [
        t
        for f in sorted((ROOT / "notebooks").rglob("*.ipynb"))
        for t in re.findall(r"{scene}`[^`]*<(.+?)>`", f.read_text())
    ]
    assert targets
    for target in targets:
        found = page.evaluate("(hash) => state.fromLink(hash)", f"#{target}")
        assert futures(as_scene(found)).count().item() == 2, target
        first = page.evaluate("(hash) => state.shownFirst(hash)", f"#{target}")
        assert page.locator(f"#play-{first}").count() == 1, target


# ---- the panels ----------------------------------------------------------------------------------------------------


def value(page, panel, part):
    return page.locator(f"#play-{panel} [data-part='{part}']").evaluate("e => e.value")


def pixels(page, panel, part):
    program = """e => {
        const copy = new OffscreenCanvas(e.width, e.height).getContext("2d", { willReadFrequently: true });
        copy.drawImage(e, 0, 0);
        return Array.from(copy.getImageData(0, 0, e.width, e.height).data);
    }"""
    return np.array(page.locator(f"#play-{panel} [data-part='{part}']").evaluate(program)).reshape(-1, 4)[:, 0]


def test_disks_move_by_keys_and_by_pointer_and_all_that_follows_with_them(page):
    disk = page.locator("#play-scene circle.play-disk").first
    before, x = pixels(page, "scene", "future-0"), float(disk.get_attribute("cx"))
    disk.focus()
    page.keyboard.press("ArrowLeft")
    assert float(disk.get_attribute("cx")) == pytest.approx(x - 0.5)
    assert (pixels(page, "scene", "future-0") != before).any()
    disk.scroll_into_view_if_needed()
    box = disk.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 3)
    page.mouse.down()
    page.mouse.move(box["x"], box["y"] - 20, steps=3)
    page.mouse.up()
    assert float(disk.get_attribute("cx")) < x - 2
    page.wait_for_function("location.hash.startsWith('#a=')")
    tip = page.locator("#play-scene circle.play-tip").first
    name = tip.get_attribute("aria-label")
    tip.focus()
    page.keyboard.press("ArrowUp")
    assert tip.get_attribute("aria-label") != name


def test_a_link_is_followed_and_noise_that_grows_makes_a_blend(page):
    page.evaluate("location.hash = state.toLink({ ...state.DEFAULT, sigma: 0.45 })")
    page.wait_for_function("document.querySelector('#play-denoise').dataset.shown === '0.45'")
    assert value(page, "scene", "odds-0") == "A in front: 65 %"
    sharp = pixels(page, "denoise", "network").astype(float)
    futures = [pixels(page, "scene", f"future-{k}").astype(float) for k in (0, 1)]
    slider = page.locator("#play-denoise input[data-level]")
    slider.focus()
    slider.press("End")
    page.wait_for_function("Number(document.querySelector('#play-denoise').dataset.shown) > 4.9")
    blend = pixels(page, "denoise", "network").astype(float)
    difference = futures[0] - futures[1]
    u = [((v - futures[1]) * difference).sum() / (difference**2).sum() for v in (sharp, blend)]
    assert u[0] > 0.9 and 0.4 < u[1] < 0.85
    exact = [pixels(page, "denoise", name).astype(float) for name in ("network", "exact")]
    assert math.sqrt(((exact[0] - exact[1]) ** 2).mean()) < 12


def test_samples_are_drawn_counted_and_stopped(page):
    panel = page.locator("#play-sample")
    page.evaluate("location.hash = state.toLink(state.DEFAULT)")
    panel.locator("[data-part=steps]").evaluate("e => { e.value = 4; e.dispatchEvent(new Event('input')); }")
    panel.locator("[data-part=draw]").click()
    page.wait_for_function("document.querySelector('#play-sample [data-part=seconds]').value !== ''")
    counted = [int(n) for n in re.findall(r"(\d+) (?:samples|with|blends)", value(page, "sample", "chosen"))]
    assert sum(counted) == 16 and panel.locator(".play-point").count() == 1
    panel.locator("[data-part=steps]").evaluate("e => { e.value = 5; e.dispatchEvent(new Event('input')); }")
    panel.locator("[data-part=draw]").click()
    page.wait_for_function("document.querySelector('#play-sample .play-point:nth-of-type(2)') !== null")
    panel.locator("[data-part=draw]").click()  # once more, which adds to the second point
    page.wait_for_function("!document.querySelector('#play-sample [data-part=draw]').disabled")
    canvases = panel.locator("[data-part=samples] canvas")
    assert canvases.count() == 16 and len(set(canvases.evaluate_all("all => all.map(e => e.toDataURL())"))) > 1
    panel.locator("input[value=ascent]").check()
    panel.locator("[data-part=draw]").click()
    page.wait_for_function("document.querySelector('#play-sample [data-part=progress]').value > 0")
    panel.locator("[data-part=stop]").click()
    page.wait_for_function("!document.querySelector('#play-sample [data-part=draw]').disabled")
    assert panel.locator(".play-point").count() == 2
    panel.locator("[data-part=clear]").click()
    assert panel.locator(".play-point").count() == 0


def test_weights_of_the_pixel_that_is_pointed_at(page):
    page.evaluate("location.hash = state.toLink(state.DEFAULT)")
    stage = page.locator("#play-weights [data-part=stage]")
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    stage.click(position={"x": box["width"] * 18.5 / 32, "y": box["height"] * 16.5 / 32})
    page.wait_for_function("document.querySelector('#play-weights').dataset.shown === '16,18'")
    stage.press("ArrowDown")
    page.wait_for_function("document.querySelector('#play-weights').dataset.shown === '17,18'")
    total = sum(float(value(page, "weights", f"sum-{name}").replace("−", "-")) for name in ("before", "last", "noisy"))
    assert total == pytest.approx(1, abs=0.2), "weights keep the mean grey, nearly"


def test_a_video_of_ones_own_is_predicted(page, tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "moving.webm"
    with av.open(path, "w") as file:
        stream = file.add_stream("libvpx", rate=24)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for k in range(48):
            frame = np.full((64, 96, 3), 90, np.uint8)
            frame[20:40, 20 + k : 36 + k] = 220
            for packet in stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")):
                file.mux(packet)
        for packet in stream.encode():
            file.mux(packet)
    page.locator("#play-video input[value='64']").check()
    page.locator("#play-video input[type=file]").set_input_files(path)
    page.wait_for_function("document.querySelector('#play-video').dataset.shown === '64,64'")
    assert re.match(r"Error of the answer 0\.\d+ grey", value(page, "video", "errors"))
    assert pixels(page, "video", "next").max() > 180
    page.locator("#play-video [data-part=stop]").click()
    assert page.locator("#play-video video").evaluate("e => e.paused")


def test_every_control_has_a_name_and_nothing_is_wider_than_a_telephone(page):
    named = """() => [...document.querySelectorAll('button, input, select, [tabindex], canvas, video, progress')].filter((e) =>
        !(e.getAttribute('aria-label') || e.labels?.length || e.textContent.trim() || e.closest('[aria-label]')))
        .map((e) => e.outerHTML)"""
    assert page.evaluate(named) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_networks_run_apart_from_the_page(page):
    assert len(page.workers) == 2, "the page's worker and that of these tests"


def test_nothing_went_wrong_and_nothing_was_asked_of_others(page):
    assert page.wrong == []


def test_without_scripts_there_is_a_picture_and_from_a_file_a_sentence(browser, address, site):
    context = browser.new_context(java_script_enabled=False)
    silent = context.new_page()
    silent.goto(f"{address}book/playground.html")
    assert silent.locator(".play-still img").is_visible() and not silent.locator("#play-scene").is_visible()
    context.close()
    context = browser.new_context()
    local = context.new_page()
    local.goto((site / "book" / "playground.html").as_uri())
    assert local.locator(".play-served").is_visible() and not local.locator("#play-scene").is_visible()
    context.close()


def test_a_page_whose_networks_are_missing_says_so(browser, address):
    context = browser.new_context()
    page = context.new_page()
    page.route("**/networks/*", lambda route: route.fulfill(status=404))
    page.goto(f"{address}book/playground.html")
    page.wait_for_function("document.getElementById('play-status').value.startsWith('Something went wrong')")
    context.close()


def test_a_book_without_onnx_is_built_with_a_warning(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    app = SimpleNamespace(builder=SimpleNamespace(name="html"), outdir=tmp_path)
    app.env = SimpleNamespace(found_docs={"book/playground"})
    warned = []
    monkeypatch.setattr("scorevid_book.playground.logger.warning", lambda text, *more: warned.append(text % more))
    write_networks(app, None)
    assert len(warned) == 1 and "pip install 'scorevid[web]'" in warned[0]
    app.env.found_docs.clear()
    write_networks(app, None)
    assert len(warned) == 1, "a book without the page needs no networks"


def test_the_page_is_no_larger_than_16_mb(site):
    assert sum(path.stat().st_size for path in (site / "_static").rglob("*") if path.is_file()) <= 16e6
