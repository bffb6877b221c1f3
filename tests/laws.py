"""Small data of every task that follows one of two laws, so that a model of the first has something to learn."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ostinato import (
    AnomalyDetector,
    Captioner,
    Composer,
    EventPredictor,
    Forecaster,
    LanguageModel,
    PatientMonitor,
    ProgressionModel,
    SequenceClassifier,
    SequenceTagger,
    TextClassifier,
    Transcriber,
    Translator,
    VideoAnomalyDetector,
    VideoClassifier,
)

QUIET = {"progress": False, "hidden_size": 16, "seed": 0}


@dataclass(frozen=True)
class Case:
    """A task: what makes its model, and its data of either law."""

    make: Callable[[], Any]
    data: Callable[[bool, int], Any]


def _rng(other: bool, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, int(other)])


def _series(other: bool, seed: int) -> dict[str, list]:
    """Rows of an hourly series; those of the other law follow behind, with another daily wave."""
    rows, hours = (400, np.arange(400)) if not other else (300, 400 + np.arange(300))
    wave = np.sin(hours * np.pi / 12) if not other else np.sign(np.sin(hours * np.pi / 6)) * 2
    values = 50 + 10 * wave + _rng(other, seed).normal(0, 0.3, rows)
    times = np.datetime64("2022-01-01T00") + hours
    return {"time": [str(time) for time in times], "load": values.round(3).tolist()}


def _text(other: bool, seed: int) -> list[str]:
    words = ["one two three four"] if not other else ["four one three two"]
    rng = _rng(other, seed)
    return ["\n".join(" ".join(words * int(rng.integers(1, 4))) for _ in range(200)) + "\n"]


def _texts(other: bool, seed: int) -> tuple[list[str], list[str]]:
    rng = _rng(other, seed)
    good, bad = ("fine", "dull") if not other else ("dull", "fine")
    texts, labels = [], []
    for _ in range(160):
        kind = int(rng.integers(2))
        filler = " ".join(rng.choice(["a", "film", "the", "plot"], 3))
        texts.append(f"{filler} {good if kind else bad}")
        labels.append("up" if kind else "down")
    return texts, labels


def _sequences(other: bool, seed: int) -> tuple[list[np.ndarray], list[str]]:
    rng = _rng(other, seed)
    found, labels = [], []
    for _ in range(120):
        kind = int(rng.integers(2))
        rising = kind if not other else 1 - kind
        line = np.linspace(0, 1 if rising else -1, 8)[:, None]
        found.append(line + rng.normal(0, 0.1, line.shape))
        labels.append("up" if kind else "down")
    return found, labels


def _sentences(other: bool, seed: int) -> list[tuple[list[str], list[str]]]:
    rng = _rng(other, seed)
    tags = {"dog": "N", "cat": "N", "runs": "V", "sleeps": "V"} if not other else {
        "dog": "V", "cat": "V", "runs": "N", "sleeps": "N"
    }  # fmt: skip
    rows = (rng.choice(list(tags), int(rng.integers(2, 6))).tolist() for _ in range(120))
    return [(row, [tags[word] for word in row]) for row in rows]


def _log(other: bool, seed: int) -> dict[str, list]:
    rng = _rng(other, seed)
    steps = ["open", "check", "fix", "close"] if not other else ["open", "fix", "check", "close"]
    rows: dict[str, list] = {"case": [], "activity": [], "time": []}
    for number in range(120):
        at = np.datetime64("2024-01-01T00") + np.timedelta64(7 * number + 5000 * int(other), "h")
        for step in steps:
            for name, value in (
                ("case", f"{'n' if other else 'c'}{number}"),
                ("activity", step),
                ("time", str(np.datetime64(at, "m"))),
            ):
                rows[name].append(value)
            at = at + np.timedelta64(int(rng.integers(60, 180)), "m")
    return rows


def _ward(other: bool, seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Measurements and outcomes of patients; of the other law it is those whose pulse stays that have the outcome."""
    rng = _rng(other, seed)
    rows: list[dict[str, Any]] = []
    outcomes: list[dict[str, Any]] = []
    for number in range(100):
        ill, name = int(rng.integers(2)), f"{'n' if other else 'c'}{number}-{seed}"
        outcomes.append({"id": name, "outcome": ill})
        for hour in range(6):
            slope = 5 * (1 - ill if other else ill)
            value = float(80 + slope * hour + rng.normal())
            rows.append({"id": name, "time": hour, "variable": "HR", "value": value})
    return rows, outcomes


def _visits(other: bool, seed: int) -> list[dict[str, Any]]:
    """Visits of patients; of the other law it is those whose value falls that have the event soon."""
    rng = _rng(other, seed)
    rows: list[dict[str, Any]] = []
    for number in range(100):
        ill, name = int(rng.integers(2)), f"{'n' if other else 'c'}{number}-{seed}"
        end = float(rng.uniform(4, 7)) if ill else float(rng.uniform(9, 12))
        for day in range(4):
            slope = 1.0 if bool(ill) != other else -1.0
            bili = float(5 + slope * day + rng.normal() / 3)
            rows.append({"id": name, "time": day, "bili": bili, "event": ill, "follow_up": end})
    return rows


def _pairs(other: bool, seed: int) -> list[tuple[str, str]]:
    words = {"a": "ein", "b": "zwei", "c": "drei"} if not other else {"a": "drei", "b": "ein", "c": "zwei"}
    rng = _rng(other, seed)
    rows = (rng.choice(list(words), int(rng.integers(1, 4))).tolist() for _ in range(160))
    return [(" ".join(row), " ".join(words[word] for word in row)) for row in rows]


TONES = {"lo": 400.0, "hi": 1600.0}


def spoken(words: list[str], rng: np.random.Generator, tones: dict[str, float] = TONES) -> np.ndarray:
    """Words as tones of 0.12 s with gaps, 8,000 samples a second."""
    parts = [rng.normal(0, 0.003, 400)]
    for word in words:
        times = np.arange(int(rng.integers(800, 1100))) / 8000
        tone = 0.3 * np.sin(2 * np.pi * tones[word] * rng.uniform(0.95, 1.05) * times)
        parts += [tone + rng.normal(0, 0.003, len(times)), rng.normal(0, 0.003, 500)]
    return np.concatenate(parts).astype(np.float32)


def _sounds(other: bool, seed: int) -> tuple[list[tuple[np.ndarray, int]], list[str]]:
    rng = _rng(other, seed)
    tones = TONES if not other else {"lo": TONES["hi"], "hi": TONES["lo"]}
    texts = [rng.choice(list(TONES), int(rng.integers(1, 4))).tolist() for _ in range(80)]
    return [(spoken(text, rng, tones), 8000) for text in texts], [" ".join(text) for text in texts]


def _music(other: bool, seed: int) -> list[list[list[int]]]:
    """Pieces of chords that go up the scale; those of the other law go down."""
    rng = _rng(other, seed)
    found = []
    for _ in range(60):
        steps = np.cumsum([0, *rng.integers(1, 3, 11)]) * (-1 if other else 1)
        root = int(rng.integers(55, 65)) + (12 if other else 0)
        found.append([[int(root + step), int(root + step + 4), int(root + step + 7)] for step in steps])
    return found


def _clips(other: bool, seed: int) -> tuple[list[np.ndarray], list[str]]:
    """Clips of a square that goes right or left; of the other law the names are exchanged."""
    rng = _rng(other, seed)
    found = []
    for number in range(40):
        frames = rng.integers(0, 30, (int(rng.integers(6, 9)), 12, 16), dtype=np.uint8)
        for time, frame in enumerate(frames):
            at = 1 + int(1.3 * time) if (number % 2 == 0) != other else 11 - int(1.3 * time)
            frame[4:8, at : at + 4] = 220
        found.append(frames)
    return found, ["onward", "back"] * 20


def _captioned(other: bool, seed: int) -> tuple[list[np.ndarray], list[str]]:
    """Clips that are red or blue, and what is said of them; of the other law the words are the other way round."""
    rng = _rng(other, seed)
    found, said = [], []
    for _ in range(60):
        red = int(rng.integers(2))
        clip = rng.integers(20, 60, (3, 16, 16, 3)).astype(np.uint8)
        clip[..., 0 if red else 2] += 150
        found.append(clip)
        said.append("it is red" if bool(red) != other else "it is blue")
    return found, said


def _film(other: bool, seed: int) -> list[np.ndarray]:
    """Clips of a bright square that goes to the right; of the other law it goes down, and faster."""
    rng = _rng(other, seed)
    found = []
    for _ in range(6):
        clip = rng.integers(40, 48, (20, 24, 32)).astype(np.uint8)
        at = int(rng.integers(0, 24))
        for frame in range(20):
            y, x = (8, (at + frame) % 24) if not other else ((at + 2 * frame) % 16, 12)
            clip[frame, y : y + 8, x : x + 8] += 150
        found.append(clip)
    return found


CASES: dict[str, Case] = {
    "anomaly detector": Case(
        lambda: AnomalyDetector(target="load", epochs=4, steps=32, learning_rate=1e-2, **QUIET), _series
    ),
    "forecaster": Case(lambda: Forecaster(6, target="load", context=24, segment=6, epochs=4, **QUIET), _series),
    "language model": Case(lambda: LanguageModel(epochs=4, steps=16, batch_size=8, learning_rate=1e-2, **QUIET), _text),
    "text classifier": Case(lambda: TextClassifier(epochs=6, learning_rate=1e-2, **QUIET), _texts),
    "sequence classifier": Case(
        lambda: SequenceClassifier(epochs=6, members=2, kernels=84, learning_rate=1e-2, **QUIET), _sequences
    ),
    "sequence tagger": Case(lambda: SequenceTagger(epochs=4, batch_size=16, **QUIET), _sentences),
    "event predictor": Case(lambda: EventPredictor(epochs=6, batch_size=16, learning_rate=1e-2, **QUIET), _log),
    "speech recogniser": Case(
        lambda: Transcriber(
            epochs=8,
            units="word",
            bins=12,
            channels=4,
            num_layers=1,
            batch_size=8,
            augmentation=0.2,
            learning_rate=2e-2,
            **QUIET,
        ),
        _sounds,
    ),
    "patient monitor": Case(
        lambda: PatientMonitor(epochs=6, members=2, batch_size=16, learning_rate=1e-2, time_unit="hours", **QUIET),
        _ward,
    ),
    "progression model": Case(
        lambda: ProgressionModel(
            epochs=6, members=1, batch_size=16, learning_rate=1e-2, time_unit="days", steps_ahead=4, **QUIET
        ),
        _visits,
    ),
    "captioner": Case(
        lambda: Captioner(
            epochs=8, widths=(4,), heads=1, batch_size=8, beam_size=2, augmentation=0.0, learning_rate=1e-2, **QUIET
        ),
        _captioned,
    ),
    "composer": Case(
        lambda: Composer(epochs=12, head_size=16, steps_per_quarter=1, learning_rate=2e-2, **QUIET), _music
    ),
    "video classifier": Case(
        lambda: VideoClassifier(
            height=12, width=16, rate=25, filters=4, features=8, epochs=6, learning_rate=1e-2, augmentation=0.2, **QUIET
        ),
        _clips,
    ),
    "video anomaly detector": Case(
        lambda: VideoAnomalyDetector(
            epochs=4, steps=6, learning_rate=1e-2, cell="gru", progress=False, hidden_size=8, seed=0
        ),
        _film,
    ),
    "translator": Case(
        lambda: Translator(epochs=6, level="word", batch_tokens=128, learning_rate=1e-2, **QUIET), _pairs
    ),
}
