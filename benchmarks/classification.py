"""Classifiers of texts and of numeric sequences: accuracy on sets that others report on, and latency.

    python benchmarks/classification.py sst2       sentiment of sentences, two classes, no pretrained vectors
    python benchmarks/classification.py sst5       the same with five classes
    python benchmarks/classification.py ucr        four sets of the UCR/UEA archive, beside 1-NN DTW
    python benchmarks/classification.py latency    one answer of a warm model, and of a cold process

Settings were chosen by validation parts, and are the same for all seeds, and for all sets of the archive.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cell_tasks import stamp
from common import data_file, keep, table
from ostinato import SequenceClassifier, TextClassifier
from ostinato.tasks.base.summary import Summary
from ostinato.tasks.classify.sequence_baselines import STATISTICS

SENTENCES: dict[str, Any] = {
    "dropout": 0.5, "input_dropout": 0.5, "word_dropout": 0.3, "embedding_dropout": 0.3, "label_smoothing": 0.1,
    "weight_decay": 1.0, "averaging": "ema", "averaging_decay": 0.998, "epochs": 8, "patience": None,
}  # fmt: skip
ARCHIVE: dict[str, Any] = {}
FORWARD: dict[str, Any] = {"bidirectional": False}
SETS = ("JapaneseVowels", "BasicMotions", "ItalyPowerDemand", "GunPoint")
SEEDS = (0, 1, 2)
OTHERS = ("1-NN DTW", "1-NN DTW, not standardised", STATISTICS)
_COLD = "import sys, ostinato; print(ostinato.load(sys.argv[1]).predict([sys.argv[2]])[0])"


def sst2() -> None:
    """Fit on sentences of the Stanford Sentiment Treebank, with no phrases and no vectors from elsewhere."""
    parts = [_labelled(data_file(f"sst2/{part}.tsv"), lambda line: line.rsplit("\t", 1)) for part in _PARTS]
    _sentences("sst2", "SST-2: two classes, sentences only, no pretrained vectors", parts)


def sst5() -> None:
    """Fit on the same sentences with five classes."""
    parts = [_labelled(data_file(f"sst5/stsa.fine.{part}"), lambda line: line.split(" ", 1)[::-1]) for part in _PARTS]
    _sentences("sst5", "SST-5: five classes, sentences only, no pretrained vectors", parts)


_PARTS = ("train", "dev", "test")
Part = tuple[list[str], list[str]]


def _labelled(path: Path, split: Callable[[str], list[str]]) -> Part:
    rows = [split(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [row[0].strip() for row in rows], [row[1].strip() for row in rows]


def _sentences(name: str, title: str, parts: list[Part]) -> None:
    rows, summaries = [], []
    for seed in SEEDS:
        model = TextClassifier(**SENTENCES, seed=seed)
        began = time.perf_counter()
        model.fit(parts[0], validation=parts[1], test=parts[2])
        spent = time.perf_counter() - began
        own = model.summary_
        summaries.append(own)
        validation = model.evaluate(parts[1])["accuracy"]
        figures = own.scores["model"]
        rows.append([f"seed {seed}", validation, *figures.values(), f"{own.seconds:.0f}", f"{spent:.0f}"])
    best = [[other, "", *own.values(), "", ""] for other, own in summaries[0].scores.items() if other != "model"]
    head = ["", "validation accuracy", *summaries[0].scores["model"], "training, s", "all, s"]
    keep(
        f"classification-{name}.md",
        f"# {title}\n\n{stamp()}; {summaries[0].parameters:,} weights\n\n`{model!r}`\n\n{table(head, [*rows, *best])}"
        f"\n\nTest accuracy of the seeds: {_mean(summaries)}. {summaries[0].protocol}.\n\n{_calibrated(summaries)}",
    )


def _mean(summaries: list[Summary]) -> str:
    own = [summary.scores["model"]["accuracy"] for summary in summaries]
    return f"{100 * statistics.mean(own):.1f} % in the mean, {100 * min(own):.1f} to {100 * max(own):.1f}"


def _calibrated(summaries: list[Summary]) -> str:
    return "\n".join(
        f"- seed {seed}: {dict(own.data)['calibration']}" for seed, own in zip(SEEDS, summaries, strict=True)
    )


def ucr() -> None:
    """Fit on the training part of each set; test on the test part."""
    rows: list[list[object]] = []
    for name in SETS:
        both = [_fitted(name, seed, ARCHIVE) for seed in SEEDS]
        forward = [_fitted(name, seed, FORWARD) for seed in SEEDS]
        scores = both[0].scores
        others = [f"{100 * scores[other]['accuracy']:.1f}" if other in scores else "" for other in OTHERS]
        seconds = f"{max(own.seconds for own in [*both, *forward]):.0f}"
        rows.append([name, _each(both), _each(forward), *others, seconds])
    head = ["set", "ours: mean (seeds)", "ours, forward only: it streams", *OTHERS, "training, s at most"]
    keep(
        "classification-ucr.md",
        f"# Sets of the UCR/UEA archive: accuracy on the test part, %\n\n{stamp()}\n\n"
        f"`{SequenceClassifier(**ARCHIVE)!r}`\n\n{table(head, rows)}\n\n"
        "The same settings, those by default, for all sets.",
    )


def _fitted(name: str, seed: int, options: dict[str, Any]) -> Summary:
    train, test = (data_file(f"ucr_uea/{name}/{name}_{part}.ts") for part in ("TRAIN", "TEST"))
    return SequenceClassifier(**options, seed=seed).fit(train, test=test).summary_


def _each(summaries: list[Summary]) -> str:
    own = [100 * summary.scores["model"]["accuracy"] for summary in summaries]
    return f"{statistics.mean(own):.1f} ({', '.join(f'{value:.1f}' for value in own)})"


def latency() -> None:
    """Time one answer of a warm model, a streamed step, and the first answer of a new process."""
    torch.set_num_threads(1)
    parts = [_labelled(data_file(f"sst2/{part}.tsv"), lambda line: line.rsplit("\t", 1)) for part in _PARTS[:2]]
    texts = TextClassifier(**{**SENTENCES, "epochs": 1}, test=0.0).fit(parts[0], validation=parts[1])
    train = data_file("ucr_uea/JapaneseVowels/JapaneseVowels_TRAIN.ts")
    sequences = SequenceClassifier(**{**FORWARD, "epochs": 2}, test=0.0).fit(train)
    whole = [np.random.default_rng(0).normal(size=(29, 12))]
    stream = sequences.stream()
    rows = [
        ["one sentence", f"{_median(lambda: texts.predict(parts[1][0][:1])):.2f} ms"],
        ["one sequence of 29 steps, 12 channels", f"{_median(lambda: sequences.predict(whole)):.2f} ms"],
        ["one streamed step", f"{_median(lambda: stream.push(whole[0][0])):.3f} ms"],
        ["a new process: import, load, one sentence", f"{_cold(texts, parts[1][0][0]):.2f} s"],
    ]
    keep("classification-latency.md", f"# Classifiers: latency\n\n{stamp()}\n\n{table(['', 'median'], rows)}")


def _median(call: Callable[[], Any], turns: int = 200) -> float:
    """Return the median time of a call in milliseconds, after ten that do not count."""
    times = []
    for _ in range(turns + 10):
        began = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times[10:])


def _cold(model: TextClassifier, text: str) -> float:
    """Return the median seconds of a process that imports, loads a model and answers once."""
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "m")
        times = []
        for _ in range(5):
            began = time.perf_counter()
            subprocess.run(
                [sys.executable, "-c", _COLD, str(Path(folder) / "m"), text], check=True, capture_output=True
            )
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    """Run one of the benchmarks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    known = {"sst2": sst2, "sst5": sst5, "ucr": ucr, "latency": latency}
    parser.add_argument("what", choices=known)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of PyTorch and the engine")
    own = parser.parse_args()
    torch.set_num_threads(own.threads)
    known[own.what]()


if __name__ == "__main__":
    main()
