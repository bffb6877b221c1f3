"""Beam search over a recurrent transducer, frame by frame: rounds of one more label each, a blank after any of them.

The joint network and the search run on NumPy arrays; the predictor is asked once for each new labelling, all of a round
in one call. Frames one at a time and a whole utterance give the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ostinato.engine.front.state import map_state
from ostinato.errors import ShapeError, UsageError
from ostinato.nn.losses.hypotheses import (
    NEVER,
    Emission,
    Floats,
    Hypothesis,
    Link,
    Prefix,
    PrefixTree,
    Scorer,
    best_rows,
    emissions_of,
    linked,
    log_add,
)
from ostinato.nn.losses.transducer_parts import TransducerJoint, TransducerPredictor


class LabelReader(Protocol):
    """A predictor on NumPy arrays: what it says after a labelling, and the state from which it reads one more label."""

    def start(self) -> tuple[NDArray[Any], Any]:
        """Return the output, `(features,)`, and the state before any label."""

    def read(self, labels: Sequence[int], states: Sequence[Any]) -> tuple[NDArray[Any], list[Any]]:
        """Return outputs, `(rows, features)`, and states after one more label each."""


class TorchReader:
    """A `TransducerPredictor` as it stands, in evaluation mode for as long as it reads.

    >>> from ostinato.cells import GRUCell
    >>> reader = TorchReader(TransducerPredictor(5, 8, lambda size: GRUCell(size, 6)))
    >>> output, state = reader.start()
    >>> outputs, states = reader.read([3], [state])
    >>> output.shape, outputs.shape, len(states)
    ((6,), (1, 6), 1)
    """

    def __init__(self, predictor: TransducerPredictor) -> None:
        self.predictor = predictor

    def start(self) -> tuple[NDArray[Any], Any]:
        """Read nothing."""
        with torch.no_grad():
            output, state = self.predictor.start(1)
        return output[0].cpu().numpy(), state

    def read(self, labels: Sequence[int], states: Sequence[Any]) -> tuple[NDArray[Any], list[Any]]:
        """Read a label a row, all in one step."""
        with torch.no_grad():
            together: Any = map_state(lambda *parts: torch.cat(parts), *states) if len(states) > 1 else states[0]
            rows = torch.tensor(labels, device=self.predictor.embedding.weight.device)
            outputs, state = self.predictor.step(rows, together)
            apart = [map_state(lambda leaf, at=row: leaf[at : at + 1], state) for row in range(len(labels))]
        return outputs.cpu().numpy(), apart


class _Joint:
    """A `TransducerJoint` on NumPy arrays."""

    def __init__(self, joint: TransducerJoint) -> None:
        def array(tensor: torch.Tensor) -> NDArray[Any]:
            found = tensor.detach().cpu()
            return (found.float() if found.dtype in (torch.float16, torch.bfloat16) else found).numpy().copy()

        self.hears, self.hears_bias = array(joint.encoder.weight), array(joint.encoder.bias)
        self.says = array(joint.predictor.weight)
        self.out, self.out_bias = array(joint.output.weight), array(joint.output.bias)

    def frame(self, frame: NDArray[Any]) -> NDArray[Any]:
        """Return what a frame adds to the hidden layer; one frame at a time, so that chunks change no bit."""
        added: NDArray[Any] = self.hears @ frame + self.hears_bias
        return added

    def said(self, predicted: NDArray[Any]) -> NDArray[Any]:
        """Return what the predictor's output adds to the hidden layer."""
        added: NDArray[Any] = self.says @ predicted
        return added

    def log_probabilities(self, frame: NDArray[Any], said: NDArray[Any]) -> Floats:
        """Return `(rows, classes)` for what a frame and each of some labellings add."""
        logits = (np.tanh(frame + said) @ self.out.T + self.out_bias).astype(np.float64)
        logits -= logits.max(-1, keepdims=True)
        found: Floats = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        return found


class TransducerBeam:
    """The best labellings of one sequence so far; ways to the same labels are added up.

    A wide enough beam is exact but for paths with more than `max_symbols` labels at one frame. With `beam_size` 0 the
    most probable label is written, again and again, until a blank is more probable (greedy): one path, whose score is
    its own.

    Args:
        reader: the predictor, see `LabelReader`.
        joint: says what comes next.
        blank: the class that moves to the next frame.
        beam_size: how many labellings are kept after each frame.
        max_symbols: at most so many labels a frame.
        scorer: what is added to the score, see `Scorer`; not with a greedy search.

    Raises:
        UsageError: a number is out of range, or a scorer is given to a greedy search.

    Source: A. Graves, 2012, section 2.6, with labels of a frame tried in rounds, all hypotheses at once; that is
    time-synchronous decoding in G. Saon, Z. Tuske and K. Audhkhasi, "Alignment-length synchronous decoding for RNN
    transducer", 2020.

    >>> from ostinato.cells import LSTMCell
    >>> predictor, joint = TransducerPredictor(5, 4, lambda size: LSTMCell(size, 3)), TransducerJoint(6, 3, 8, 5)
    >>> beam = TransducerBeam(TorchReader(predictor), joint, beam_size=4)
    >>> beam.advance(np.zeros((7, 6), np.float32))
    >>> len(beam.hypotheses())
    4
    """

    def __init__(
        self,
        reader: LabelReader,
        joint: TransducerJoint,
        *,
        blank: int = 0,
        beam_size: int = 8,
        max_symbols: int = 3,
        scorer: Scorer | None = None,
    ) -> None:
        if beam_size < 0:
            raise UsageError(f"beam_size is {beam_size}; expected 1 or more, or 0 for a greedy search")
        if max_symbols < 1:
            raise UsageError(f"max_symbols is {max_symbols}; expected 1 or more")
        if scorer is not None and not beam_size:
            raise UsageError("a greedy search takes no scorer; give a beam_size of 1 or more")
        self.reader, self.joint, self.scorer = reader, _Joint(joint), scorer
        self.blank, self.beam_size, self.max_symbols = blank, beam_size, max_symbols
        self.features, self.classes = joint.encoder.in_features, joint.output.out_features
        self.reset()

    def reset(self) -> None:
        """Begin a new sequence."""
        self.frames = 0
        self._tree = self._planted()
        self._nodes, self._totals = [self._tree.root], [0.0]
        self._links: list[Link | None] = [None]

    def advance(self, encoded: NDArray[Any]) -> None:
        """Take in outputs of the encoder, `(frames, features)`.

        Raises:
            ShapeError: they have another number of features.
        """
        rows = np.asarray(encoded)
        if rows.ndim != 2 or rows.shape[1] != self.features:
            raise ShapeError(f"encoded has shape {rows.shape}; expected (frames, {self.features})")
        step = self._step if self.beam_size else self._step_greedily
        for row in rows:
            step(self.joint.frame(row))
            self.frames += 1
        self._tree.prune(self._nodes)

    def hypotheses(self, *, ended: bool = True) -> list[Hypothesis]:
        """Return the labellings of the beam, best first.

        Args:
            ended: with what the scorer says of their end, those that may not end here left out; else as they stand.
        """
        found = []
        for node, total, link in zip(self._nodes, self._totals, self._links, strict=True):
            score = total + node.extra + (self._tree.end(node) if ended else 0.0)
            if score > NEVER:
                found.append(Hypothesis(node.labels(), score, emissions_of(link)))
        return sorted(found, key=lambda hypothesis: -hypothesis.score)

    def best(self) -> Hypothesis:
        """Return the best labelling as it stands."""
        ranks = [total + node.extra for node, total in zip(self._nodes, self._totals, strict=True)]
        place = max(range(len(ranks)), key=ranks.__getitem__)
        return Hypothesis(self._nodes[place].labels(), ranks[place], emissions_of(self._links[place]))

    def kept(self) -> dict[str, Any]:
        """Return all that is held, as plain data."""
        return {
            "frames": self.frames,
            "labels": [list(node.labels()) for node in self._nodes],
            "scores": np.array(self._totals),
            "links": [[list(emission) for emission in emissions_of(link)] for link in self._links],
        }

    def accept(self, kept: Mapping[str, Any]) -> None:
        """Go on from what `kept` gave; the predictor reads the labels again.

        Raises:
            UsageError: it does not fit.
        """
        labels, scores = kept["labels"], np.asarray(kept["scores"], np.float64)
        known = all(0 <= label < self.classes and label != self.blank for row in labels for label in row)
        fits = 0 < len(labels) <= max(1, self.beam_size) and len(kept["links"]) == len(labels)
        fits = fits and scores.shape == (len(labels),)
        if not known or not fits or len({tuple(row) for row in labels}) < len(labels):
            raise UsageError("the state of the search does not fit this model and beam; begin a new sequence")
        self.frames, self._tree = int(kept["frames"]), self._planted()
        nodes = []
        for row in labels:
            node = self._tree.root
            for label in row:
                node = self._tree.child(node, label)
                self._hear([node])
            nodes.append(node)
        self._nodes, self._totals = nodes, scores.tolist()
        self._links = [linked(emissions) for emissions in kept["links"]]

    # --- one frame -------------------------------------------------------------------------------------------------

    def _planted(self) -> PrefixTree:
        tree = PrefixTree(self.scorer, self.blank)
        output, state = self.reader.start()
        tree.root.heard = self.joint.said(output), state
        return tree

    def _hear(self, nodes: list[Prefix]) -> None:
        """Let the predictor read the last label of labellings that are new."""
        new = [node for node in nodes if node.heard is None]
        if new:
            before = [node.parent.heard[1] for node in new if node.parent is not None]
            outputs, states = self.reader.read([node.label for node in new], before)
            for node, output, state in zip(new, outputs, states, strict=True):
                node.heard = self.joint.said(output), state

    def _step_greedily(self, frame: NDArray[Any]) -> None:
        node, total, link = self._nodes[0], self._totals[0], self._links[0]
        for symbols in range(self.max_symbols + 1):
            spoken = self.joint.log_probabilities(frame, node.heard[0][None])[0]
            label = int(spoken.argmax()) if symbols < self.max_symbols else self.blank
            total += float(spoken[label])
            if label == self.blank:
                break
            link = link, Emission(self.frames, self.frames, float(spoken[label]))
            node = self._tree.child(node, label)
            self._hear([node])
        self._nodes, self._totals, self._links = [node], [total], [link]

    def _step(self, frame: NDArray[Any]) -> None:
        nodes, totals, links = self._nodes, self._totals, self._links
        ended: dict[int, tuple[Prefix, float, Link | None, float]] = {}  # after the blank; the last: of the better way
        for symbols in range(self.max_symbols + 1):
            spoken = self.joint.log_probabilities(frame, np.stack([node.heard[0] for node in nodes]))
            blanks = spoken[:, self.blank].tolist()
            for node, total, link, blank in zip(nodes, totals, links, blanks, strict=True):
                score = total + blank
                _, before, known, best = ended.get(id(node), (node, NEVER, None, NEVER))
                ended[id(node)] = node, log_add(before, score), known if best >= score else link, max(best, score)
            if symbols == self.max_symbols:
                break
            nodes, totals, links = self._longer(nodes, totals, links, spoken, self._least(ended))
            if not nodes:
                break
        found = list(ended.values())
        chosen = best_rows(np.array([total + node.extra for node, total, _, _ in found]), self.beam_size).tolist()
        if not chosen:  # nothing that the scorer allows is possible: no labelling from here on
            chosen = [0]
        self._nodes = [found[row][0] for row in chosen]
        self._totals = [found[row][1] for row in chosen]
        self._links = [found[row][2] for row in chosen]

    def _least(self, ended: Mapping[int, tuple[Prefix, float, Link | None, float]]) -> float:
        """Return the score that a labelling must exceed to enter the beam."""
        ranked = sorted((total + node.extra for node, total, _, _ in ended.values()), reverse=True)
        return ranked[self.beam_size - 1] if len(ranked) >= self.beam_size else NEVER

    def _longer(
        self, nodes: list[Prefix], totals: list[float], links: list[Link | None], spoken: Floats, least: float
    ) -> tuple[list[Prefix], list[float], list[Link | None]]:
        """Return the best labellings with one label more that are better than `least`."""
        scores = spoken + np.array(totals)[:, None]
        scores[:, self.blank] = NEVER
        ranks = scores + np.array([node.extra for node in nodes])[:, None]
        if nodes[0].ahead is not None:
            ranks = ranks + np.stack([node.ahead for node in nodes])  # type: ignore[misc]
        flat = ranks.ravel()
        chosen = best_rows(flat, self.beam_size)
        chosen = chosen[flat[chosen] > least]
        places, labels = np.divmod(chosen, self.classes)
        moves = list(zip(places.tolist(), labels.tolist(), strict=True))
        longer = [self._tree.child(nodes[place], label) for place, label in moves]
        self._hear(longer)
        now: list[Link | None] = [
            (links[place], Emission(self.frames, self.frames, float(spoken[place, label]))) for place, label in moves
        ]
        return longer, [float(scores[place, label]) for place, label in moves], now
