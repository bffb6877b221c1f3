"""Language models: quality on texts that others report on, and speed beside torch.nn.

    python benchmarks/language.py shakespeare [--seconds 170]     characters, the last tenth held out
    python benchmarks/language.py ptb [--seconds 6900]            Penn Treebank, words, two LSTM layers of 200
    python benchmarks/language.py speed                           training, tokens a second, the same model in torch.nn

Published: for Penn Treebank, W. Zaremba, I. Sutskever and O. Vinyals (2014), "small": 120.7 perplexity in validation,
114.5 in the test; that model's sizes are used here.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from itertools import product
from typing import Any

import torch
from torch import nn

from cell_tasks import stamp
from common import data_file, keep, table
from ostinato import LanguageModel
from ostinato.cells import GRUCell, LSTMCell
from ostinato.nn import Recurrent

SHAKESPEARE: dict[str, Any] = {
    "cell": "lstm", "hidden_size": 320, "steps": 64, "batch_size": 32, "learning_rate": 4e-3, "validation": 0.0005,
    "test": 0.1, "epochs": 8, "patience": None,
}  # fmt: skip
LONGER: dict[str, Any] = {**SHAKESPEARE, "epochs": 18, "dropout": 0.2}
PTB: dict[str, Any] = {
    "level": "word", "cell": "lstm", "hidden_size": 200, "num_layers": 2, "steps": 20, "batch_size": 20, "epochs": 13,
    "learning_rate": 2e-3, "dropout": 0.2, "tie_weights": True, "patience": None,
}  # fmt: skip
SIZES = ((320, 1, 64, 32, 70), (200, 2, 20, 20, 10000))
"""Units, layers, steps, rows and tokens: characters as above, words as in Zaremba et al."""


def shakespeare(seconds: float) -> None:
    """Fit on nine tenths of tiny Shakespeare."""
    options = SHAKESPEARE if seconds < 600 else LONGER
    model = LanguageModel(**options, max_seconds=seconds)
    began = time.perf_counter()
    model.fit(data_file("tinyshakespeare/input.txt"))
    report("shakespeare", model, time.perf_counter() - began, model.generate("ROMEO:", length=400, temperature=0.8))


def ptb(seconds: float) -> None:
    """Fit on Penn Treebank; the validation text chooses the epoch."""
    model = LanguageModel(**PTB, max_seconds=seconds)
    began = time.perf_counter()
    model.fit(
        data_file("ptb/ptb.train.txt.gz"), validation=data_file("ptb/ptb.valid.txt"), test=data_file("ptb/ptb.test.txt")
    )
    spent = time.perf_counter() - began
    validation = model.evaluate(data_file("ptb/ptb.valid.txt"))
    print(f"validation perplexity {validation.perplexity:.2f}")
    report("ptb", model, spent, model.generate("", length=60, temperature=0.8))


def report(name: str, model: LanguageModel, seconds: float, sample: str) -> None:
    """Keep scores and a sample."""
    weights = sum(own.numel() for own in model.fitted_.network.parameters())
    last = model.history_.rows[-1]
    text = (
        f"# Language model: {name}\n\n{stamp()}; {weights:,} weights, {last.epoch} epochs, {seconds:.0f} s in all\n\n"
        f"`{model!r}`\n\n```\n{model.scores_}\n```\n\n```\nROMEO:{sample}\n```"
    )
    keep(f"language-{name}-{round(seconds / 60)}min.md", text.replace("ROMEO:", "", int(name != "shakespeare")))


class Peer(nn.Module):
    """Embedding, recurrent layers, scores: the layers are given."""

    def __init__(self, layers: nn.Module, vocabulary: int, size: int) -> None:
        super().__init__()
        self.embedding, self.layers, self.scores = nn.Embedding(vocabulary, size), layers, nn.Linear(size, vocabulary)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return scores `(steps, batch, vocabulary)`."""
        scores: torch.Tensor = self.scores(self.layers(self.embedding(tokens))[0])
        return scores


def speed(_: float) -> None:
    """Time training steps of the same model with our layers and with those of torch.nn, in turns."""
    rows: list[list[object]] = []
    for kind, (size, depth, steps, batch, vocabulary) in product(("LSTM", "GRU"), SIZES):
        cell = LSTMCell if kind == "LSTM" else GRUCell
        ours = Peer(Recurrent(cell(size, size), depth), vocabulary, size)
        theirs = Peer(getattr(nn, kind)(size, size, depth), vocabulary, size)
        tokens = torch.randint(vocabulary, (steps + 1, batch))
        times: dict[str, list[float]] = {"ours": [], "theirs": []}
        for turn in range(13):
            for label, model in (("ours", ours), ("theirs", theirs)):
                began = time.perf_counter()
                loss = nn.functional.cross_entropy(model(tokens[:-1]).flatten(0, 1), tokens[1:].flatten())
                loss.backward()
                if turn > 2:
                    times[label].append(time.perf_counter() - began)
        rates = {label: steps * batch / statistics.median(own) for label, own in times.items()}
        what = f"{depth} x {kind} {size}, {batch} x {steps}, {vocabulary} tokens"
        rows.append(
            [what, f"{rates['ours']:,.0f}", f"{rates['theirs']:,.0f}", f"{rates['ours'] / rates['theirs']:.2f}"]
        )
    head = ["model", "ours, tokens a second", "torch.nn", "ratio"]
    keep("language-speed.md", f"# Language models: training speed\n\n{stamp()}\n\n{table(head, rows)}")


def main() -> None:
    """Run one of the benchmarks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("shakespeare", "ptb", "speed"))
    parser.add_argument("--seconds", type=float, help="of training at most (170; 6900 for ptb)")
    own = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    default = 6900.0 if own.what == "ptb" else 170.0
    {"shakespeare": shakespeare, "ptb": ptb, "speed": speed}[own.what](own.seconds or default)


if __name__ == "__main__":
    main()
