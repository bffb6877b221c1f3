"""Speech: yesno, spoken digits as classes, as characters and in strings; streams beside whole recordings.

    python3 dev.py bench speech [yesno|fsdd|transducer|speakers|strings|streaming ...] [--seconds 60]

Without names all parts run; what was run before stays in the table. Training stops after the seconds of the part, and
all else is left at its default unless the table says otherwise. A twentieth to a tenth of the training utterances,
drawn, decides which epoch is kept and which weight a language model has; the test part is looked at once.

- yesno (OpenSLR 1): 8 Hebrew words a file, one speaker; the first 31 files by name train, the last 29 test.
- fsdd: the Free Spoken Digit Dataset, index 0 to 4 test (300 clips), 5 to 49 train (2,700): the class of a clip by
  `SequenceClassifier`; the same as characters by CTC.
- transducer: the same as characters by a transducer.
- speakers: characters by CTC, each of the six speakers left out once.
- strings: 3 to 7 digits of one speaker, glued with gaps of 50 to 300 ms; 1,500 strings of train clips, 200 of test
  clips, seed 0; greedy, by a beam, and by a beam with n-grams of the training transcripts.
- streaming: a causal model of the clips; each test file in packets of 10 ms beside the same file whole.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import time
import wave
import zipfile
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import beta

from common import RESULTS, data_file, keep, machine, table
from ostinato.tasks.speech import Transcriber
from ostinato.tasks.speech.decoding import NGRAMS
from ostinato.tasks.speech.measures import character_errors, confusions, word_errors

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PARTS = ("yesno", "fsdd", "transducer", "speakers", "strings", "streaming")
SECONDS = {"yesno": 50, "fsdd": 110, "transducer": 150, "speakers": 60, "strings": 200, "streaming": 110}
RECORDS = RESULTS / "speech.json"
Record = dict[str, Any]


class Clips:
    """Sounds of an archive: names, samples, 8,000 a second."""

    def __init__(self, archive: Path) -> None:
        with zipfile.ZipFile(archive) as opened:
            names = sorted(name for name in opened.namelist() if name.endswith(".wav"))
            self.samples = {Path(name).stem: _samples(opened.read(name)) for name in names}

    def pairs(self, names: Sequence[str]) -> list[tuple[NDArray[np.float32], int]]:
        """Return samples with their rate."""
        return [(self.samples[name], 8000) for name in names]


def _samples(content: bytes) -> NDArray[np.float32]:
    with wave.open(io.BytesIO(content)) as sound:
        found = np.frombuffer(sound.readframes(sound.getnframes()), "<i2")
    return found.astype(np.float32) / np.float32(32768)


def digits() -> tuple[Clips, list[str], list[str]]:
    """Return the spoken digits, and the names of the official split."""
    clips = Clips(data_file("fsdd/recordings.zip"))
    test = [name for name in clips.samples if int(name.split("_")[2]) < 5]
    return clips, [name for name in clips.samples if name not in set(test)], test


def said(name: str) -> str:
    """Return the word of a clip."""
    return DIGITS[int(name.split("_")[0])]


def interval(errors: int, count: int) -> str:
    """Return the 95 % interval of an error rate, in percent (Clopper and Pearson)."""
    low = 0.0 if errors == 0 else float(beta.ppf(0.025, errors, count - errors + 1))
    high = 1.0 if errors == count else float(beta.ppf(0.975, errors + 1, count - errors))
    return f"{100 * low:.1f} to {100 * high:.1f}"


def fitted(sounds: Any, texts: Sequence[str], seconds: float, **parameters: Any) -> tuple[Transcriber, float]:
    """Return a model, and the seconds that its fit took, reading and baselines counted."""
    begun = time.perf_counter()
    model = Transcriber(max_seconds=seconds, test=0.0, progress=False, **parameters).fit(sounds, texts)
    return model, time.perf_counter() - begun


def counts(references: Sequence[str], hypotheses: Sequence[str], seconds: float) -> Record:
    """Return what a table says of transcripts."""
    words, characters = word_errors(references, hypotheses), character_errors(references, hypotheses)
    wrong = confusions(references, hypotheses, most=3)
    return {
        "WER": 100 * words.rate,
        "CER": 100 * characters.rate,
        "errors": int(words.errors.sum()),
        "words": int(words.reference.sum()),
        "confusions": ", ".join(f"{one or '(nothing)'} > {two or '(nothing)'} {often}" for one, two, often in wrong),
        "seconds": round(seconds, 1),
    }


def yesno(seconds: float) -> list[Record]:
    """Train on 31 files, write down 29."""
    clips = Clips(data_file("yesno/waves_yesno.zip"))
    names = sorted(clips.samples)
    texts = [" ".join("yes" if own == "1" else "no" for own in name.split("_")) for name in names]
    model, took = fitted(clips.pairs(names[:31]), texts[:31], seconds, units="word")
    found = counts(texts[31:], model.predict(clips.pairs(names[31:])), took)
    return [{"what": "words by CTC", "bar": "WER 0.42 (icefall: 1 of 240)", **found}]


def fsdd(seconds: float) -> list[Record]:
    """The class of a clip, and its characters."""
    from ostinato import SequenceClassifier

    clips, train, test = digits()
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: _written(Path(folder) / f"{name}.wav", clips.samples[name]) for name in (*train, *test)}
        tables = []
        for part, names in (("train", train), ("test", test)):
            rows = [f"{paths[name]},{said(name)}" for name in names]
            tables.append(Path(folder) / f"{part}.csv")
            tables[-1].write_text("\n".join(["path,word", *rows]) + "\n", encoding="utf-8")
        classifier = SequenceClassifier(
            audio="path", label="word", channels=(), max_seconds=seconds, test=0.0, progress=False
        )
        classifier.fit(tables[0])
        took = time.perf_counter() - begun
        accuracy = classifier.evaluate(tables[1])["accuracy"]
    wrong = round((1 - accuracy) * len(test))
    row = {"what": "class of a clip", "bar": "accuracy 98.5", "accuracy": 100 * accuracy, "errors": wrong}
    return [{**row, "words": len(test), "seconds": round(took, 1)}, *characters(seconds, "ctc")]


def _written(path: Path, samples: NDArray[np.float32]) -> Path:
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes((samples * 32768).astype("<i2").tobytes())
    return path


def characters(seconds: float, loss: str) -> list[Record]:
    """The characters of clips, on the official split."""
    clips, train, test = digits()
    model, took = fitted(clips.pairs(train), [said(name) for name in train], seconds, loss=loss)
    found = counts([said(name) for name in test], model.predict(clips.pairs(test)), took)
    return [{"what": f"characters, {loss}", "bar": "CER 2", **found}]


def speakers(seconds: float, only: Sequence[str] = ()) -> list[Record]:
    """The characters of speakers that were never heard, by CTC."""
    clips, train, test = digits()
    names = [*train, *test]
    found = []
    for speaker in only or sorted({name.split("_")[1] for name in names}):
        heard = [name for name in names if name.split("_")[1] != speaker]
        new = [name for name in names if name.split("_")[1] == speaker]
        model, took = fitted(clips.pairs(heard), [said(name) for name in heard], seconds)
        row = counts([said(name) for name in new], model.predict(clips.pairs(new)), took)
        found.append({"what": f"without {speaker}", "bar": "reported", **row})
    return found


def glued(clips: Clips, names: Sequence[str], count: int, seed: int) -> tuple[list[Any], list[str]]:
    """Return strings of digits of one speaker each, with gaps as quiet as the ends of the clips."""
    generator = np.random.default_rng(seed)
    by_speaker: dict[str, list[str]] = {}
    for name in names:
        by_speaker.setdefault(name.split("_")[1], []).append(name)
    sounds, texts = [], []
    for _ in range(count):
        own = by_speaker[str(generator.choice(sorted(by_speaker)))]
        chosen = [own[row] for row in generator.integers(len(own), size=generator.integers(3, 8))]
        parts = [_gap(generator)]
        for name in chosen:
            parts += [clips.samples[name], _gap(generator)]
        sounds.append((np.concatenate(parts), 8000))
        texts.append(" ".join(said(name) for name in chosen))
    return sounds, texts


def _gap(generator: np.random.Generator) -> NDArray[np.float32]:
    length = int(8 * generator.integers(50, 301))
    return generator.normal(scale=1e-3, size=length).astype(np.float32)


def strings(seconds: float) -> list[Record]:
    """Strings of digits: greedy, a beam, a beam with n-grams whose weight is found on what was held out."""
    clips, train, test = digits()
    held = set(np.random.default_rng(1).choice(train, 200, replace=False).tolist())
    sounds, texts = glued(clips, [name for name in train if name not in held], 1500, 0)
    validation = glued(clips, sorted(held), 100, 2)
    unseen, references = glued(clips, test, 200, 3)
    begun = time.perf_counter()
    model = Transcriber(max_seconds=seconds, test=0.0, progress=False, language_model=NGRAMS)
    model.fit(sounds, texts, validation=validation)
    took = time.perf_counter() - begun
    fusion = model.fitted_.model.encoder.aids.fusion
    helped = f"strings, beam 16 and n-grams, weight {fusion.weight:g}, bonus {fusion.bonus:g}"
    rows = []
    for name, changes in (
        ("strings, greedy", {"language_model": None}),
        ("strings, beam 16", {"language_model": None, "beam_size": 16}),
        (helped, {"beam_size": 16}),
    ):
        begun = time.perf_counter()
        heard = [found[0].text for found in model.transcribe(unseen, **changes)]
        spent = 1e3 * (time.perf_counter() - begun) / len(unseen)
        row = counts(references, heard, took)
        rows.append({"what": name, "bar": "WER 4; n-grams better than greedy", **row, "decoding": round(spent, 1)})
    return rows


def streaming(seconds: float) -> list[Record]:
    """A causal model: each test file in packets of 10 ms, and whole; on one thread."""
    torch.set_num_threads(1)
    clips, train, test = digits()
    model, took = fitted(clips.pairs(train), [said(name) for name in train], seconds, streaming=True)
    whole = [found[0] for found in model.transcribe(clips.pairs(test))]
    equal, furthest, spent, heard = 0, 0.0, [], 0.0
    stream, worked = model.stream(rate=8000), time.thread_time()
    for name, expected in zip(test, whole, strict=True):
        stream.reset()
        ended = []
        samples = clips.samples[name]
        for first in range(0, len(samples), 80):
            begun = time.perf_counter()
            ended += stream.push(samples[first : first + 80]).ended
            spent.append(time.perf_counter() - begun)
        ended += stream.finish().ended
        heard += len(samples) / 8000
        text = " ".join(own.text for own in ended)
        equal += text == expected.text
        if text and len(ended) == 1:
            furthest = max(furthest, abs(ended[0].score - expected.score))
    worked = time.thread_time() - worked
    milliseconds = 1e3 * np.array(spent)
    row = counts([said(name) for name in test], [own.text for own in whole], took)
    return [
        {
            "what": "causal, characters",
            "bar": "equal; scores within 1e-4; packet under 1 ms; 30 times real time",
            **row,
            "equal": f"{equal} of {len(test)}",
            "scores": f"{furthest:.1e}",
            "packet": f"{np.median(milliseconds):.3f} (99 %: {np.quantile(milliseconds, 0.99):.2f})",
            "real time": round(heard / sum(spent), 1),
            "of the processor": round(heard / worked, 1),
            "look-ahead": model.latency,
        }
    ]


RUN: dict[str, Callable[..., list[Record]]] = {
    "yesno": yesno,
    "fsdd": fsdd,
    "transducer": lambda seconds: characters(seconds, "transducer"),
    "speakers": speakers,
    "strings": strings,
    "streaming": streaming,
}


def remember(part: str, rows: list[Record]) -> dict[str, list[Record]]:
    """Keep the rows of a part in place of those of the same names, and return all there are."""
    known: dict[str, list[Record]] = json.loads(RECORDS.read_text(encoding="utf-8")) if RECORDS.exists() else {}
    stamp = {"date": date.today().isoformat(), "machine": machine()}
    if part == "speakers":
        new = {row["what"] for row in rows}
        rows = [*(row for row in known.get(part, []) if row["what"] not in new), *({**row, **stamp} for row in rows)]
    else:
        rows = [{**row, **stamp} for row in rows]
    known[part] = sorted(rows, key=lambda row: row["what"]) if part == "speakers" else rows
    RESULTS.mkdir(exist_ok=True)
    RECORDS.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    return known


def written(known: dict[str, list[Record]]) -> str:
    """Return the table of all that was run."""
    rows: list[list[object]] = []
    for part in PARTS:
        for row in known.get(part, []):
            error = 100 - row["accuracy"] if "accuracy" in row else row["WER"]
            cer = f"{row['CER']:.2f}" if "CER" in row else ""
            errors = [f"{error:.2f}", interval(row["errors"], row["words"]), cer]
            rows.append([part, row["what"], *errors, row["bar"], f"{row['seconds']:.0f}", row.get("confusions", "")])
        own = known.get(part, []) if part == "speakers" else []
        if len(own) > 1:
            errors, words = sum(row["errors"] for row in own), sum(row["words"] for row in own)
            rates = np.array([row["WER"] for row in own])
            mean = f"{rates.mean():.2f} +- {rates.std(ddof=1):.2f} over {len(own)} speakers"
            rows.append([part, "all left out in turn", mean, interval(errors, words), "", "reported", "", ""])
    head = ["part", "what", "errors, % of words", "95 % interval", "CER, %", "must reach", "fit, s", "most frequent"]
    lines = [table(head, rows)]
    for row in known.get("streaming", []):
        lines.append(
            f"Streams of packets of 10 ms, one thread: the text of the whole recording in {row['equal']} files, scores "
            f"within {row['scores']}; a packet takes {row['packet']} ms, {row['real time']} times real time, "
            f"{row.get('of the processor', 'not measured')} by the time of the processor; it looks "
            f"{row['look-ahead']:g} ms ahead."
        )
    for row in known.get("strings", []):
        lines.append(f"{row['what']}: {row['decoding']} ms a string, network and decoding.")
    dates = sorted({row["date"] for own in known.values() for row in own})
    machines = sorted({row["machine"] for own in known.values() for row in own})
    head_line, text = (__doc__ or "").split("\n", 1)
    stamp = f"{', '.join(dates)}; {'; '.join(machines)}; other work ran beside, so that times are upper bounds."
    return f"# {head_line}\n{text}\n{stamp}\n\n" + "\n\n".join(lines)


def main() -> None:
    """Run parts and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--seconds", type=float, help="of training a fit, instead of those of the part")
    parser.add_argument("--speakers", default="", help="for `speakers`: those to be left out, separated by commas")
    own = parser.parse_args()
    unknown = [part for part in own.parts if part not in RUN]
    if unknown:
        sys.exit(f'there is no part "{unknown[0]}"; expected {", ".join(PARTS)}')
    for part in own.parts or PARTS:
        options = {"only": own.speakers.split(",")} if part == "speakers" and own.speakers else {}
        known = remember(part, RUN[part](own.seconds or SECONDS[part], **options))
        keep("speech.md", written(known))


if __name__ == "__main__":
    main()
