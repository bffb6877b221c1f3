"""How well each step of pieces was predicted, and what that comes to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ostinato.nn.losses import perplexity
from ostinato.tasks.base.batches import read_in_batches
from ostinato.tasks.base.units import Mean, Sums, Units, mean_of, sums_of
from ostinato.tasks.music.batches import padded_frames
from ostinato.tasks.music.drawing import BEST
from ostinato.tasks.music.encoding import Examples, MusicEncoder, condition_rows
from ostinato.tasks.music.heads import Rule
from ostinato.tasks.music.network import EventNetwork, FrameNetwork

Losses = NDArray[np.float64]
NATS, FRAME_ACCURACY = "nats a frame", "frame accuracy"
AT_CHANGES = "accuracy at changes"
_STEPS = 8_192  # that are read together, padding counted
_PIECE = 1_024


@dataclass(frozen=True)
class Judged:
    """What was predicted of each step, all pieces one behind the other.

    Args:
        losses: negative log-likelihood of each, in nats.
        hits, extra, missed: notes that were right, that were too many, that were too few, in the best answer; of
            events, the first is 1 where it is right.
        owners: the number of the piece of each.
        first: whether a step is the first of its piece.
        changes: of frames, whether a step is other than the one before; the first of a piece is.
    """

    losses: Losses
    hits: NDArray[np.float64]
    extra: NDArray[np.float64]
    missed: NDArray[np.float64]
    owners: NDArray[np.int64]
    first: NDArray[np.bool_]
    changes: NDArray[np.bool_]


def joined(rows: list[tuple[Losses, NDArray[np.float64]]]) -> Judged:
    """Return what is known of each piece, losses `(steps,)` and counts `(steps, 4)`, as one."""
    owners = np.repeat(np.arange(len(rows)), [len(value) for value, _ in rows])
    counts = np.concatenate([value for _, value in rows])
    first = np.concatenate([np.arange(len(value)) == 0 for value, _ in rows])
    losses = np.concatenate([value for value, _ in rows])
    return Judged(losses, counts[:, 0], counts[:, 1], counts[:, 2], owners, first, counts[:, 3] > 0)


def note_counts(best: NDArray[np.bool_], frames: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return notes right, too many, too few of a whole piece, and 1 where its frame changes, `(steps, 4)`."""
    changes = np.ones(len(frames), bool)
    changes[1:] = (frames[1:] != frames[:-1]).any(1)
    counts = [(best & frames).sum(1), (best & ~frames).sum(1), (~best & frames).sum(1), changes]
    return np.stack(counts, -1).astype(np.float64)


def read_frames(network: FrameNetwork, encoder: MusicEncoder, examples: Examples) -> Judged:
    """Return what a network predicted of frames; each piece is read from its beginning."""
    generator = torch.Generator()

    def read(places: list[int]) -> list[tuple[Losses, NDArray[np.float64]]]:
        found = [examples.frames(i) for i in places]
        conditions = [
            condition_rows(encoder, 0, len(frames), int(examples.bars[i]), int(examples.keys[i]))
            for i, frames in zip(places, found, strict=True)
        ]
        inputs, frames, _ = padded_frames(found, conditions)
        losses, best, state = [], [], None
        for start in range(0, len(frames), _PIECE):
            part = slice(start, start + _PIECE)
            features, state = network.read(inputs[part], state)
            flat, truth = features.flatten(0, 1), frames[part].flatten(0, 1)
            losses.append(network.head.losses(flat, truth).view(features.shape[:2]))
            drawn, _ = network.head.draw(flat, BEST, Rule.none(len(flat), network.notes), generator)
            best.append(drawn.view(*features.shape[:2], -1))
        every, answers = torch.cat(losses).double().numpy(), torch.cat(best).numpy()
        return [
            (every[: len(piece), row], note_counts(answers[: len(piece), row], piece))
            for row, piece in enumerate(found)
        ]

    return joined(read_in_batches(examples.lengths, read, steps=_STEPS))


def read_events(network: EventNetwork, encoder: MusicEncoder, examples: Examples) -> Judged:
    """Return what a network predicted of events; each piece is read from its beginning."""
    begin = encoder.code.begin

    def read(places: list[int]) -> list[tuple[Losses, NDArray[np.float64]]]:
        found = [np.asarray(examples.steps[i], np.int64) for i in places]
        tokens = torch.full((max(map(len, found)), len(found)), begin)
        targets = torch.zeros_like(tokens)
        for row, piece in enumerate(found):
            targets[: len(piece), row] = torch.from_numpy(piece)
        tokens[1:] = targets[:-1]
        losses, right, state = [], [], None
        for start in range(0, len(tokens), _PIECE):
            scores, state = network.read(tokens[start : start + _PIECE], state)
            wanted = targets[start : start + _PIECE]
            losses.append(-scores.double().log_softmax(-1).gather(-1, wanted[..., None])[..., 0])
            right.append(scores.argmax(-1) == wanted)
        every, hits = torch.cat(losses).numpy(), torch.cat(right).double().numpy()
        return [(every[: len(piece), row], event_counts(hits[: len(piece), row])) for row, piece in enumerate(found)]

    return joined(read_in_batches(examples.lengths, read, steps=_STEPS))


def event_counts(right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return counts as frames have them, `(steps, 4)`: an event that is wrong is one too many; each is a change."""
    return np.stack([right, 1 - right, np.zeros_like(right), np.ones_like(right)], -1)


def measures(judged: Judged, kind: str) -> dict[str, float]:
    """Return the measures.

    Of frames: the negative log-likelihood of a frame, all its notes together, as a mean over all frames of all pieces;
    and right notes over all that sound in answer or truth (M. Bay, A. Ehmann and J. Downie, 2009), of all frames and
    of those that are other than the frame before: most frames repeat, and to repeat is easy.
    """
    loss = float(judged.losses.mean())
    if kind == "frames":
        sums = _sums(judged)
        both = {FRAME_ACCURACY: sums, AT_CHANGES: sums[judged.changes]}
        return {NATS: loss, **{name: float(_accuracy(value.sum(0, keepdims=True))[0]) for name, value in both.items()}}
    return {"nats": loss, "perplexity": perplexity(loss), "accuracy": float(judged.hits.mean())}


def piece_units(judged: Judged, kind: str) -> Units:
    """Return the measures by pieces."""
    count = int(judged.owners.max(initial=-1)) + 1
    nats = _weighed(judged.losses, judged.owners, count)
    if kind == "frames":
        counts = _sums(judged)
        sums = Sums(sums_of(counts, judged.owners, count), _accuracy)
        changed = Sums(sums_of(counts * judged.changes[:, None], judged.owners, count), _accuracy)
        return Units(count, "pieces", {NATS: nats, FRAME_ACCURACY: sums, AT_CHANGES: changed})
    both = sums_of(np.stack([judged.losses, np.ones_like(judged.losses)], -1), judged.owners, count)
    perplexities = Sums(both, lambda each: np.exp(each[:, 0] / each[:, 1]))
    accuracy = _weighed(judged.hits, judged.owners, count)
    return Units(count, "pieces", {"nats": nats, "perplexity": perplexities, "accuracy": accuracy})


def _weighed(values: Losses, owners: NDArray[np.int64], count: int) -> Mean:
    """Return a mean by pieces, each weighed by its steps."""
    means = mean_of(values, owners, count)
    return Mean(means.values, np.bincount(owners, minlength=count).astype(np.float64))


def _sums(judged: Judged) -> NDArray[np.float64]:
    return np.stack([judged.hits, judged.extra, judged.missed], -1)


def _accuracy(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    whole = sums.sum(1)
    found: NDArray[np.float64] = np.divide(sums[:, 0], whole, out=np.ones(len(sums)), where=whole > 0)
    return found
