"""Draws what ``scorevid predict`` shows, for the README (next_frames.gif): ``make picture``.

The video is a test shot of the embedded bank, which no network was trained on.
"""

import tempfile
from pathlib import Path

import av

from scorevid.companion import predict_video
from scorevid.worlds.clips.bank import bank

SHOT, AT = "bikes-0", 20  # and the first of the frames that are predicted

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / f"{SHOT}.mkv"
    frames = bank()[SHOT].frames
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)  # without loss
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:], "gray"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode())
    made = predict_video(path, frames=4, n_samples=3, at=AT, say=print, progress=True)
made.write(Path(__file__).parent / "_static" / "next_frames.gif")
