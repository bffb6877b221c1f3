"""A recurrent decoder with attention: one token after the other, or all of them at once where nothing feeds back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from ostinato.engine import leaves, map_state
from ostinato.errors import UsageError
from ostinato.nn.attention.memory import Attention, Memory
from ostinato.nn.compiled_steps import CompiledSteps, StackStep
from ostinato.nn.losses.output import linear_cross_entropy
from ostinato.nn.products import QuickLinear
from ostinato.nn.recurrent import LayerStates, Recurrent

Reading = Literal["after", "before"]


@dataclass(frozen=True)
class DecoderState:
    """Where decoding stands, one row a hypothesis."""

    layers: LayerStates
    """Of the recurrent stack."""
    memory: Memory | None
    fed: Tensor | None
    """The readout that the next step is fed with, `(batch, features)`."""
    weights: Tensor | None
    """Of the last look into the memory, `(batch, source)`."""
    output: Tensor | None
    """The stack's last output where the next step asks with it, `(batch, features)`."""
    steps: CompiledSteps | None = None
    """The stack's compiled step, where nothing is to be learned."""

    def select(self, rows: Tensor, *, memory: bool = True) -> DecoderState:
        """Return the state of some rows in a given order, as beam search wants it.

        Args:
            rows: their numbers.
            memory: whether the memories are put in that order too; not needed where every row keeps its source.
        """

        def chosen(leaf: Tensor) -> Tensor:
            return leaf.index_select(0, rows)

        return replace(
            self,
            layers=tuple(map_state(chosen, layer) for layer in self.layers),
            memory=self.memory.select(rows) if memory and self.memory is not None else self.memory,
            fed=None if self.fed is None else chosen(self.fed),
            weights=None if self.weights is None else chosen(self.weights),
            output=None if self.output is None else chosen(self.output),
        )


class RecurrentDecoder(nn.Module):
    """A stack of any cells that reads tokens and looks into a memory.

    With `reading="after"` (Luong) the step comes first and its output is the query; the readout is
    `tanh(W [output, context])`. With `reading="before"` (Bahdanau) the last output is the query, and the step reads the
    context beside the token. Without attention the readout is the output, or `tanh(W output)` if it has another width.

    Args:
        embedding: of tokens.
        stack: the recurrent layers, in one direction; they read the embedding and, behind it, what is fed.
        vocabulary_size: how many tokens there are to choose from.
        attention: over the memory, its queries as wide as the stack's outputs; `None` for none.
        reading: see above.
        input_feeding: also read the readout of the step before (Luong et al., section 3.3).
        readout_size: features of a readout; as many as the stack gives if left out.
        tie_weights: use the embedding's matrix as that of the scores; the readout must be as wide.
        dropout: on embeddings and readouts, in training.

    Raises:
        UsageError: the parts do not fit together.

    Sources: D. Bahdanau, K. Cho and Y. Bengio, ICLR 2015; M. Luong, H. Pham and C. Manning, EMNLP 2015.
    """

    def __init__(
        self,
        embedding: nn.Embedding,
        stack: Recurrent,
        vocabulary_size: int,
        *,
        attention: Attention | None = None,
        reading: Reading = "after",
        input_feeding: bool = False,
        readout_size: int | None = None,
        tie_weights: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if reading not in ("after", "before"):
            raise UsageError(f'reading is {reading!r}; expected "after" or "before"')
        if stack.bidirectional or stack.batch_first:
            raise UsageError("a decoder's stack runs in one direction, with time first")
        self.embedding, self.stack, self.attention = embedding, stack, attention
        self.reading, self.input_feeding = reading, input_feeding
        self.dropout = nn.Dropout(dropout)
        self.output_size = _output_size(stack, self._input_size(embedding.embedding_dim, attention, readout_size))
        self.readout_size = readout_size or self.output_size
        self.readout: nn.Module = nn.Identity()
        if attention is not None and attention.query_size != self.output_size:
            raise UsageError(
                f"the attention takes queries of {attention.query_size} features, but the stack gives "
                f"{self.output_size}"
            )
        width = self.output_size + (0 if attention is None else context_size(attention))
        if width != self.readout_size or attention is not None:
            self.readout = nn.Sequential(QuickLinear(width, self.readout_size, bias=False), nn.Tanh())
        self.scores = QuickLinear(self.readout_size, vocabulary_size)
        if tie_weights:
            if tuple(embedding.weight.shape) != (vocabulary_size, self.readout_size):
                raise UsageError(
                    f"tie_weights needs an embedding of {vocabulary_size} x {self.readout_size}; this one is "
                    f"{embedding.num_embeddings} x {embedding.embedding_dim}"
                )
            self.scores.weight = embedding.weight

    def _input_size(self, embedded: int, attention: Attention | None, readout_size: int | None) -> int:
        fed, stack = 0, self.stack
        if attention is not None and self.reading == "before":
            fed += context_size(attention)
        if self.input_feeding:
            fed += readout_size or (attention.query_size if attention is not None else _known_size(stack))
        wanted, found = embedded + fed, getattr(stack.cells[0], "input_size", None)
        if isinstance(found, int) and found != wanted:
            raise UsageError(
                f"the stack reads {found} features, but a step gives it {wanted}: {embedded} of the embedding"
                + (f" and {fed} that are fed back" if fed else "")
            )
        return wanted

    @property
    def feeds_back(self) -> bool:
        """Whether a step reads what the step before gave, beside the stack's own state."""
        looks = self.attention is not None and (self.reading == "before" or self.attention.feeds_back)
        return looks or self.input_feeding

    def start(self, layers: LayerStates, memory: Tensor, lengths: Tensor | None = None) -> DecoderState:
        """Return where decoding begins.

        Args:
            layers: the states that the stack starts from.
            memory: `(source, batch, features)`.
            lengths: `(batch,)` of the memories.
        """
        batch = memory.shape[1]
        prepared = None if self.attention is None else self.attention.prepare(memory, lengths)
        fed = memory.new_zeros(batch, self.readout_size) if self.input_feeding else None
        output = self._first_query(layers, memory) if self.reading == "before" else None
        steps = None if self.training or torch.is_grad_enabled() else CompiledSteps(self._cell())
        return DecoderState(layers, prepared, fed, None, output, steps)

    def _cell(self) -> StackStep:
        """Return the stack as a cell; beside it rather than in it, since its weights are the decoder's own."""
        cell: StackStep | None = self.__dict__.get("_stack_step")
        if cell is None or cell.stack is not self.stack:
            cell = self.__dict__["_stack_step"] = StackStep(self.stack)
            cell.training = False  # and not eval(), which would be the stack's own matter
        return cell

    def _first_query(self, layers: LayerStates, memory: Tensor) -> Tensor:
        """Return the start of the top layer's hidden state, which most cells give out; else zeros."""
        hidden = leaves(layers[-1])[0]
        shape = (memory.shape[1], self.output_size)
        return hidden if hidden.shape == shape else memory.new_zeros(shape)

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Read one token a row and return scores for the next, `(batch, vocabulary)`, and the new state.

        The new state's `weights` say where the step looked.
        """
        readout, state = self._advance(self.dropout(self.embedding(tokens)), state)
        return self.scores(self.dropout(readout)), state

    def forward(
        self,
        tokens: Tensor,
        state: DecoderState,
        *,
        lengths: Tensor | None = None,
        teacher_forcing: float = 1.0,
        choose: Callable[[Tensor], Tensor] | None = None,
    ) -> tuple[Tensor, Tensor | None, DecoderState]:
        """Read whole targets.

        Args:
            tokens: `(time, batch)`, the first one the mark of the beginning.
            state: from `start`.
            lengths: `(batch,)` of the targets; matters only to how much is computed.
            teacher_forcing: the probability that a step reads the given token rather than what the step before chose
                (scheduled sampling; S. Bengio et al., NeurIPS 2015), drawn for each token.
            choose: of scores `(batch, vocabulary)` the tokens `(batch,)`; the best ones if left out.

        Returns:
            Scores `(time, batch, vocabulary)`, attention weights `(time, batch, source)` if there is attention, and the
            state after the last step.
        """
        readouts, weights, state = self.read(
            tokens, state, lengths=lengths, teacher_forcing=teacher_forcing, choose=choose
        )
        return self.score(readouts), weights, state

    def score(self, readouts: Tensor) -> Tensor:
        """Return scores `(..., vocabulary)` of readouts `(..., features)`."""
        scores: Tensor = self.scores(self.dropout(readouts))
        return scores

    def loss(self, readouts: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
        """Return the mean cross-entropy of tokens `(...)` by readouts `(..., features)`; see `linear_cross_entropy`."""
        scores = self.scores
        return linear_cross_entropy(
            self.dropout(readouts), scores.weight, targets, scores.bias, label_smoothing=label_smoothing
        )

    def read(
        self,
        tokens: Tensor,
        state: DecoderState,
        *,
        lengths: Tensor | None = None,
        teacher_forcing: float = 1.0,
        choose: Callable[[Tensor], Tensor] | None = None,
    ) -> tuple[Tensor, Tensor | None, DecoderState]:
        """Return readouts `(time, batch, features)` in the place of their scores; all else as in `forward`.

        A loss then pays for the scores of real steps only, see `score`.
        """
        if teacher_forcing >= 1.0:
            embedded = self.dropout(self.embedding(tokens))
            if not self.feeds_back:
                return self._all_at_once(embedded, state, lengths)
        readouts: list[Tensor] = []
        weights: list[Tensor | None] = []
        for t in range(tokens.shape[0]):
            if teacher_forcing >= 1.0:
                step = embedded[t]
            else:
                given = tokens[t] if t == 0 else self._mixed(tokens[t], readouts[-1], teacher_forcing, choose)
                step = self.dropout(self.embedding(given))
            readout, state = self._advance(step, state)
            readouts.append(readout)
            weights.append(state.weights)
        if not readouts:
            return self.embedding(tokens).new_zeros(*tokens.shape, self.readout_size), None, state
        looked = None if self.attention is None else torch.stack([weight for weight in weights if weight is not None])
        return torch.stack(readouts), looked, state

    def _mixed(self, given: Tensor, readout: Tensor, share: float, choose: Callable[[Tensor], Tensor] | None) -> Tensor:
        """Return the given tokens, some of them replaced by what the model itself would have gone on with."""
        with torch.no_grad():
            scores = self.scores(readout)
            chosen = scores.argmax(-1) if choose is None else choose(scores)
            return torch.where(torch.rand(given.shape, device=given.device) < share, given, chosen)

    def _advance(self, embedded: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Take one step from embedded tokens, `(batch, features)`, to the readout."""
        fed = [embedded]
        context, weights = None, state.weights
        if self.attention is not None and self.reading == "before":
            assert state.memory is not None
            assert state.output is not None
            context, weights = self.attention(state.output, state.memory, state.weights)
            fed.append(context)
        if state.fed is not None:
            fed.append(state.fed)
        output, layers = self._stepped(torch.cat(fed, -1) if len(fed) > 1 else embedded, state)
        if self.attention is not None and self.reading == "after":
            assert state.memory is not None
            context, weights = self.attention(output, state.memory, state.weights)
        readout: Tensor = self.readout(output if context is None else torch.cat([output, context], -1))
        fed_next = readout if self.input_feeding else None
        asks_next = output if self.reading == "before" else None
        return readout, replace(state, layers=layers, fed=fed_next, weights=weights, output=asks_next)

    def _stepped(self, read: Tensor, state: DecoderState) -> tuple[Tensor, LayerStates]:
        """Advance the stack one step: by the compiled one where nothing is to be learned from it."""
        if state.steps is None or self.training or torch.is_grad_enabled():
            return self.stack.step(read, state.layers)
        return state.steps.step(read, state.layers)

    def _all_at_once(
        self, embedded: Tensor, state: DecoderState, lengths: Tensor | None
    ) -> tuple[Tensor, Tensor | None, DecoderState]:
        """Run the stack over all steps in one scan, then look for all of them at once."""
        outputs, layers = self.stack(embedded, state.layers, lengths=lengths)
        weights, read = None, outputs
        if self.attention is not None:
            assert state.memory is not None
            contexts, weights = self.attention(outputs, state.memory)
            read = torch.cat([outputs, contexts], -1)
        last = None if weights is None or not len(weights) else weights[-1]
        return self.readout(read), weights, replace(state, layers=layers, weights=last)


def context_size(attention: Attention) -> int:
    """Return how wide the contexts of an attention are."""
    from ostinato.nn.attention.multihead import MultiHeadAttention

    return attention.query_size if isinstance(attention, MultiHeadAttention) else attention.memory_size


def _known_size(stack: Recurrent) -> int:
    size = getattr(stack.cells[-1], "hidden_size", None)
    if not isinstance(size, int):
        raise UsageError(f"the output size of {type(stack.cells[-1]).__name__} is not known; it has no hidden_size")
    return size


def _output_size(stack: Recurrent, input_size: int) -> int:
    like = next(stack.parameters(), torch.zeros(()))
    row = torch.zeros((1, input_size), device=like.device, dtype=like.dtype)
    training = stack.training
    stack.eval()
    with torch.no_grad():
        output, _ = stack.step(row, stack.initial_state(row))
    stack.train(training)
    return output.shape[-1]
