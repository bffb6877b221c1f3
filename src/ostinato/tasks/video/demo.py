"""`ostinato demo video`: stick figures that walk, sit down, wave and fall, told apart from pixels, and live."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ostinato.data.made_clips import MadeClip, stick_figures, write_clips

_CLIPS, _WATCHED = 144, 8
_LETTERS = {"walk": "w", "sit down": "s", "wave": "v", "fall": "F"}


def run(out: Path) -> None:
    """Draw clips, fit on them, follow new ones frame by frame; write the model, a report and an annotated video."""
    from ostinato.files import make_folder
    from ostinato.tasks.video.estimator import VideoClassifier

    began = time.monotonic()
    make_folder(out)
    print(f"{_CLIPS} made clips of three seconds: a stick figure walks, sits down, waves or falls.\n")
    table = write_clips(out / "clips", stick_figures(_CLIPS, seed=0))
    model = VideoClassifier(epochs=24, height=48, width=48).fit(table, directory=out)
    print(model.scores_)
    new = list(stick_figures(_WATCHED, seed=1))
    print("\nNew clips, frame by frame (w walk, s sit down, v wave, F fall); * marks where the figure begins:\n")
    right = sum(_watch(model, clip) for clip in new)
    model.report(out / "report.html")
    shown = _reel(out, new, model)
    seconds = time.monotonic() - began
    print(f"\n{right} of {len(new)} new clips are right at their end. Done in {seconds:.0f} s.")
    print(f"In {out}: the model, report.html, {shown.name}, clips. Try next:")
    print(f"  open {out / 'report.html'} in a browser, and {shown} in a player")
    print(f"  ostinato predict {out} {out / 'clips' / '0000.mp4'}")
    print("  ostinato fit video YOUR.csv --video COLUMN --label COLUMN --out my-model")


def _watch(model: Any, clip: MadeClip) -> bool:
    """Print what the model makes of a clip as it goes on, and return whether it is right at the end."""
    answers = list(model.watch(clip_of(clip)))
    letters = "".join(_LETTERS[answer["label"]] for answer in answers)
    onset = min(round(clip.onset / clip.rate * len(answers) / (len(clip) / clip.rate)), len(letters))
    last = answers[-1]
    print(f"  {clip.label:9} {letters[:onset]}*{letters[onset:]}   {last['label']} ({100 * last['probability']:.0f} %)")
    return bool(last["label"] == clip.label)


def clip_of(clip: MadeClip) -> Any:
    """Return a made clip as one that was read: its frames know their rate."""
    import numpy as np

    from ostinato.data.video import Clip

    return Clip(clip.frames, np.arange(len(clip)) / clip.rate, clip.rate, clip.label)


def _reel(out: Path, clips: list[MadeClip], model: Any) -> Path:
    """Write some clips one behind the other as one video, with the answer on each frame."""
    from ostinato.data.video import stream_frames, with_words, write_video

    def frames() -> Any:
        for clip in clips[:4]:
            rate = model.fitted_.model.encoder.reader.rate
            pictures = stream_frames(clip_of(clip), rate=rate, height=240)
            for (_, frame), answer in zip(pictures, model.watch(clip_of(clip)), strict=True):
                words = f"{answer['label']}  {100 * answer['probability']:.0f} %"
                yield with_words(frame, words, answer["probability"])

    return write_video(out / "annotated.mp4", frames(), model.fitted_.model.encoder.reader.rate)
