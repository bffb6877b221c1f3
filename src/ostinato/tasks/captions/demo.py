"""`ostinato demo captions`: shapes that move, and what a model says of combinations that it never saw."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato.errors import MissingExtra

if TYPE_CHECKING:
    from ostinato.tasks.captions.estimator import Captioner

_TRAIN, _TEST, _SHOWN = 500, 40, 6
_SECONDS, _SIZE, _FRAMES = 45.0, 32, 8


def run(out: Path) -> None:
    """Draw clips, train on them, caption some whose combinations of colour and shape are new, then one as it grows.

    Args:
        out: the folder to write to: clips, the model and its report.

    Raises:
        MissingExtra: PyAV is not installed.
    """
    from ostinato.data.made_clips import moving_shapes, write_clips
    from ostinato.tasks.captions.estimator import Captioner

    began = time.monotonic()
    options: dict[str, Any] = {"size": _SIZE, "frames": 16, "rate": 8.0, "movements": [1]}
    train = write_clips(out / "train", moving_shapes(_TRAIN, part="train", **options), captions=2)
    test = write_clips(out / "test", moving_shapes(_TEST, part="test", **options), captions=2)
    _say(
        f"{_TRAIN} clips of a moving shape to train on, {_TEST} to test on, in {out}: no colour of the test clips has "
        "the shape that it has there in any training clip.\n"
    )
    _say(f"Training a captioner, {_SECONDS:.0f} s ...")
    model = Captioner(max_seconds=_SECONDS, hidden_size=96, max_frames=_FRAMES, progress=False)
    model.fit(train, test=test)
    model.save(out)
    try:
        model.report(out / "report.html")
    except MissingExtra as error:
        _say(f"no report: {error}")
    _say(f"{model.summary_.verdict}\n")
    _captions(model, out, options)
    _live(model)
    _say(f"\nThat took {time.monotonic() - began:.0f} s. {out} holds the model and its report, and says of a clip:")
    _say(f"  ostinato predict {out} {out / 'test' / '0000.mp4'} --alternatives 3")


def _captions(model: Captioner, out: Path, options: dict[str, Any]) -> None:
    from ostinato.data.made_clips import moving_shapes

    clips = list(moving_shapes(_SHOWN, part="test", **options))
    files = [out / "test" / f"{number:04}.mp4" for number in range(_SHOWN)]
    _say("What new clips show, and what the model says:")
    for clip, said in zip(clips, model.predict(files), strict=True):
        _say(f"  {clip.captions[0]:32} {'=' if said in clip.captions else '≠'} {said}")


def _live(model: Captioner) -> None:
    """Push frames of two clips one after the other, and print captions as they change."""
    from ostinato.data.made_clips import moving_shapes

    stream = model.stream(every=0.5)
    _say(f"\nLive, the last {stream.window / stream.kept_rate:.1f} s of what comes:")
    before = ""
    for clip in moving_shapes(2, part="test", movements=[1], size=_SIZE, frames=16, rate=8.0, seed=9):
        _say(f'  (now: "{clip.captions[0]}")')
        for frame in clip.frames:
            answer = stream.push(frame)
            if answer["caption"] != before:
                before = answer["caption"]
                _say(f"  {answer['seconds']:5.2f} s  {before}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
