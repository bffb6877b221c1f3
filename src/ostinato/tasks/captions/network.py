"""The network of a captioner: frames to features, a recurrent encoder over time, attention, a recurrent decoder."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ostinato.data.text import Specials
from ostinato.nn.attention import AdditiveAttention, Attention, DotAttention, GeneralAttention, MultiHeadAttention
from ostinato.nn.by_name import stack_of
from ostinato.nn.decoder import DecoderState
from ostinato.nn.path_decoder import PathDecoder
from ostinato.nn.vision import TwoPathReader
from ostinato.tasks.captions.frames import FrameSettings
from ostinato.tasks.captions.parameters import CaptionParameters

_MIDDLE, _SPREAD = 0.45, 0.25  # of pixels from 0 to 1, about


class CaptionBatch(NamedTuple):
    """What `CaptionNetwork.forward` takes.

    Shapes: `frames (time, clips, height, width, 3)` uint8, or `(time, clips, features)`; `lengths (clips,)`; `owners
    (captions,)`, the clip of each caption; `targets (tokens, captions)`; `target_lengths (captions,)`, marks counted.
    """

    frames: Tensor
    lengths: Tensor
    owners: Tensor
    targets: Tensor
    target_lengths: Tensor


class CaptionNetwork(nn.Module):
    """Log-probabilities of each token of a caption; `start` and `step` as a search asks for them.

    Frames are read along the paths of `TwoPathReader`; the encoder, the same for both, walks each over time, and the
    decoder looks into each and says of each alone what it sees (`PathDecoder`). Nothing else of the clip reaches it.

    Args:
        parameters: of the captioner.
        frames: how clips are read.
        tokens: that captions are made of.
    """

    learned: Tensor

    def __init__(self, parameters: CaptionParameters, frames: FrameSettings, tokens: int) -> None:
        super().__init__()
        given = parameters
        size, width = given.hidden_size, given.embedding_size or max(2, given.hidden_size // 2)
        self.hidden_size, self.vectors = size, frames.vectors
        self.register_buffer("learned", torch.zeros((), dtype=torch.long))  # training steps so far
        self.augmentation = ClipAugmentation(given.augmentation)
        self.reader: Any = _reader(given, frames)
        self.paths = 1 if frames.vectors else TwoPathReader.paths
        """Rows of features that a frame becomes."""
        options: dict[str, Any] = {"num_layers": given.num_layers, "dropout": given.dropout}
        # half of the units in each direction: the memory is then as wide as the decoder's outputs
        encoder: Any = stack_of(given.cell, size, max(1, size // 2), bidirectional=True, **options)
        with torch.no_grad():
            self.memory_size = encoder.eval()(torch.zeros(1, 1, size))[0].shape[-1]
        self.encoder = encoder.train()
        stack: Any = stack_of(given.cell, width, size, **options)
        self.decoder = PathDecoder(
            _embedding(tokens, width), stack, tokens, attention=_attention(given.attention, size, self.memory_size),
            paths=self.paths, dropout=given.dropout,
        )  # fmt: skip
        nn.init.zeros_(self.decoder.scores.bias)
        self.dropout = nn.Dropout(given.dropout)

    def features(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return features `(time, clips, paths, features)` of frames as a batch has them.

        Args:
            frames: `(time, clips, height, width, 3)` uint8, or `(time, clips, features)`.
            lengths: real frames of each clip, `(clips,)`.
        """
        if self.vectors:
            return self.reader(frames)[:, :, None]  # type: ignore[no-any-return]
        moved = self.augmentation.moved(frames)  # while a pixel is three bytes
        features: Tensor = self.reader(self.augmentation(_standardised(moved)), lengths)
        return features

    def encode(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return what attention looks at, `(time, clips, paths * memory features)`, and the steps of each clip."""
        return self.encode_features(self.features(frames, lengths), lengths)

    def encode_features(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the same of features `(time, clips, paths, features)`."""
        time, clips, paths = features.shape[:3]
        read = self.dropout(features.flatten(1, 2))
        ys, _ = self.encoder(read, lengths=lengths.repeat_interleave(paths))
        return ys.reshape(time, clips, -1), lengths

    def forward(
        self, batch: CaptionBatch, label_smoothing: float = 0.0, before: Tensor | None = None
    ) -> tuple[Tensor, int]:
        """Return the mean cross-entropy of all real tokens of a batch, in nats, and how many they are.

        Args:
            batch: clips and captions.
            label_smoothing: the share of each target that goes to all tokens alike.
            before: what the decoder is shown of the tokens before, if it is not the truth, `(tokens - 1, captions)`.
        """
        if self.training:
            self.learned += 1
        memory, lengths = self.encode(batch.frames, batch.lengths)
        return self.loss_of(memory, lengths, batch, label_smoothing, before)

    def loss_of(
        self,
        memory: Tensor,
        lengths: Tensor,
        batch: CaptionBatch,
        label_smoothing: float = 0.0,
        before: Tensor | None = None,
    ) -> tuple[Tensor, int]:
        """Return the same of clips that are encoded; see `encode`."""
        state = self.start(memory.index_select(1, batch.owners), lengths[batch.owners])
        shown = batch.targets[:-1] if before is None else before
        readouts, _, _ = self.decoder.read(shown, state, lengths=batch.target_lengths - 1)
        places = torch.arange(len(batch.targets) - 1, device=batch.targets.device)[:, None]
        real = places < batch.target_lengths - 1
        targets = batch.targets[1:][real]
        loss: Tensor = self.decoder.loss(readouts[real], targets, label_smoothing=label_smoothing)
        return loss, len(targets)

    def start(self, sources: Tensor, lengths: Tensor) -> DecoderState:
        """Return where decoding begins, of what `encode` gave."""
        row = sources.new_zeros(sources.shape[1], self.decoder.embedding.embedding_dim)
        return self.decoder.start(self.decoder.stack.initial_state(row), sources, lengths)

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Read one token a row, `(batch,)`; return scores `(batch, vocabulary)` and the new state.

        The mark of an unknown word stands for what the decoder is not shown, and is never written.
        """
        scores, state = self.decoder.step(tokens, state)
        scores = scores.clone()
        scores[:, Specials().unk] = float("-inf")
        return scores, state


class VectorReader(nn.Module):
    """Rows of numbers that stand for frames, standardised by the training part, as features.

    Args:
        width: numbers of a row.
        features: that a row becomes.
        dropout: of the numbers, in training.
    """

    center: Tensor
    scale: Tensor

    def __init__(self, width: int, features: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.mixed = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, features), nn.SiLU())

    def fit(self, rows: Tensor) -> None:
        """Take mean and spread of rows, `(rows, width)`."""
        self.center, spread = rows.mean(0), rows.std(0, correction=0)
        self.scale = torch.where(spread > 0, spread, torch.ones_like(spread))

    def forward(self, rows: Tensor) -> Tensor:
        """Return features `(..., features)` of rows `(..., width)`."""
        found: Tensor = self.mixed((rows - self.center) / self.scale)
        return found


class ClipAugmentation(nn.Module):
    """In training, clips as they might have been filmed: all frames moved alike, lighter or darker, with more contrast.

    Args:
        strength: 0 for nothing, 1 for up to an eighth of the frame.
    """

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, frames: Tensor) -> Tensor:
        """Return standardised frames in another light, `(time, clips, channels, height, width)`."""
        if not self.training or not self.strength:
            return frames
        clips = frames.shape[1]
        contrast = 1 + 0.2 * self.strength * torch.randn(clips).clamp(-2, 2)
        light = 0.2 * self.strength * torch.randn(clips)
        shape = (1, clips, 1, 1, 1)
        return frames * contrast.view(shape) + light.view(shape)

    def moved(self, frames: Tensor) -> Tensor:
        """Return frames `(time, clips, height, width, channels)` moved within their borders, all of a clip alike."""
        clips, height, width = frames.shape[1:4]
        reach = [int(self.strength * size / 8) for size in (height, width)]
        if not self.training or not any(reach):
            return frames
        found = torch.empty_like(frames)
        for clip in range(clips):
            down, right = (int(torch.randint(-most, most + 1, ())) for most in reach)
            rows = (torch.arange(height) + down).clamp(0, height - 1)
            columns = (torch.arange(width) + right).clamp(0, width - 1)
            found[:, clip] = frames[:, clip].index_select(1, rows).index_select(2, columns)
        return found


def _standardised(frames: Tensor) -> Tensor:
    """Return pixels `(time, clips, height, width, 3)` as `(time, clips, 3, height, width)`, about from -2 to 2."""
    return (frames.permute(0, 1, 4, 2, 3).float() / 255.0 - _MIDDLE) / _SPREAD


def _reader(parameters: CaptionParameters, frames: FrameSettings) -> nn.Module:
    size, dropout = parameters.hidden_size, parameters.dropout
    if not frames.vectors:
        return TwoPathReader(tuple(parameters.widths), heads=parameters.heads, features=size, dropout=dropout)
    return VectorReader(frames.width, size, dropout)


def _attention(kind: str, query: int, memory: int) -> Attention:
    if kind == "additive":
        return AdditiveAttention(query, memory)
    if kind == "dot":
        return DotAttention(query, memory)
    if kind == "general":
        return GeneralAttention(query, memory)
    heads = next(count for count in (4, 2, 1) if query % count == 0)
    return MultiHeadAttention(query, memory, heads=heads)


def _embedding(size: int, width: int) -> nn.Embedding:
    table = nn.Embedding(size, width)
    nn.init.normal_(table.weight, std=width**-0.5)
    return table
