"""Translators on Multi30k (D. Elliott et al., 2016): German and English captions, the 2016 flickr test.

    python benchmarks/translation.py multi30k de-en [--model gru|transformer|none] [--seconds 5000]
    python benchmarks/translation.py few [--seconds 30]         default options, 500 to 29,000 pairs, both directions
    python benchmarks/translation.py speed                      training, tokens a second; the latency of one sentence

Letter case counts, and sacrebleu parts words by itself, as its signature says. Published for German to English (the
issue's figures; lower case, other tokens): 13.8 without attention, 28.3 GRU with attention, 36.5 Transformer.
"""

from __future__ import annotations

import argparse
import gzip
import os
import statistics
import time
from typing import Any

import torch

from cell_tasks import stamp
from common import data_file, keep, table
from ostinato import Translator

RECIPE: dict[str, Any] = {
    "level": "subword", "vocabulary_size": 4000, "shared_vocabulary": True, "tie_weights": True,
    "embedding_size": 256, "hidden_size": 384, "dropout": 0.35, "label_smoothing": 0.1, "batch_tokens": 1024,
    "learning_rate": 3e-3, "schedule": "one_cycle", "epochs": 20, "patience": None,
}  # fmt: skip
MODELS: dict[str, dict[str, Any]] = {
    "gru": {**RECIPE, "cell": "gru", "attention": "general"},
    "none": {**RECIPE, "cell": "gru", "attention": "none"},
    "transformer": {
        **RECIPE, "cell": "transformer", "embedding_size": None, "hidden_size": 160, "num_layers": 3, "dropout": 0.2,
        "learning_rate": 1.5e-3,
    },
}  # fmt: skip


def files(part: str, direction: str) -> tuple[str, str]:
    """Return the two files of a part."""
    source, target = direction.split("-")
    return str(data_file(f"multi30k_en_de/{part}.{source}.gz")), str(data_file(f"multi30k_en_de/{part}.{target}.gz"))


def lines_of(path: str) -> list[str]:
    """Return the lines of a file."""
    with gzip.open(path, "rt") as file:
        return [line.strip() for line in file]


def multi30k(own: argparse.Namespace) -> None:
    """Fit, and translate the test."""
    options = {**MODELS[own.model], **({"epochs": own.epochs} if own.epochs else {}), "max_seconds": own.seconds}
    options["phrases"] = own.phrases
    model = Translator(**options)
    model.fit(
        files("train", own.direction),
        validation=files("val", own.direction),
        test=files("test_2016_flickr", own.direction),
        directory=f"{own.out}-run" if own.out else None,
        resume=True,
    )
    summary = model.summary_
    last, facts = summary.history[-1], dict(summary.data)
    samples = "\n".join(
        f"- {source}\n  - {found}\n  - *{reference}*" for source, found, reference in summary.panels[0].rows
    )
    scores = "\n".join(
        f"{name:>28}  " + "  ".join(f"{measure} {value:.2f}" for measure, value in values.items())
        for name, values in summary.scores.items()
    )
    keep(
        f"translation-{own.direction}-{own.model}.md",
        f"# Multi30k, {own.direction}, {own.model}\n\n{stamp()}; {summary.parameters:,} weights, {last['epoch']:.0f} "
        f"epochs in {last['seconds']:.0f} s; {facts['tokens in training']}\n\n"
        f"`{model!r}`\n\n```\n{scores}\n```\n\n{summary.protocol}\n\n{samples}",
    )
    if own.out:
        model.save(own.out)


def few(own: argparse.Namespace) -> None:
    """Fit with default options on the first pairs, and judge on the validation captions, of which every other decides.

    The test part is left to the panel.
    """
    rows: list[list[object]] = []
    for direction in ("de-en", "en-de"):
        train, judged = (list(zip(*map(lines_of, files(part, direction)), strict=True)) for part in ("train", "val"))
        for count in (500, 2_000, 5_000, 29_000):
            model = Translator(max_seconds=own.seconds, progress=False)
            model.fit(train[:count], validation=judged[::2], test=judged[1::2])
            assert model.scores_ is not None
            scores = {name: f"{each['BLEU']:.2f}" for name, each in model.scores_.values.items()}
            rows.append([direction, f"{count:,}", *scores.values(), model.summary_.settings["phrases"]])
    head = ["", "pairs", *scores, "how"]
    text = f"{own.seconds:g} s a fit, default options; BLEU of every other validation caption\n\n{table(head, rows)}"
    keep("translation-few-pairs.md", f"# Translation: few pairs, little time\n\n{stamp()}; {text}")


def speed(own: argparse.Namespace) -> None:
    """Time one sentence, greedy and with a beam, of a model of 256 units that has seen little."""
    model = Translator(hidden_size=256, epochs=1, max_seconds=20, vocabulary_size=4000, patience=None, phrases=False)
    model.fit(files("val", own.direction), validation=files("val", own.direction), test=files("val", own.direction))
    lines = []
    text = "Ein Mann in einem blauen Hemd steht auf einer Leiter."
    for name, search in (("greedy", {"beam_size": 1}), ("beam of 5", {"beam_size": 5})):
        times = []
        for _ in range(60):
            began = time.perf_counter()
            found = model.alternatives([text], max_length=12, min_length=12, **search)
            times.append(time.perf_counter() - began)
        assert len(found[0][0].hypothesis.tokens) == 12
        lines.append(f"- {name}: {1e3 * statistics.median(times[10:]):.2f} ms for a translation of 12 tokens")
    keep("translation-latency.md", f"# Translation: latency\n\n{stamp()}; GRU, 256 units\n\n" + "\n".join(lines))


def main() -> None:
    """Run one of the benchmarks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("multi30k", "few", "speed"))
    parser.add_argument("direction", nargs="?", default="de-en", choices=("de-en", "en-de"))
    parser.add_argument("--model", default="gru", choices=tuple(MODELS))
    parser.add_argument("--seconds", type=float, help="of training at most (5,000; 30 for few)")
    parser.add_argument("--epochs", type=int, help="over which the learning rate falls (the recipe's)")
    parser.add_argument("--phrases", action="store_true", help="with phrases beside the network, as it is by default")
    parser.add_argument("--out", help="keep the model in this folder")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    own = parser.parse_args()
    own.seconds = own.seconds or (30.0 if own.what == "few" else 5000.0)
    torch.set_num_threads(own.threads)
    {"multi30k": multi30k, "few": few, "speed": speed}[own.what](own)


if __name__ == "__main__":
    main()
