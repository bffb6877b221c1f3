"""A recurrent decoder that looks along several paths, and says of each alone what it sees there."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from ostinato.nn.attention.memory import Attention, Memory
from ostinato.nn.decoder import DecoderState, RecurrentDecoder
from ostinato.nn.recurrent import LayerStates, Recurrent

_SHARP = 2.0  # how much more a gate favours the better path than the ratio of what they told


class PathDecoder(RecurrentDecoder):
    """A decoder over memories of several paths; a token's probability is a mixture over paths.

    For each token attention looks into each path by itself, and each path's context alone gives probabilities of all
    tokens. How much each counts follows from the decoder's state and not from what is seen:
    `p(token) = sum_k gate_k(state) p_k(token | state, context_k)`. In a product, as of a readout of all contexts, what
    is seen along one path can rule out what is seen along another, and does so for each combination that training
    lacks (no red thing is ever round); in a mixture it cannot.

    Args:
        embedding: of tokens.
        stack: the recurrent layers.
        vocabulary_size: how many tokens there are.
        attention: into one path.
        paths: how many there are; with one of them this is a `RecurrentDecoder`.
        dropout: on embeddings and readouts, in training.

    A memory is `(source, batch, paths * features)`, the paths of a step side by side.

    Sources: R. Jacobs, M. Jordan, S. Nowlan and G. Hinton, "Adaptive mixtures of local experts", Neural Computation
    1991; Z. Yang, Z. Dai, R. Salakhutdinov and W. Cohen, "Breaking the softmax bottleneck", ICLR 2018 (a mixture of
    softmaxes in a decoder).
    """

    def __init__(
        self,
        embedding: nn.Embedding,
        stack: Recurrent,
        vocabulary_size: int,
        *,
        attention: Attention,
        paths: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(embedding, stack, vocabulary_size, attention=attention, dropout=dropout)
        self.paths = paths
        self.gate = nn.Linear(self.output_size, paths)

    def start(self, layers: LayerStates, memory: Tensor, lengths: Tensor | None = None) -> DecoderState:
        """Return where decoding begins; `memory` is `(source, batch, paths * features)`."""
        ends = None if lengths is None else lengths.repeat_interleave(self.paths)
        state = super().start(layers, memory.reshape(len(memory), memory.shape[1] * self.paths, -1), ends)
        found = state.memory
        assert found is not None
        shape = (len(memory), memory.shape[1], -1)
        # a row of the batch holds all its paths, so that rows can be chosen
        kept = Memory(found.values.view(shape), found.keys.view(shape), found.real[:, :: self.paths])
        return replace(state, memory=kept)

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Read one token a row; return log-probabilities of the next, `(batch, vocabulary)`, and the new state."""
        output, layers = self._stepped(self.dropout(self.embedding(tokens)), state)
        readouts, weights = self._looked(output[None], state)
        return self.score(readouts[0]), replace(state, layers=layers, weights=weights[0])

    def score(self, readouts: Tensor) -> Tensor:
        """Return log-probabilities `(..., vocabulary)` of what `read` gives, `(..., paths * features + paths)`."""
        logits, gates = self._logits(readouts)
        mixed: Tensor = (logits.log_softmax(-1) + gates[..., None]).logsumexp(-2)
        return mixed

    def loss(self, readouts: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
        """Return the mean cross-entropy of tokens `(...)` by what `read` gives.

        Its value is that of the mixture. Its gradient is also that of each path alone, and gates learn from how well
        each path told the tokens, whatever they are themselves: left to the mixture, the path that is a little ahead at
        first takes all of a kind of word, and the one that could tell it never learns to.
        """
        logits, gates = self._logits(readouts)
        logs = logits.log_softmax(-1)
        places = targets[..., None, None].expand(*logits.shape[:-1], 1)
        told = logs.gather(-1, places)[..., 0]
        mixed = (told + gates.detach()).logsumexp(-1)
        judged = (_SHARP * told.detach()).softmax(-1)
        more = -told.mean(-1).mean() - (judged * gates).sum(-1).mean() if self.training and self.paths > 1 else None
        loss = -mixed.mean()
        if label_smoothing:
            every = (logs + gates.detach()[..., None]).logsumexp(-2)
            loss = (1 - label_smoothing) * loss - label_smoothing * every.mean()
        return loss if more is None else loss + more - more.detach()

    def _logits(self, readouts: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores `(..., paths, vocabulary)`, and the logarithm of how much each path counts `(..., paths)`."""
        rows, gates = readouts[..., : -self.paths], readouts[..., -self.paths :]
        rows = rows.reshape(*rows.shape[:-1], self.paths, self.readout_size)
        return self.scores(self.dropout(rows)), gates

    def _looked(self, outputs: Tensor, state: DecoderState) -> tuple[Tensor, Tensor]:
        """Return readouts and gates of outputs `(steps, batch, features)`, and where they looked, over all paths."""
        memory, count = state.memory, self.paths
        assert memory is not None
        assert self.attention is not None
        size = (len(memory.values), memory.values.shape[1] * count, -1)
        apart = Memory(
            memory.values.reshape(size), memory.keys.reshape(size), memory.real.repeat_interleave(count, 1)
        )  # fmt: skip
        queries = outputs.repeat_interleave(count, 1)
        contexts, weights = self.attention(queries, apart)
        readouts = self.readout(torch.cat([queries, contexts], -1)).unflatten(1, (-1, count)).flatten(2)
        gates = self.gate(outputs).log_softmax(-1)
        looked = (weights.unflatten(1, (-1, count)) * gates.exp()[..., None]).sum(2)
        return torch.cat([readouts, gates], -1), looked

    def _all_at_once(
        self, embedded: Tensor, state: DecoderState, lengths: Tensor | None
    ) -> tuple[Tensor, Tensor | None, DecoderState]:
        outputs, layers = self.stack(embedded, state.layers, lengths=lengths)
        readouts, weights = self._looked(outputs, state)
        return readouts, weights, replace(state, layers=layers, weights=weights[-1] if len(weights) else None)
