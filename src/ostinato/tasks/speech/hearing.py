"""From what the network gives to transcripts: how a recording is decoded, whole as in a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from ostinato.nn.losses import CombinedScorer
from ostinato.tasks.base.batches import like_lengths
from ostinato.tasks.base.task import Model
from ostinato.tasks.speech.batches import together
from ostinato.tasks.speech.decoding import Decoder, EndpointRule, Transcript, ctc_decoder, transducer_decoder
from ostinato.tasks.speech.encoding import SpeechEncoder, Spoken
from ostinato.tasks.speech.parameters import SpeechParameters

if TYPE_CHECKING:
    from ostinato.tasks.speech.network import SpeechNetwork

SpeechModel: TypeAlias = "Model[SpeechParameters, SpeechEncoder]"
HELPED = 16  # labellings of a beam where something helps to write, and none were asked for
_FRAMES = 24_000  # of a batch that is heard, padding counted: four minutes


@dataclass(frozen=True)
class Hearing:
    """How outputs of a network are decoded.

    Args:
        make: makes a decoder that has heard nothing.
        rule: when an utterance has ended; `None`: with the recording.
        step: seconds that one output stands for; frame: seconds of a frame.
    """

    make: Callable[[], Decoder]
    rule: EndpointRule | None
    step: float
    frame: float

    @classmethod
    def of(cls, model: SpeechModel, *, silence: float | None = None, scorer: CombinedScorer | None = None) -> Hearing:
        """Return how a model hears: one that streams ends utterances in silence, so that live and whole agree."""
        parameters, encoder = model.parameters, model.encoder
        network: SpeechNetwork = model.network
        step = encoder.step * network.reduction
        scorer = encoder.aids.scorer(parameters, encoder.units) if scorer is None else scorer
        beam = parameters.beam_size if parameters.beam_size > 1 else HELPED if scorer is not None else 0

        def make() -> Decoder:
            if network.joint is None or network.predictor is None:
                return ctc_decoder(encoder.units, beam_size=beam, scorer=scorer, frame_seconds=step)
            return transducer_decoder(
                encoder.units, network.predictor, network.joint, beam_size=beam, scorer=scorer, frame_seconds=step
            )

        rule = EndpointRule(silence=silence or parameters.silence) if encoder.choices.streams else None
        return cls(make, rule, step, encoder.step)

    def transcripts(self, outputs: NDArray[np.float32], quiet: NDArray[np.int64], n_best: int = 1) -> list[Transcript]:
        """Return the best transcripts of a recording, the best first.

        Args:
            outputs: of the network, `(steps, features)`.
            quiet: frames for which it has been quiet at each step, `(steps,)`.
            n_best: how many, at most.
        """
        decoder = self.make()
        if self.rule is None:
            decoder.advance(outputs)
            return decoder.finish(n_best)
        parts: list[list[Transcript]] = []
        began = 0
        for number in range(len(outputs)):
            decoder.advance(outputs[number : number + 1])
            if self.ended(decoder, int(quiet[number])):
                parts.append([later(transcript, began * self.step) for transcript in decoder.finish(n_best)])
                decoder.reset()
                began = number + 1
        parts.append([later(transcript, began * self.step) for transcript in decoder.finish(n_best)])
        said = [part for part in parts if part[0].text] or parts[-1:]
        return [joined([part[min(rank, len(part) - 1)] for part in said]) for rank in range(max(map(len, said)))]

    def ended(self, decoder: Decoder, quiet: int) -> bool:
        """Tell whether an utterance has ended: nothing was written for a while, and it was quiet as long.

        A network may write the last letters of a word late, and wait with them while the word goes on.
        """
        rule = self.rule
        if rule is None or not rule.ended(decoder):
            return False
        return quiet * self.frame >= rule.silence or decoder.frames * decoder.frame_seconds >= rule.most


def later(transcript: Transcript, seconds: float) -> Transcript:
    """Return a transcript whose words come so many seconds later."""
    words = tuple(replace(word, start=word.start + seconds, end=word.end + seconds) for word in transcript.words)
    return replace(transcript, words=words)


def joined(parts: Sequence[Transcript]) -> Transcript:
    """Return transcripts of one utterance after another as one: scores are added up."""
    if len(parts) == 1:
        return parts[0]
    return Transcript(
        " ".join(part.text for part in parts),
        sum(part.score for part in parts),
        tuple(one for part in parts for one in part.classes),
        tuple(word for part in parts for word in part.words),
    )


def outputs_of(model: SpeechModel, spoken: Spoken) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the number of each utterance and what is decoded of it, `(steps, features)`, batch by batch."""
    network: SpeechNetwork = model.network
    network.eval()
    for rows in like_lengths(spoken.lengths.tolist(), rows=64, steps=_FRAMES):
        batch = together(spoken, rows)
        with torch.inference_mode():
            outputs, counts = network.outputs(batch.frames, batch.lengths)
        for column, (row, count) in enumerate(zip(rows, counts.tolist(), strict=True)):
            yield row, outputs[:count, column].contiguous().numpy()


def transcribed(model: SpeechModel, spoken: Spoken, hearing: Hearing, n_best: int = 1) -> list[list[Transcript]]:
    """Return the best transcripts of each utterance."""
    every = model.network.reduction
    found: dict[int, Any] = {
        row: hearing.transcripts(outputs, spoken.quiet(row)[::every], n_best)
        for row, outputs in outputs_of(model, spoken)
    }
    return [found[row] for row in range(len(spoken))]
