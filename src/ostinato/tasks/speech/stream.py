"""Speech as it comes: packets of samples in, what was said so far out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ostinato.data.audio import OnlineFeatures, Pcm16
from ostinato.errors import DataError, StreamRowError, UsageError
from ostinato.nn.front_steps import FrontSteps
from ostinato.streaming import NOTHING, Headed, Row, SoundStream, Steps, refused, shared_steps
from ostinato.tasks.speech.decoding import Transcript, Word
from ostinato.tasks.speech.hearing import Hearing, SpeechModel, later

_LOUDEST = 100.0


class _End:
    """What is pushed where the sound ends."""


_END = _End()


@dataclass(frozen=True)
class Heard:
    """What a packet came to.

    Args:
        text: of the utterance in progress, so far; changed: whether it is another than before the packet.
        words: its words, with seconds since the stream began.
        ended: the utterances that ended in this packet.
        seconds: of sound that were heard since the stream began.
    """

    text: str
    changed: bool
    words: tuple[Word, ...]
    ended: tuple[Transcript, ...]
    seconds: float


class SpeechStream(SoundStream):
    """One stream of sound, written down while it is heard, with the words and scores of the recording as a whole.

    What is kept does not grow but for the text of the utterance in progress: the samples of a frame, the last frames
    that convolutions see, the state of each layer, that of the decoder.

    Args:
        model: a streaming one.
        rate: of the samples that come; `None`: that of the model.
        silence: seconds in which nothing is said that end an utterance; `None`: the model's.

    Raises:
        UsageError: the model needs whole recordings, or the rate is none.
    """

    kind = "speech"

    def __init__(self, model: SpeechModel, *, rate: int | None = None, silence: float | None = None) -> None:
        encoder, network = model.encoder, model.network
        if not encoder.choices.streams:
            raise UsageError(
                f"the model was fitted with {encoder.choices.hindrances}, so that it needs whole recordings; fit one "
                "with streaming=True (--streaming) to write down what is said while it is heard"
            )
        if silence is not None and not silence > 0:
            raise UsageError(f"silence is {silence}; expected seconds, more than 0")
        if model.parameters.cell == "transformer":
            raise UsageError("a transformer remembers every frame, so that a stream of it grows; fit a recurrent cell")
        self.rate = rate or encoder.settings.rate
        if not 1000 <= self.rate <= 768_000:
            raise UsageError(f"rate is {rate}; expected 1000 to 768000 samples a second")
        self._hearing = Hearing.of(model, silence=silence)
        self._pcm, self._features = Pcm16(), OnlineFeatures(encoder.settings, encoder.normaliser, self.rate)
        self._stages, self._norms = _shared(network)
        last: Any = self._stages[-1].copy
        self._front, self._read = FrontSteps(last.beside["front"]), last.beside["read"]
        self._rows = [Row(own) for own in self._stages]
        self._decoder = self._hearing.make()
        self._begin()

    @property
    def packet(self) -> int:
        """Bytes that the command line reads at once: 20 ms."""
        return 2 * max(1, self.rate // 50)

    def reset(self) -> None:
        """Begin a new recording."""
        self._pcm.finish()
        self._features.reset()
        self._front.reset()
        for row in self._rows:
            row.restore(None)
        self._decoder.reset()
        self._begin()

    def _begin(self) -> None:
        # of each stage behind the first, the output before that waits to be read with the next
        self._waiting: list[NDArray[np.float32] | None] = [None] * (len(self._stages) - 1)
        self._phases = [0] * (len(self._stages) - 1)
        self._steps, self._began, self._text, self._samples = 0, 0, "", 0

    def steps(self, row: Any) -> Steps:
        """Take a packet in, of any size; return what it came to, a `Heard`.

        Args:
            row: bytes of 16-bit little-endian samples, or samples: integers of 16 bits, or floats in [-1, 1].

        Raises:
            StreamRowError: it is none of these; the stream is as it was.
        """
        if isinstance(row, _End):
            yield NOTHING
            heard: Heard = yield from self._listened(self._features.finish(), ended=True)
            self.reset()
            return heard
        packet = row if isinstance(row, (bytes, bytearray, memoryview)) else _samples(row)
        yield NOTHING
        samples = self._pcm.accept(bytes(packet)) if not isinstance(packet, np.ndarray) else packet
        self._samples += len(samples)
        return (yield from self._listened(self._features.accept(samples), ended=False))

    def finish(self) -> Heard:
        """Return what is left at the end of the sound, and begin a new recording."""
        heard: Heard = self.push(_END)
        return heard

    def now(self) -> Heard:
        """Return the utterance in progress."""
        best = later(self._decoder.best(), self._began * self._hearing.step)
        return Heard(best.text, False, best.words, (), self._samples / self.rate)

    def lines(self, heard: Heard) -> Iterator[dict[str, Any]]:
        """Yield what the command line prints after a packet: utterances that ended, and a text that changed."""
        for own in heard.ended:
            yield {"final": True, **plain_transcript(own)}
        if heard.changed and heard.text:
            yield {"final": False, "text": heard.text, "seconds": round(heard.seconds, 3)}

    def plain(self, answer: Heard) -> Mapping[str, Any]:
        """Return what a packet came to as plain data."""
        return {
            "text": answer.text,
            "changed": answer.changed,
            "words": plain_words(answer.words),
            "ended": [plain_transcript(own) for own in answer.ended],
            "seconds": answer.seconds,
        }

    # --- from frames to words ----------------------------------------------------------------------------------------

    def _listened(self, frames: NDArray[np.float32], *, ended: bool) -> Steps:
        done: list[Transcript] = []
        with torch.inference_mode():
            read = self._read(self._front.push(torch.from_numpy(frames))).numpy()
        for x in read:
            output = yield from self._climbed(x)
            if output is not None:
                done += self._decoded(output)
        if ended:
            done += self._closed()
        best = later(self._decoder.best(), self._began * self._hearing.step) if len(read) or ended else None
        before = self._text
        self._text = before if best is None else best.text
        words = () if best is None else best.words
        return Heard(self._text, self._text != before, words, tuple(done), self._samples / self.rate)

    def _climbed(self, x: NDArray[np.float32]) -> Steps:
        """Advance the stages by a step of the first; return the output of the last, if it gives one."""
        for number, row in enumerate(self._rows):
            if number:
                pair = self._paired(number - 1, x)
                if pair is None:
                    return None
                x = pair
            x = yield row.ask(x)
        return x

    def _paired(self, place: int, x: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Return an output with the one before it, every second time, from the first on."""
        before, phase = self._waiting[place], self._phases[place]
        self._waiting[place], self._phases[place] = x, 1 - phase
        if phase:
            return None
        both = np.concatenate([np.zeros_like(x) if before is None else before, x])
        with torch.inference_mode():
            read: NDArray[np.float32] = self._norms[place](torch.from_numpy(both)).numpy()
        return read

    def _decoded(self, output: NDArray[np.float32]) -> list[Transcript]:
        self._decoder.advance(output[None])
        self._steps += 1
        rule = self._hearing.rule
        return self._closed() if rule is not None and rule.ended(self._decoder) else []

    def _closed(self) -> list[Transcript]:
        """End the utterance in progress; return it, if anything was said."""
        found = later(self._decoder.finish(1)[0], self._began * self._hearing.step)
        self._decoder.reset()
        self._began = self._steps
        return [found] if found.text else []

    # --- what is kept ------------------------------------------------------------------------------------------------

    def mark(self) -> str:
        """Return what tells the model from others."""
        return "-".join(own.mark for own in self._stages)

    def kept(self) -> dict[str, Any]:
        """Return what the next packet is answered from."""
        return {
            "rate": self.rate,
            "pcm": self._pcm.state(),
            "features": self._features.state(),
            "front": self._front.kept(),
            "states": [row.state() for row in self._rows],
            "waiting": list(self._waiting),
            "decoder": self._decoder.kept(),
            "counts": [*self._phases, self._steps, self._began, self._samples],
            "text": self._text,
        }

    def accept(self, kept: Mapping[str, Any]) -> None:
        """Go on from what was kept."""
        if kept.get("rate") != self.rate:
            raise refused(f"is of samples at another rate than {self.rate}")
        before = self.kept()
        try:
            self._accept(kept)
        except BaseException:
            self._accept(before)
            raise

    def _accept(self, kept: Mapping[str, Any]) -> None:
        states, waiting, counts = (_listed(kept, name) for name in ("states", "waiting", "counts"))
        widths = [self._norm_width(place) for place in range(len(self._norms))]
        if (
            len(states) != len(self._rows)
            or len(waiting) != len(widths)
            or not all(own is None or _is_row(own, width) for own, width in zip(waiting, widths, strict=True))
            or len(counts) != len(widths) + 3
            or not all(type(own) is int and own >= 0 for own in counts)
            or not all(own < 2 for own in counts[:-3])
            or not isinstance(kept.get("text"), str)
        ):
            raise refused("lacks a part, or has one of another form")
        try:
            self._pcm.restore(kept.get("pcm") or {})
            self._features.restore(kept.get("features") or {})
        except (DataError, AttributeError, TypeError) as error:
            raise refused(f"has sounds that do not fit ({error})") from error
        if not self._front.accept(kept.get("front")):
            raise refused("has other frames than the convolutions see")
        for row, state in zip(self._rows, states, strict=True):
            row.restore(state)
        self._decoder.accept(kept.get("decoder"))  # type: ignore[arg-type]
        self._waiting, self._phases = waiting, counts[:-3]
        self._steps, self._began, self._samples = counts[-3:]
        self._text = kept["text"]

    def _norm_width(self, place: int) -> int:
        own: Any = self._stages[place + 1].module
        return int(own.layer.cells[0].input_size) // 2 if hasattr(own.layer, "cells") else 0


def plain_transcript(own: Transcript) -> dict[str, Any]:
    """Return a transcript as plain data."""
    return {"text": own.text, "score": round(own.score, 6), "words": plain_words(own.words)}


def plain_words(words: Sequence[Word]) -> list[dict[str, Any]]:
    """Return words as plain data: seconds, and confidences from 0 to 1."""
    return [
        {
            "word": own.text,
            "start": round(own.start, 3),
            "end": round(own.end, 3),
            "confidence": round(own.confidence, 4),
        }
        for own in words
    ]


def _shared(network: Any) -> tuple[list[Any], list[nn.Module]]:
    """Return the shared steps of each stage, and what normalises between them."""
    stages = list(network.encoder.stages)
    found = []
    for number, stage in enumerate(stages):
        last = number == len(stages) - 1

        def layer(stage: Any = stage, last: bool = last) -> nn.Module:
            if not last:
                return Headed(stage.stack, nn.Identity())
            return Headed(stage.stack, network.head, front=network.front, read=network.read)

        found.append(shared_steps(stage, layer))
    return found, [stage.norm for stage in stages[1:]]


def _samples(row: Any) -> NDArray[np.float32]:
    """Return samples as float32 in [-1, 1]."""
    try:
        found = np.asarray(row)
    except (TypeError, ValueError) as error:
        raise StreamRowError(f"it is no packet of samples ({str(error)[:60]})") from error
    if found.ndim != 1 or found.dtype.kind not in "if" or (found.dtype.kind == "i" and found.dtype.itemsize > 2):
        raise StreamRowError(
            f"it is a {type(row).__name__} of shape {found.shape} and type {found.dtype}; expected samples, (samples,), "
            "floats in [-1, 1] or integers of 16 bits, or their bytes"
        )
    if found.dtype.kind == "i":
        return found.astype(np.float32) / np.float32(2 ** (8 * found.dtype.itemsize - 1))
    if found.size and not np.abs(found).max() <= _LOUDEST:  # NaN too
        raise StreamRowError("it has a sample that is no number, or far outside [-1, 1]; expected floats in [-1, 1]")
    return found.astype(np.float32)


def _listed(kept: Mapping[str, Any], name: str) -> list[Any]:
    found = kept.get(name)
    if not isinstance(found, list):
        raise refused(f"lacks {name}")
    return list(found)


def _is_row(own: Any, width: int) -> bool:
    return (
        isinstance(own, np.ndarray)
        and own.dtype == np.float32
        and own.ndim == 1
        and (not width or len(own) == width)
        and bool(np.isfinite(own).all())
    )
