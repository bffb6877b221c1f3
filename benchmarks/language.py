"""Language models: quality on texts that others report on, and speed beside torch.nn.

    python benchmarks/language.py shakespeare [--seconds 170]     characters, the last tenth held out
    python benchmarks/language.py ptb [--seconds 6900]            Penn Treebank, words, two LSTM layers of 200
    python benchmarks/language.py speed                           training, tokens a second, the same model in torch.nn
    python benchmarks/language.py vocabulary                      training with 50,000 and 200,000 words
    python benchmarks/language.py latency                         a cold process, a line, a token

Published: for Penn Treebank, W. Zaremba, I. Sutskever and O. Vinyals (2014), "small": 120.7 perplexity in validation,
114.5 in the test; that model's sizes are used here.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from cell_tasks import stamp
from common import data_file, keep, table
from latency import median_ms
from ostinato import LanguageModel
from ostinato.cells import GRUCell, LSTMCell
from ostinato.nn import FullSoftmax, Recurrent
from ostinato.nn.softmax import adaptive_cutoffs
from ostinato.tasks.language.network import LanguageNetwork
from ostinato.training import TrainingConfig
from ostinato.training.optimisers import make_optimizer

SHAKESPEARE: dict[str, Any] = {
    "cell": "lstm", "hidden_size": 320, "steps": 64, "batch_size": 32, "learning_rate": 4e-3, "validation": 0.0005,
    "test": 0.1, "epochs": 8, "patience": None, "dropout": 0.0, "ngrams": False,
}  # fmt: skip
LONGER: dict[str, Any] = {
    **SHAKESPEARE, "hidden_size": 340, "steps": 128, "epochs": 26, "dropout": 0.3, "input_dropout": 0.1,
    "weight_drop": 0.2, "validation": 0.01,
}  # fmt: skip
PTB: dict[str, Any] = {
    "level": "word", "cell": "lstm", "hidden_size": 200, "num_layers": 2, "steps": 20, "batch_size": 20, "epochs": 13,
    "learning_rate": 2e-3, "dropout": 0.2, "tie_weights": True, "output": "softmax", "patience": None, "ngrams": False,
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


class Ours(nn.Module):
    """Embedding, recurrent layers, output layer with its loss, all of them ours."""

    def __init__(self, layers: nn.Module, vocabulary: int, size: int) -> None:
        super().__init__()
        self.embedding, self.layers = nn.Embedding(vocabulary, size), layers
        self.scores = FullSoftmax(size, vocabulary)

    def forward(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the loss."""
        return self.scores.loss(self.layers(self.embedding(tokens))[0], targets)


class Theirs(nn.Module):
    """The same model in torch.nn, as its users write it."""

    def __init__(self, layers: nn.Module, vocabulary: int, size: int) -> None:
        super().__init__()
        self.embedding, self.layers, self.scores = nn.Embedding(vocabulary, size), layers, nn.Linear(size, vocabulary)

    def forward(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the loss."""
        scores = self.scores(self.layers(self.embedding(tokens))[0])
        return nn.functional.cross_entropy(scores.flatten(0, 1), targets.flatten())


def speed(_: float) -> None:
    """Time training steps of the same model in Ostinato and in torch.nn, in turns, and of the layers by themselves."""
    rows: list[list[object]] = []
    for kind, (size, depth, steps, batch, vocabulary) in product(("LSTM", "GRU"), SIZES):
        cell = LSTMCell if kind == "LSTM" else GRUCell
        pairs = (Recurrent(cell(size, size), depth), getattr(nn, kind)(size, size, depth))
        models = {"ours": Ours(pairs[0], vocabulary, size), "theirs": Theirs(pairs[1], vocabulary, size)}
        tokens = torch.randint(vocabulary, (steps + 1, batch))
        optimisers = {
            label: make_optimizer(list(model.parameters()), TrainingConfig(optimizer="adamw"))
            for label, model in models.items()
        }
        xs = torch.randn(steps, batch, size, requires_grad=True)

        def whole(label: str, models: Any = models, tokens: Any = tokens, optimisers: Any = optimisers) -> None:
            optimisers[label].zero_grad()
            models[label](tokens[:-1], tokens[1:]).backward()
            nn.utils.clip_grad_norm_(models[label].parameters(), 1.0)
            optimisers[label].step()

        def layers(label: str, models: Any = models, xs: Any = xs) -> None:
            models[label].layers(xs)[0].sum().backward()

        for what, step in (("whole step", whole), ("recurrent layers alone", layers)):
            times: dict[str, list[float]] = {label: [] for label in models}
            for turn, label in product(range(13), models):
                began = time.perf_counter()
                step(label)
                if turn > 2:
                    times[label].append(time.perf_counter() - began)
            rates = {label: steps * batch / statistics.median(own) for label, own in times.items()}
            name = f"{depth} x {kind} {size}, {batch} x {steps}, {vocabulary:,} tokens"
            ratio = f"{rates['ours'] / rates['theirs']:.2f}"
            rows.append([name, what, f"{rates['ours']:,.0f}", f"{rates['theirs']:,.0f}", ratio])
    head = ["model", "what", "ours, tokens a second", "torch.nn", "ratio"]
    note = "A whole step: embedding, layers, output layer, loss, backward, clipping, AdamW (fused in both)."
    keep("language-speed.md", f"# Language models: training speed\n\n{stamp()}\n\n{note}\n\n{table(head, rows)}")


def vocabulary(_: float) -> None:
    """Time training steps with large vocabularies, words drawn by Zipf's law."""
    rows: list[list[object]] = []
    for size in (50_000, 200_000):
        counts = (1e7 / np.arange(1, size + 1)).astype(np.int64)
        tokens = torch.from_numpy(np.random.default_rng(0).choice(size, (21, 32), p=counts / counts.sum()))
        whole = 0.0
        for output in ("softmax", "sampled", "adaptive"):
            cutoffs = adaptive_cutoffs(counts, 256) if output == "adaptive" else ()
            model = LanguageModel(
                cell="lstm",
                hidden_size=256,
                embedding_size=256,
                steps=20,
                dropout=0.0,
                tie_weights=False,
                output=output,
            )
            # all that a network asks of an encoder, without a text of so many words
            encoder: Any = SimpleNamespace(
                vocabulary=range(size), counts=counts, cutoffs=cutoffs, output=output, dropout=0.0, input_dropout=0.0
            )
            network = LanguageNetwork(model, encoder).train()
            optimiser = make_optimizer(list(network.parameters()), TrainingConfig(optimizer="adamw"))
            times = []
            for _turn in range(6):
                began = time.perf_counter()
                loss, _ys, _state = network(tokens[:-1], None, tokens[1:])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                times.append(time.perf_counter() - began)
            rate = tokens[1:].numel() / statistics.median(times[1:])
            whole = whole or rate
            rows.append([f"{size:,}", output, f"{rate:,.0f}", f"{rate / whole:.1f}"])
    head = ["words", "output", "tokens a second", "to the whole softmax"]
    text = f"LSTM of 256 units, 32 x 20 tokens, 1,024 samples, AdamW.\n\n{table(head, rows)}"
    keep("language-vocabulary.md", f"# Language models: large vocabularies\n\n{stamp()}\n\n{text}")


COLD = """
import time; began = time.perf_counter()
import sys, ostinato
model = ostinato.load(sys.argv[1]); loaded = time.perf_counter()
model.stream().push("To be, or not to be"); answered = time.perf_counter()
print(loaded - began, answered - began, time.process_time())
"""


def latency(_: float) -> None:
    """Time a cold process up to its first answer, then a line and a token."""
    text = data_file("tinyshakespeare/input.txt").read_text()[:200_000]
    rows: list[list[object]] = []
    torch.set_num_threads(1)
    for options in ({"hidden_size": 320}, {"level": "word", "hidden_size": 200, "num_layers": 2, "steps": 20}):
        model = LanguageModel(**options, epochs=1, max_seconds=5, progress=False).fit([text])
        with tempfile.TemporaryDirectory() as folder:
            model.save(folder)
            command = [sys.executable, "-c", COLD, folder]
            runs = [
                [
                    float(part)
                    for part in subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()
                ]
                for _run in range(5)
            ]
        loaded, answered, processor = (statistics.median(own) for own in zip(*runs, strict=True))
        stream, written = model.stream(), model.write("To be")
        line = median_ms(lambda own=stream: own.push("to be or not to be that is"), 100)
        token = median_ms(lambda own=written: next(own), 300)
        name = f"{model.num_layers} x LSTM {options['hidden_size']}"
        rows.append(
            [f"{name}, {len(model.fitted_.model.encoder.vocabulary):,} tokens", f"{loaded:.2f} s", f"{answered:.2f} s",
             f"{processor:.2f} s", f"{line:.2f} ms", f"{token:.3f} ms"]
        )  # fmt: skip
    head = ["model", "cold: loaded", "cold: first answer", "of the processor", "a line scored", "a token written"]
    keep("language-latency.md", f"# Language models: latency\n\n{stamp()}\n\n{table(head, rows)}")


WHAT = {"shakespeare": shakespeare, "ptb": ptb, "speed": speed, "vocabulary": vocabulary, "latency": latency}


def main() -> None:
    """Run one of the benchmarks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=list(WHAT))
    parser.add_argument("--ngrams", action="store_true", help="mix the network with n-grams, as it is by default")
    parser.add_argument("--seconds", type=float, help="of training at most (170; 6900 for ptb)")
    own = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    for options in (SHAKESPEARE, LONGER, PTB):
        options["ngrams"] = own.ngrams
    default = 6900.0 if own.what == "ptb" else 170.0
    WHAT[own.what](own.seconds or default)


if __name__ == "__main__":
    main()
