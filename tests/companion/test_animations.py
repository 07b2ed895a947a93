"""Animations: files that others can read, with every frame in them."""

import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from scorevid.companion.animations import PIXELS, Animation

FRAMES = torch.rand(4, 2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_the_gif_holds_every_frame_in_its_place():
    gif = Image.open(io.BytesIO(Animation(FRAMES, "noise", milliseconds=100).gif()))
    assert (gif.format, gif.n_frames, gif.info["loop"], gif.size) == ("GIF", 4, 0, (27, 18))
    for t in range(4):
        gif.seek(t)
        assert gif.info["duration"] == (500 if t == 3 else 100)
        seen = np.asarray(gif.convert("L"), dtype=float) / 255
        np.testing.assert_allclose(seen[9:17, 18:26], FRAMES[t, 1, 2], atol=0.01)
        assert (seen[8] == 1).all()  # the line between


def test_the_still_picture_shows_the_times_asked_for_one_below_the_other():
    png = Image.open(io.BytesIO(Animation(FRAMES, "noise", still=(0, 2, -1)).png()))
    assert png.format == "PNG" and png.size == (27 * PIXELS, 3 * 18 * PIXELS)
    seen = np.asarray(png, dtype=float)[::PIXELS, ::PIXELS] / 255
    np.testing.assert_allclose(seen[18:26, :8], FRAMES[2, 0, 0], atol=0.01)


def test_a_box_puts_the_still_picture_in_place_of_the_moving_one_without_a_script():
    page, other = Animation(FRAMES, "noise")._repr_html_(), Animation(FRAMES.flip(0), "noise")._repr_html_()
    (name,) = set(re.findall(r'(?:id|for)="(pause-\w+)"', page))
    assert name not in other  # two on one page have boxes of their own
    assert ".animation :checked ~ .moving { display: none }" in page
    assert page.index("checkbox") < page.index('class="moving"') < page.index('class="still"')


def test_the_page_tells_what_it_shows_and_stands_still_for_those_who_ask():
    page = Animation(FRAMES, 'a "quoted" < text')._repr_html_()
    assert 'alt="a &quot;quoted&quot; &lt; text"' in page
    assert "prefers-reduced-motion: reduce" in page and "data:image/gif;base64," in page and "<script" not in page


@pytest.mark.parametrize(
    ("frames", "given", "message"),
    [
        (torch.rand(2, 3, 8, 8), {}, "frames must be"),
        (torch.full((1, 1, 1, 8, 8), torch.nan), {}, "finite"),
        (FRAMES, {"still": (4,)}, "of the 4 frames"),
        (FRAMES, {"still": ()}, "of the 4 frames"),
        (FRAMES, {"milliseconds": 1}, "20 milliseconds"),
    ],
)
def test_bad_input_is_refused(frames, given, message):
    with pytest.raises(ValueError, match=message):
        Animation(frames, "noise", **given)
