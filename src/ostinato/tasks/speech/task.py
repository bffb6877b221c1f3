"""What is a recogniser's own; all else is of `ostinato.tasks.base`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ostinato.data.audio import Utterances, read_utterances
from ostinato.errors import DataError, UsageError
from ostinato.tasks.base.holding_out import Held, Shares, drawn_groups, percent
from ostinato.tasks.base.steps import StepUnit
from ostinato.tasks.base.suited import Suited
from ostinato.tasks.base.summary import Panel
from ostinato.tasks.base.task import Baselines, Task
from ostinato.tasks.base.units import Units
from ostinato.tasks.speech.baselines import MostFrequent, NearestRecording, Written
from ostinato.tasks.speech.batches import SpeechBatches, batches_of
from ostinato.tasks.speech.choices import Choices, suited_batch
from ostinato.tasks.speech.encoding import SpeechEncoder, Spoken, say_strange
from ostinato.tasks.speech.heard import plain_words
from ostinato.tasks.speech.hearing import HELPED, Hearing, SpeechModel, outputs_of, transcribed
from ostinato.tasks.speech.long import heard
from ostinato.tasks.speech.measures import speech_measures, speech_units
from ostinato.tasks.speech.network import SpeechNetwork
from ostinato.tasks.speech.panels import speech_panels
from ostinato.tasks.speech.parameters import SpeechParameters
from ostinato.tasks.speech.speakers import by_speakers
from ostinato.tasks.speech.stream import SpeechStream
from ostinato.training.config import TrainingConfig
from ostinato.training.objective import Carry, Step


class SpeechObjective:
    """The negative log-likelihood of a transcript's unit, its end counted, in nats."""

    def __call__(self, module: nn.Module, batch: Any, carry: Carry | None) -> Step:
        """Read a batch."""
        count = int(batch.target_lengths.sum()) + len(batch.lengths)
        return Step(module(batch) / count, count)


class SpeechTask(Task[SpeechParameters, Utterances, SpeechEncoder, Spoken, Written]):
    """Recordings and what is said in them."""

    records = "utterances"
    content_name = "recordings"
    decides = ("WER", "CER")
    encoder_type = SpeechEncoder
    baseline_types = (MostFrequent, NearestRecording)
    suited = Suited(steps=2500, least=10, most=150)
    kept = "the units, the measurements of frames and the baselines"

    def check(self, parameters: SpeechParameters, *, tested: bool) -> None:
        Choices.of(parameters).check(streaming=parameters.streaming)
        if parameters.pyramid >= parameters.num_layers:
            raise UsageError(
                f"pyramid is {parameters.pyramid}, but there are {parameters.num_layers} layers, of which the first "
                "reads every step; take fewer, or more num_layers"
            )
        if parameters.cell == "transformer" and parameters.streaming:
            raise UsageError("a transformer remembers every frame, so that a stream of it grows; take a recurrent cell")

    def joined(self, data: Any, labels: Any) -> Any:
        if len(data) != len(labels):
            raise DataError(f"there are {len(data)} recordings but {len(labels)} transcripts; expected one for each")
        return data, labels

    def read(
        self, parameters: SpeechParameters, source: Any, reading: Any = None, *, labelled: bool = True
    ) -> Utterances:
        if isinstance(source, Utterances):
            return source
        return read_utterances(
            source, audio=parameters.audio, text=parameters.text, speaker=parameters.speaker, labelled=labelled
        )

    def reading(self, records: Utterances) -> bool:
        """Return that these are not the training data."""
        return True

    def hold_out(self, parameters: SpeechParameters, records: Utterances, shares: Shares) -> Held[Utterances]:
        if records.speakers is not None and (found := by_speakers(records.speakers, shares, parameters.seed)):
            rows, words = found
        else:
            rows = drawn_groups(list(records.contents()), (shares.validation, shares.test), parameters.seed)
            words = f"{percent(shares.test)} of the utterances, drawn"
        train, validation, test = (records.part(chosen) for chosen in rows)
        return Held(train, validation, test, words)

    def contents(self, records: Utterances) -> Iterable[bytes]:
        return records.contents()

    def title(self, records: Utterances) -> str:
        return f"Speech of {records.origin}"

    def config(self, parameters: SpeechParameters, train: Utterances) -> TrainingConfig:
        """Return the settings; where the time is said, and not the passes, all of it is used."""
        if parameters.epochs is None and parameters.max_seconds is not None:
            return TrainingConfig.of(parameters, epochs=2 * self.suited.most)
        return super().config(parameters, train)

    def steps_an_epoch(self, parameters: SpeechParameters, train: Utterances) -> int:
        seconds = float(train.durations.sum()) / parameters.batch_seconds
        return max(math.ceil(len(train) / suited_batch(parameters, len(train))), math.ceil(seconds))

    def encoder(self, parameters: SpeechParameters, train: Utterances) -> SpeechEncoder:
        return SpeechEncoder.fit(parameters, train)

    def network(self, parameters: SpeechParameters, encoder: SpeechEncoder, train: Utterances | None) -> nn.Module:
        return SpeechNetwork(parameters, encoder.choices, encoder.settings.bins, len(encoder.units))

    def encode(self, model: SpeechModel, records: Utterances) -> Spoken:
        return model.encoder.encode(records)

    def batches(self, model: SpeechModel, examples: Spoken, *, training: bool) -> SpeechBatches | None:
        return batches_of(examples, model.parameters, training=training)

    def objective(self, model: SpeechModel, train: Spoken) -> SpeechObjective:
        return SpeechObjective()

    def predict(self, model: SpeechModel, examples: Spoken) -> Written:
        say_strange(examples)
        found = [best[0] for best in transcribed(model, examples, Hearing.of(model))]
        return Written([transcript.text for transcript in found], reference_loss(model, examples), found)

    def calibrate(self, model: SpeechModel, validation: Spoken | None) -> SpeechEncoder:
        """Find the weight of the language model on what was held out."""
        encoder = model.encoder
        if validation is None or encoder.aids.language(model.parameters, encoder.units) is None:
            return encoder
        outputs = dict(outputs_of(model, validation))
        aids = encoder.aids.calibrated(
            model.parameters, encoder.units, [outputs[row] for row in range(len(validation))], validation.texts,
            lambda scorer: Hearing.of(model, scorer=scorer).make(),
        )  # fmt: skip
        return replace(encoder, aids=aids)

    def carried(self, first: SpeechModel, renewed: SpeechModel) -> SpeechEncoder:
        return replace(renewed.encoder, aids=first.encoder.aids)

    def baselines(self, model: SpeechModel, train: Spoken, validation: Spoken | None) -> Baselines:
        return {
            "most frequent": lambda: MostFrequent.fit(train),
            "nearest recording": lambda: NearestRecording.fit(train, model.parameters.seed),
        }

    def measures(self, model: SpeechModel, examples: Spoken, predicted: Written) -> dict[str, float]:
        found = speech_measures(examples.texts, predicted.texts)
        kept = {name: found[name] for name in ("WER", "CER")}
        return kept if predicted.loss is None else {**kept, "loss": predicted.loss}

    def units(self, model: SpeechModel, examples: Spoken, predicted: Written) -> Units | None:
        return speech_units(examples.texts, predicted.texts)

    def protocol(self, model: SpeechModel, examples: Spoken) -> str:
        parameters = model.parameters
        helps = {
            "language model": parameters.language_model,
            "word list": parameters.words,
            "hot words": parameters.hot_words,
        }
        named = [name for name, given in helps.items() if given]
        size = parameters.beam_size if parameters.beam_size > 1 or not named else HELPED
        how = " with ".join([f"beam of {size}" if size > 1 else "greedy", *([", ".join(named)] if named else [])])
        case = "letter case does not count" if model.parameters.lower else "letter case counts"
        marks = "punctuation counts" if model.parameters.punctuation else "punctuation does not"
        return f"{how}; WER and CER over all words and characters, {case}, {marks}"

    def facts(self, model: SpeechModel, parts: Held[Utterances], examples: Held[Spoken]) -> Iterable[tuple[str, str]]:
        named = parts.named()
        yield "utterances", " / ".join(f"{0 if part is None else len(part):,} {name}" for name, part in named.items())
        minutes = ((0.0 if part is None else float(part.durations.sum()) / 60, name) for name, part in named.items())
        yield "minutes", " / ".join(f"{value:.3g} {name}" for value, name in minutes)
        if parts.train.speakers is not None:
            known = ((0 if part is None else len(set(part.speakers or ())), name) for name, part in named.items())
            yield "speakers", " / ".join(f"{count:,} {name}" for count, name in known)
        left_out = examples.train.too_long(model.parameters)
        if left_out:
            yield "longer than CTC can write", f"{len(left_out):,} left out: {', '.join(left_out[:10])}"
        units = model.encoder.units
        yield "units", f"{len(units) - 1:,} {units.level}s"
        found = model.encoder.settings
        yield "frames", f"{found.bins} mel bands of {found.frame_length:g} ms every {found.frame_shift:g} ms"
        ahead = self.look_ahead(model)
        yield "latency", "the whole recording" if ahead is None else f"{ahead:.0f} ms of sound, and the computation"

    def look_ahead(self, model: SpeechModel) -> float | None:
        """Return the milliseconds of sound behind a moment that its answer waits for; `None`: all of it."""
        settings = model.encoder.settings
        if not model.encoder.choices.streams:
            return None
        # a frame is there once its samples are; the last frame of a step is not waited for, but the next step is
        return float(settings.frame_length + (model.network.reduction - 1) * settings.frame_shift)

    def step_unit(self, model: SpeechModel) -> StepUnit:
        return StepUnit("frames", model.encoder.step * model.encoder.choices.subsampling)

    def settings(self, model: SpeechModel) -> Mapping[str, Any]:
        choices, found = model.encoder.choices, model.encoder.settings
        aids = model.encoder.aids
        weight = model.parameters.language_weight
        found_weight = aids.fusion.weight if weight is None else weight
        helped = {} if aids.language_model is None else {"language_weight": found_weight}
        return {
            "rate": found.rate,
            "bins": found.bins,
            "bidirectional": choices.bidirectional,
            "causal": choices.causal,
            "normalize": choices.normalize,
            "subsampling": choices.subsampling,
            "loss": choices.loss,
            "augmentation": choices.augmentation,
            **helped,
        }

    def panels(self, model: SpeechModel, records: Utterances, examples: Spoken, predicted: Written) -> Iterable[Panel]:
        return speech_panels(examples, predicted)

    def pieces(self, model: SpeechModel, source: Any) -> Iterator[Utterances]:
        """Yield recordings: those of a path, a folder or a list several at a time, others each as it comes."""
        if isinstance(source, Utterances):
            yield source
        elif isinstance(source, Iterator):
            for sound in source:
                yield self.read(model.parameters, [sound], True, labelled=False)
        else:
            several = isinstance(source, tuple) and all(isinstance(sound, (str, Path)) for sound in source)
            yield self.read(model.parameters, list(source) if several else source, True, labelled=False)

    def answers(self, model: SpeechModel, records: Utterances) -> Iterator[Mapping[str, Any]]:
        for name, found in heard(model, records):
            best = found[0]
            yield {"file": name, "text": best.text, "score": best.score, "words": plain_words(best.words)}

    def stream(self, model: SpeechModel, **options: Any) -> SpeechStream:
        return SpeechStream(model, **options)


def reference_loss(model: SpeechModel, spoken: Spoken) -> float:
    """Return the mean negative log-likelihood of a unit of the references, in nats; of those that can be written."""
    batches = batches_of(spoken, model.parameters, training=False)
    total, count, objective = 0.0, 0.0, SpeechObjective()
    model.network.eval()
    with torch.inference_mode():
        for batch in () if batches is None else batches.batches(0):
            step = objective(model.network, batch.data, None)
            total, count = total + float(step.loss) * step.weight, count + step.weight
    return total / count if count else math.nan
