"""What is a captioner's own; all else is of `ostinato.tasks.base`."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ostinato.errors import DataError, UsageError
from ostinato.nn.by_name import TRANSFORMER
from ostinato.tasks.base.corpus_scores import metrics, signatures
from ostinato.tasks.base.holding_out import Held, Shares, drawn_groups, percent
from ostinato.tasks.base.suited import Suited
from ostinato.tasks.base.summary import Panel
from ostinato.tasks.base.task import Baselines, Task
from ostinato.tasks.base.units import Units
from ostinato.tasks.captions.baselines import MostFrequentCaption, NearestClip
from ostinato.tasks.captions.batches import CaptionBatches, suited_batch
from ostinato.tasks.captions.encoding import CaptionEncoder, Shown
from ostinato.tasks.captions.measures import DIFFERENT, Counters, Said, caption_measures, caption_units
from ostinato.tasks.captions.network import CaptionNetwork
from ostinato.tasks.captions.noise import Noise, WordSwaps, hidden
from ostinato.tasks.captions.panels import caption_panels
from ostinato.tasks.captions.parameters import CaptionParameters
from ostinato.tasks.captions.reading import Captioned, caption_pairs, given_clips, read_captioned
from ostinato.tasks.captions.stream import CaptionStream
from ostinato.tasks.captions.writing import CaptionModel, captions_of, memories, search_of
from ostinato.training.config import TrainingConfig
from ostinato.training.objective import Carry, Step
from ostinato.words import counted

_WHERE_SECONDS = 600  # epochs, where the time is said and not the passes
_FEW = 50  # clips, of which no network learns what a clip shows
_MEASURED = 500  # clips of rows of numbers, whose mean and spread are taken


class CaptionObjective:
    """Cross-entropy of a caption's tokens, in training with smoothed labels and words before that are not all true.

    At first all of them are hidden, `look_first` of the training, so that the network has to look; then, over half as
    long again, fewer, down to `word_dropout`. Of those that are shown, `word_swap` are exchanged for others of their
    kind.

    Args:
        parameters: of the captioner.
        noise: how much of it there is.
        steps: of the whole training, as far as is known.
        captions: tokens of the training captions.
    """

    def __init__(
        self, parameters: CaptionParameters, noise: Noise, steps: int, captions: Iterable[Sequence[int]] = ()
    ) -> None:
        self.parameters, self.noise, self.steps = parameters, noise, max(1, steps)
        self.swaps, self.began = WordSwaps(captions), time.monotonic()

    def __call__(self, module: nn.Module, batch: Any, carry: Carry | None) -> Step:
        """Read a batch."""
        if not module.training:
            return Step(*module(batch))
        given = self.parameters
        share = self.hidden(self.done(int(module.learned)))  # type: ignore[arg-type]
        before = hidden(self.swaps(batch.targets[:-1], self.noise.word_swap), share)
        return Step(*module(batch, label_smoothing=given.label_smoothing, before=before))

    def done(self, learned: int) -> float:
        """Return how much of the training is done, after so many steps: of them or, where it is said, of the time."""
        limit = self.parameters.max_seconds
        passed = 0.0 if limit is None else (time.monotonic() - self.began) / limit
        return max(learned / self.steps, passed)

    def hidden(self, done: float) -> float:
        """Return the share of the tokens that are hidden."""
        first, least = self.noise.look_first, self.parameters.word_dropout
        return max(least, 1.0 - max(0.0, done - first) / (first / 2)) if first else least


class CaptionTask(Task[CaptionParameters, Captioned, CaptionEncoder, Shown, Said]):
    """Clips and what people said of them."""

    records = "clips"
    content_name = "clips"
    higher = frozenset({"CIDEr-D", "ROUGE-L", "BLEU", "chrF", "exact sentences"})
    decides = ("CIDEr-D", "ROUGE-L")
    descriptive = Task.descriptive | {DIFFERENT}
    encoder_type = CaptionEncoder
    baseline_types = (MostFrequentCaption, NearestClip)
    suited = Suited(steps=1200, least=8, most=150)
    kept = "the vocabulary, the size of frames and the baselines"

    def check(self, parameters: CaptionParameters, *, tested: bool) -> None:
        given = parameters
        if given.cell == TRANSFORMER:
            raise UsageError(
                "cell is transformer, but clips are read by a recurrent one; expected a cell of docs/cells.md"
            )
        if given.hidden_size % 2:
            raise UsageError(f"hidden_size is {given.hidden_size}; expected an even number, half for each direction")
        if not given.widths or any(type(width) is not int or not 1 <= width <= 4096 for width in given.widths):
            raise UsageError(f"widths is {given.widths!r}; expected one or more whole numbers from 1 to 4096")

    def joined(self, data: Any, labels: Any) -> Any:
        return caption_pairs(data, labels)

    def read(
        self, parameters: CaptionParameters, source: Any, reading: Any = None, *, labelled: bool = True
    ) -> Captioned:
        return read_captioned(parameters, source, labelled=labelled)

    def reading(self, records: Captioned) -> bool:
        """Return that these are not the training data."""
        return True

    def hold_out(self, parameters: CaptionParameters, records: Captioned, shares: Shares) -> Held[Captioned]:
        rows = drawn_groups(records.groups(), (shares.validation, shares.test), parameters.seed)
        train, validation, test = (records.part(chosen) for chosen in rows)
        kept = ", each group on one side" if records.clips.groups is not None else ", all captions of one on one side"
        return Held(train, validation, test, f"{percent(shares.test)} of the clips, drawn{kept}")

    def contents(self, records: Captioned) -> Iterable[bytes]:
        return records.clips.contents()

    def join(self, first: Captioned, second: Captioned) -> Captioned:
        return first.joined(second)

    def title(self, records: Captioned) -> str:
        return f"Captions of {records.origin}"

    def config(self, parameters: CaptionParameters, train: Captioned) -> TrainingConfig:
        """Return the settings; where the time is said, and not the passes, all of it is used."""
        if parameters.epochs is None and parameters.max_seconds is not None:
            return TrainingConfig.of(parameters, epochs=_WHERE_SECONDS)
        return super().config(parameters, train)

    def steps_an_epoch(self, parameters: CaptionParameters, train: Captioned) -> int:
        return math.ceil(len(train) / suited_batch(parameters, len(train)))

    def encoder(self, parameters: CaptionParameters, train: Captioned) -> CaptionEncoder:
        return CaptionEncoder.fit(parameters, train)

    def network(self, parameters: CaptionParameters, encoder: CaptionEncoder, train: Captioned | None) -> nn.Module:
        network = CaptionNetwork(parameters, encoder.frames, len(encoder.vocabulary))
        if encoder.frames.vectors and train is not None:
            shown = encoder.encode(train, parameters.max_length)
            rows = np.concatenate([shown.frames(row) for row in range(min(len(shown), _MEASURED))])
            network.reader.fit(torch.from_numpy(rows))
        return network

    def encode(self, model: CaptionModel, records: Captioned) -> Shown:
        return model.encoder.encode(records, model.parameters.max_length)

    def batches(self, model: CaptionModel, examples: Shown, *, training: bool) -> CaptionBatches | None:
        return CaptionBatches(examples, model.parameters, training=training) if len(examples) else None

    def objective(self, model: CaptionModel, train: Shown) -> CaptionObjective:
        given = model.parameters
        steps = math.ceil(len(train) / suited_batch(given, len(train))) * (given.epochs or 1)
        captions = (tokens for group in train.targets for tokens in group)
        return CaptionObjective(given, Noise.of(given, model.encoder.habits), steps, captions)

    def predict(self, model: CaptionModel, examples: Shown) -> Said:
        if not len(examples):
            raise DataError("there are no clips to evaluate on; expected one or more with a caption")
        found = captions_of(model, examples, search_of(model))
        return Said([each[0].text for each in found], reference_loss(model, examples))

    def baselines(self, model: CaptionModel, train: Shown, validation: Shown | None) -> Baselines:
        return {
            "most frequent": lambda: MostFrequentCaption.fit(train),
            "nearest clip": lambda: NearestClip.fit(train, model.parameters.seed),
        }

    def measures(self, model: CaptionModel, examples: Shown, predicted: Said) -> dict[str, float]:
        return caption_measures(predicted, examples.references, _counters(model))

    def units(self, model: CaptionModel, examples: Shown, predicted: Said) -> Units | None:
        return caption_units(predicted, examples.references, _counters(model))

    def protocol(self, model: CaptionModel, examples: Shown) -> str:
        size = model.parameters.beam_size
        counts = [len(group) for group in examples.references]
        few, most = min(counts), max(counts)
        span = f"{most}" if few == most else f"{few} to {most}"
        several = "one reference" if most == 1 else f"{span} references"
        return f"{f'beam of {size}' if size > 1 else 'greedy'}; {several} a clip"

    def details(self, model: CaptionModel, examples: Shown, predicted: Mapping[str, Said]) -> Mapping[str, Any]:
        """Say how BLEU and chrF were counted, as sacrebleu writes it."""
        if (counters := _counters(model)) is None:
            return {}
        return signatures(counters, predicted["model"].texts[0], examples.references[0])

    def remarks(self, values: Mapping[str, Mapping[str, float]], count: int = 0) -> Sequence[str]:
        found = []
        if values["model"].get(DIFFERENT) == 1:
            found.append(
                "The model says the same of every clip, whatever it shows: it has learned how such captions go and "
                "nothing of clips; give it more clips, or more time (--max-seconds)."
            )
        if "BLEU" not in values["model"]:
            found.append("BLEU was not counted: it needs pip install 'ostinato[translate]'.")
        return found

    def facts(self, model: CaptionModel, parts: Held[Captioned], examples: Held[Shown]) -> Iterable[tuple[str, str]]:
        named = {name: part for name, part in examples.named().items() if part is not None}
        yield "clips", " / ".join(f"{len(part):,} {name}" for name, part in named.items()) + " clips"
        if len(examples.train) < _FEW:
            yield (
                "too few clips",
                f"{len(examples.train):,} to learn from: of so few a model learns how such captions go, and next to "
                "nothing of what clips show; expect captions that are alike, and give it hundreds of clips",
            )
        captions = ((sum(map(len, part.references)), name) for name, part in named.items())
        yield "captions", " / ".join(f"{count:,} {name}" for count, name in captions) + " captions"
        lost = [name for part in named.values() for name in part.left_out]
        if lost:
            yield "cannot be read", f"{len(lost):,} left out: {', '.join(lost[:10])}"
        yield "longer than max_length", f"{counted(examples.train.long, 'captions')}, cut off"
        yield "vocabulary", f"{len(model.encoder.vocabulary):,} {model.parameters.level}s"
        yield "frames", model.encoder.frames.words

    def settings(self, model: CaptionModel) -> Mapping[str, Any]:
        frames = model.encoder.frames
        noise, search = Noise.of(model.parameters, model.encoder.habits), search_of(model)
        found: dict[str, Any] = {"rate": frames.rate or None} | asdict(noise)
        found |= {"min_length": search.min_length, "block_ngrams": search.block_ngrams}
        return found if frames.vectors else found | {"size": min(frames.height, frames.width)}

    def panels(self, model: CaptionModel, records: Captioned, examples: Shown, predicted: Said) -> Iterable[Panel]:
        return caption_panels(model, examples, predicted.texts)

    def pieces(self, model: CaptionModel, source: Any) -> Iterator[Captioned]:
        """Yield clips, those of a path, a folder or a list several at a time, others each as it comes."""
        if isinstance(source, Captioned):
            yield source
            return
        for piece in given_clips(source):
            yield self.read(model.parameters, piece, True, labelled=False)

    def answers(self, model: CaptionModel, records: Captioned, alternatives: int = 1) -> Iterator[Mapping[str, Any]]:
        """Yield the caption of each clip, or a row for each of several, the best first."""
        for name, found in zip(records.clips.names, self.captions(model, records, alternatives), strict=True):
            for rank, each in enumerate(found[:alternatives], 1):
                place = {} if alternatives == 1 else {"rank": rank}
                yield {"clip": name, **place, "caption": each.text, "score": each.score}

    def captions(self, model: CaptionModel, records: Captioned, alternatives: int = 1) -> list[Any]:
        """Return the captions of each clip, the best first.

        Raises:
            DataError: one cannot be read.
            UsageError: `alternatives` is less than one.
        """
        if alternatives < 1:
            raise UsageError(f"alternatives is {alternatives}; expected one or more")
        shown = model.encoder.encode(records, model.parameters.max_length)
        if shown.left_out:
            raise DataError(next(iter(shown.store.failed.values())))
        search = search_of(model)
        search = search.changed({"beam_size": max(search.beam_size, alternatives)})
        return captions_of(model, shown, search)

    def stream(self, model: CaptionModel, **options: Any) -> CaptionStream:
        return CaptionStream(model, **options)

    def embed(self, model: CaptionModel, examples: Shown) -> NDArray[np.float32]:
        """Return the mean of what the encoder makes of a clip's frames."""
        found: dict[int, NDArray[np.float32]] = {}
        for rows, memory, lengths in memories(model.network, examples):
            for column, row in enumerate(rows):
                found[row] = memory[: int(lengths[column]), column].mean(0).numpy()
        return np.stack([found[row] for row in range(len(examples))])


def _counters(model: CaptionModel) -> Counters:
    return metrics(model.parameters.tokenize, model.parameters.lower)


def _judging(model: CaptionModel) -> CaptionObjective:
    return CaptionObjective(model.parameters, Noise.of(model.parameters, model.encoder.habits), 1)


def reference_loss(model: CaptionModel, shown: Shown) -> float:
    """Return the mean negative log-likelihood of a reference's token, its end counted, in nats."""
    total, count, objective = 0.0, 0.0, _judging(model)
    with torch.inference_mode():
        for batch in CaptionBatches(shown, model.parameters, training=False).batches(0):
            step = objective(model.network, batch.data, None)
            total, count = total + float(step.loss) * step.weight, count + step.weight
    return total / count
