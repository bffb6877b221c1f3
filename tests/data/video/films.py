"""Small video files for tests."""

from fractions import Fraction
from pathlib import Path

import numpy as np


def moving(count: int = 20, height: int = 32, width: int = 48, seed: int = 0) -> np.ndarray:
    """Return frames `(T, H, W, 3)` of a bright square that moves right, each of another brightness."""
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 40, (count, height, width, 3), dtype=np.uint8)
    for time, frame in enumerate(frames):
        at = int(time * (width - 10) / max(count - 1, 1))
        frame[height // 3 : height // 3 + 10, at : at + 10] = 255 - 5 * (time % 30)
    return frames


def film(
    path: Path, frames: np.ndarray, *, rate: int = 10, codec: str = "mpeg4", times: list[int] | None = None,
    rotation: int = 0,
) -> Path:  # fmt: skip
    """Write frames; `times`: their presentation times in hundredths of a second."""
    import av

    base = 100 if times else rate
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(rate))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.time_base = Fraction(1, base)
        stream.codec_context.bit_rate = 4_000_000
        if rotation:
            stream.set_display_rotation(rotation)
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            picture.pts = times[number] if times else number
            picture.time_base = Fraction(1, base)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def bare(path: Path) -> list[np.ndarray]:
    """Return frames as PyAV gives them."""
    import av

    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
