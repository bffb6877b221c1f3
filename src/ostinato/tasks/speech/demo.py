"""`ostinato demo speech`: spoken numbers made by espeak-ng, or a folder of yours; written down, at last live."""

from __future__ import annotations

import csv
import io
import itertools
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato.errors import DataError, MissingExtra
from ostinato.files import make_folder, write_atomically

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ostinato.data.audio import Utterances
    from ostinato.tasks.speech.estimator import Transcriber

FOLDER = "OSTINATO_SPEECH"
"""The environment variable that names a folder, or a table, of speech to use rather than what is made."""
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp")
_VOICES = ("", "+m1", "+m3", "+m7", "+f1", "+f2", "+f4")
_UTTERANCES, _HELD, _SHOWN = 420, 24, 8
_RATE, _SECONDS = 8000, 60.0
_PACKET = 0.02  # seconds


def run(out: Path) -> None:
    """Train on speech that is there, write down what was held out, then listen to one utterance in packets.

    Args:
        out: the folder to write to: sounds that were made, the model and its report.

    Raises:
        MissingExtra: espeak-ng is not installed, and no folder is named.
        DataError: espeak-ng fails, or the folder holds no speech.
    """
    started = time.monotonic()
    train, held = _speech(out)
    model = _fit(train, held, out)
    _written_down(model, held)
    _live(model, held)
    _say(f"\nThat took {time.monotonic() - started:.0f} s. {out} holds the model and its report, and understands:")
    _say(f"  ostinato predict {out} FILE.wav")
    _say(f"  arecord -f S16_LE -r {_RATE} -t raw | ostinato stream {out} --rate {_RATE}")


def _speech(out: Path) -> tuple[Utterances, Utterances]:
    """Return what is trained on and what is held out."""
    from ostinato.data.audio import read_utterances

    named = os.environ.get(FOLDER)
    if named:
        found = read_utterances(named)
        held = max(1, min(_HELD, len(found) // 5))
        if len(found) < 10:
            raise DataError(f"{named} holds {len(found)} utterances; the demo needs ten or more with their transcripts")
        rows = random.Random(0).sample(range(len(found)), len(found))
        _say(f"{len(found):,} utterances of {named}; {held} of them are held out.")
        return found.part(rows[held:]), found.part(rows[:held])
    table = _made(out)
    found = read_utterances(table)
    return found[_HELD:], found[:_HELD]


def _made(out: Path) -> Path:
    """Have spoken numbers made, of several voices, accents, speeds and pitches; return the table of them."""
    program = shutil.which("espeak-ng")
    if program is None:
        raise MissingExtra(
            "the demo makes its speech with espeak-ng, which is not installed: install it (apt install espeak-ng), or "
            f"name a folder of NAME.wav and NAME.txt, or a table of them, in the environment variable {FOLDER}"
        )
    folder = out / "speech"
    make_folder(folder)
    spoken = list(_spoken(random.Random(0)))
    began = time.monotonic()
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # each waits for a process of its own
        seconds = sum(pool.map(lambda each: _speak(program, folder, *each), spoken))
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["audio", "text", "speaker"])
    writer.writerows([name, text, voice] for name, text, voice, _, _ in spoken)
    write_atomically(folder / "speech.csv", table.getvalue().encode())
    _say(
        f"espeak-ng said {len(spoken)} numbers with {len(_ACCENTS) * len(_VOICES)} voices, {seconds / 60:.1f} minutes, "
        f"in {time.monotonic() - began:.0f} s; {_HELD} of them are held out. They lie in {folder}.\n"
    )
    return folder / "speech.csv"


def _spoken(rng: random.Random) -> Iterator[tuple[str, str, str, int, int]]:
    """Yield the file, the words, the voice, the speed (words a minute) and the pitch of each utterance."""
    voices = [accent + voice for accent, voice in itertools.product(_ACCENTS, _VOICES)]
    for number in range(_UTTERANCES):
        words = " ".join(rng.choice(_WORDS) for _ in range(rng.randint(1, 4)))
        yield f"{number:03}.wav", words, rng.choice(voices), rng.randint(120, 200), rng.randint(25, 75)


def _speak(program: str, folder: Path, name: str, text: str, voice: str, speed: int, pitch: int) -> float:
    """Have an utterance said, and write it as a file of the demo's rate; return its seconds."""
    from ostinato.data.audio import read_sound, sound_bytes

    with tempfile.TemporaryDirectory() as aside:
        made = Path(aside) / name
        command = [program, "-w", str(made), "-v", voice, "-s", str(speed), "-p", str(pitch), text]
        done = subprocess.run(command, capture_output=True, check=False, timeout=60)
        if done.returncode or not made.exists():
            said = done.stderr.decode(errors="replace").strip()[:120] or f"exit status {done.returncode}"
            raise DataError(f'espeak-ng did not say "{text}" with the voice {voice} ({said}); install it again')
        samples, rate = read_sound(made, _RATE, name=f"what espeak-ng said ({name})")
    write_atomically(folder / name, sound_bytes(samples, rate))
    return len(samples) / rate


def _fit(train: Utterances, held: Utterances, out: Path) -> Transcriber:
    from ostinato.tasks.speech.estimator import Transcriber

    _say(f"Training a causal recogniser, {_SECONDS:.0f} s:")
    model = Transcriber(streaming=True, rate=_RATE, max_seconds=_SECONDS, progress=False)
    model.fit(train, test=held)
    model.save(out)
    try:
        model.report(out / "report.html")
    except MissingExtra as error:
        _say(f"no report: {error}")
    _say(f"{model.summary_.verdict}\n")
    return model


def _written_down(model: Transcriber, held: Utterances) -> None:
    shown = held[:_SHOWN]
    _say("What was held out, and what the model makes of it:")
    for said, heard in zip(shown.texts or (), model.predict(shown), strict=True):
        _say(f"  {said:32} {'=' if said == heard else '≠'} {heard}")


def _live(model: Transcriber, held: Utterances) -> None:
    """Let the model listen to an utterance in packets, and print what it makes of it while it does."""
    row = int(held.durations.argmax())
    samples = held.samples(row, _RATE)
    stream = model.stream(rate=_RATE)
    _say(f'\nLive, in packets of {1000 * _PACKET:.0f} ms, of "{(held.texts or ("",) * len(held))[row]}":')
    slowest = 0.0
    for packet in _packets(samples):
        before = time.perf_counter()
        heard = stream.push(packet)
        slowest = max(slowest, time.perf_counter() - before)
        if heard.changed and heard.text:
            _say(f"  {heard.seconds:5.2f} s  {heard.text}")
    heard = stream.finish()
    for ended in heard.ended:
        _say(f"  the end  {ended.text}")
    _say(f"The slowest packet took {1000 * slowest:.1f} ms.")


def _packets(samples: NDArray[np.float32]) -> Iterator[Any]:
    size = round(_PACKET * _RATE)
    yield from (samples[first : first + size] for first in range(0, len(samples), size))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
