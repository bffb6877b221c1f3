"""The forecasting network: a recurrent cell over segments of the context, decoded at once or step after step."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.engine import map_state
from ostinato.errors import UsageError
from ostinato.nn import LayerStates
from ostinato.nn.by_name import stack_of
from ostinato.nn.heads import Head
from ostinato.options import Cell
from ostinato.tasks.forecast.inputs import Inputs
from ostinato.tasks.forecast.settings import NetworkSettings, make_head


class ForecastNetwork(nn.Module):
    """What both ways of decoding share: segments, the recurrent stack, the last linear layer, the linear highway.

    A segment is `w` steps of one target with its covariates, read by the cell as one step (SegRNN: Lin et al., 2023,
    arXiv 2308.11200, section 3); with `w = 1` this is a plain recurrent network. Targets share all weights and are told
    apart by an embedding. The highway is a linear map from context to horizon beside the recurrence (the
    autoregressive part of LSTNet: Lai et al., 2018, section 3.5).
    """

    def __init__(self, settings: NetworkSettings, cell: Cell) -> None:
        super().__init__()
        self.settings = settings
        self.head: Head = make_head(settings)
        width, size = settings.segment, settings.hidden_size
        profiles = 2 * HARMONICS if settings.calendar else 0
        features = width * (1 + settings.masked + settings.past + settings.known) + settings.calendar + profiles
        self.embed = nn.Linear(features, size)
        self.static = nn.Linear(settings.static, size, bias=False) if settings.static else None
        self.recurrent: Any = stack_of(cell, size, size, settings.num_layers, dropout=settings.dropout)
        self.dropout = nn.Dropout(settings.dropout)
        self.output = nn.Linear(size, width * self.head.size)
        # how the forecast of a segment follows the calendar of its steps: amplitudes of waves, from the hidden state
        self.profile = nn.Linear(size, profiles) if profiles else None
        if self.profile is not None:
            nn.init.zeros_(self.profile.weight)
            nn.init.zeros_(self.profile.bias)
        self.highway = nn.Linear(settings.context, settings.horizon, bias=False) if settings.highway else None
        if self.highway is not None:
            nn.init.zeros_(self.highway.weight)

    def start_from(self, weights: NDArray[np.float64]) -> None:
        """Let the highway start from a linear autoregression, `(context + 1, horizon)`, its last row the constant.

        The recurrent part then begins by saying nothing, and learns what the linear forecast leaves: whatever it would
        say before it has learned drives the linear weights away from where they are right (a last layer of zeros:
        H. Zhang, Y. Dauphin and T. Ma, "Fixup initialization", 2019).
        """
        if self.highway is None or not weights.size or self.settings.normalization not in ("last", "last_std"):
            return
        with torch.no_grad():
            self.highway.weight.copy_(torch.from_numpy(weights[:-1].T))
            self.output.weight.zero_()

    def forward(self, inputs: Inputs) -> Tensor:
        """Return the head's numbers for each target of each window, `(rows, horizon, head size)`."""
        _, state = self.recurrent(self.context_steps(inputs))
        return self.decode(state, inputs)

    def context_steps(self, inputs: Inputs) -> Tensor:
        """Return what the stack reads before it forecasts, `(segments, rows, hidden)`."""
        raise NotImplementedError

    def decode(self, state: LayerStates, inputs: Inputs) -> Tensor:
        """Forecast from the state after the context."""
        raise NotImplementedError

    def embed_segments(self, inputs: Inputs, values: Tensor, observed: Tensor, first: int) -> Tensor:
        """Return segments as the cell reads them, `(segments, rows, hidden)`.

        `values` and `observed` are `(rows, steps)`; `first` is where on the time axis of the covariates they begin.
        """
        settings, steps = self.settings, values.shape[1]
        cut = slice(first, first + steps)
        parts = [values[..., None], *([observed[..., None]] if settings.masked else [])]
        if settings.past:
            parts.append(self._per_target(_window(inputs.past, cut, steps)))
        if settings.known:
            parts.append(self._per_target(_window(inputs.known, cut, steps)))
        columns = torch.cat(parts, -1)
        segments = columns.reshape(len(values), steps // settings.segment, -1)
        if settings.calendar:
            calendar = _window(inputs.calendar, cut, steps)
            starts = self._per_target(calendar[:, :: settings.segment])
            waves = self._per_target(waves_of_day(calendar)).reshape(*segments.shape[:2], settings.segment, -1)
            pieces = values.reshape(len(values), -1, settings.segment)
            # how the values of a segment follow the calendar of its steps, wherever the segment begins
            follows = torch.einsum("rsw,rswf->rsf", pieces, waves) / settings.segment
            segments = torch.cat([segments, starts, follows], -1)
        embedded: Tensor = self.embed(segments)
        if self.static is not None:
            embedded = embedded + self._per_target(self.static(inputs.static)[:, None])
        return torch.relu(embedded).transpose(0, 1)

    def read(self, features: Tensor) -> Tensor:
        """Turn the stack's outputs, `(segments, rows, hidden)`, into numbers for the head, `(rows, steps, size)`."""
        numbers: Tensor = self.output(self.dropout(features)).transpose(0, 1)
        return numbers.reshape(numbers.shape[0], -1, self.head.size)

    def add_profile(self, numbers: Tensor, features: Tensor, inputs: Inputs, first: int) -> Tensor:
        """Add what each step's calendar says, by the hidden states `(segments, rows, hidden)` of their segments.

        `numbers` are `(rows, steps, size)`; `first` is where on the time axis of the calendar they begin.
        """
        if self.profile is None:
            return numbers
        return self.add_waves(numbers, self.profile(self.dropout(features)).transpose(0, 1), inputs, first)

    def add_waves(self, numbers: Tensor, amplitudes: Tensor, inputs: Inputs, first: int) -> Tensor:
        """Add waves of the calendar, of `amplitudes (rows, segments, waves)`; see `add_profile`."""
        settings = self.settings
        steps = amplitudes.shape[1] * settings.segment
        waves = self._per_target(waves_of_day(_window(inputs.calendar, slice(first, first + steps), steps)))
        waves = waves.reshape(*amplitudes.shape[:2], settings.segment, -1)
        line = torch.einsum("rsf,rswf->rsw", _PROFILE * amplitudes, waves).flatten(1)
        return self._shifted(numbers, line[:, : numbers.shape[1]])

    def add_highway(self, numbers: Tensor, inputs: Inputs) -> Tensor:
        """Add the linear forecast to where each distribution lies: to all quantiles, or to the location."""
        if self.highway is None:
            return numbers
        return self._shifted(numbers, self.highway(inputs.history))

    def _shifted(self, numbers: Tensor, line: Tensor) -> Tensor:
        if self.settings.output in ("point", "quantiles"):
            return numbers + line[..., None]
        return torch.cat([numbers[..., :1] + line[..., None], numbers[..., 1:]], -1)

    def _per_target(self, values: Tensor) -> Tensor:
        """Repeat `(batch, ...)` for each target, `(rows, ...)`."""
        targets = self.settings.targets
        return values if targets == 1 else values.repeat_interleave(targets, 0)


class DirectNetwork(ForecastNetwork):
    """All segments of the horizon at once, each from the last state by one more recurrent step (SegRNN, section 3.3).

    What tells the segments apart is an embedding of their place and of the target, with the future covariates.
    """

    def __init__(self, settings: NetworkSettings, cell: Cell) -> None:
        super().__init__(settings, cell)
        size, half = settings.hidden_size, settings.hidden_size // 2
        self.place = nn.Parameter(torch.randn(settings.future_segments, size - half))
        self.target = nn.Parameter(torch.randn(settings.targets, half))
        features = settings.segment * settings.known + settings.calendar
        self.future = nn.Linear(features, size, bias=False) if features else None

    def context_steps(self, inputs: Inputs) -> Tensor:
        """Return what the stack reads before it forecasts, `(segments, rows, hidden)`."""
        return self.embed_segments(inputs, inputs.history, inputs.observed, 0)

    def decode(self, state: LayerStates, inputs: Inputs) -> Tensor:
        """Forecast all segments at once from the state after the context."""
        settings = self.settings
        queries = self.queries(inputs)  # (rows, segments, hidden)
        rows, segments, size = queries.shape
        # each segment of the horizon is one more row of the batch, starting from its window's state
        starts = tuple(map_state(lambda leaf: leaf.repeat_interleave(segments, 0), layer) for layer in state)
        outputs, _ = self.recurrent.step(queries.reshape(rows * segments, size), starts)
        features = outputs.reshape(rows, segments, size).transpose(0, 1)
        numbers = self.read(features)[:, : settings.horizon]
        return self.add_highway(self.add_profile(numbers, features, inputs, settings.context), inputs)

    def queries(self, inputs: Inputs) -> Tensor:
        """Return what the stack reads to forecast each segment, `(rows, segments, hidden)`."""
        settings = self.settings
        batch = len(inputs.history) // settings.targets
        place = self.place.expand(settings.targets, -1, -1)
        target = self.target[:, None].expand(-1, settings.future_segments, -1)
        queries = torch.cat([place, target], -1).repeat(batch, 1, 1)
        if self.future is not None:
            queries = queries + self._per_target(self.future(self._future_features(inputs)))
        return queries

    def _future_features(self, inputs: Inputs) -> Tensor:
        settings = self.settings
        steps = settings.future_segments * settings.segment
        cut = slice(settings.context, settings.context + steps)
        known = _window(inputs.known, cut, steps).reshape(len(inputs.known), settings.future_segments, -1)
        calendar = _window(inputs.calendar, cut, steps)[:, :: settings.segment]
        return torch.cat([known, calendar], -1)


class RecursiveNetwork(ForecastNetwork):
    """One segment after the other, each read back by the network (DeepAR: Salinas et al., 2020, with segments of one).

    In training the true values are read back (teacher forcing; Williams and Zipser, 1989).
    """

    def __init__(self, settings: NetworkSettings, cell: Cell) -> None:
        super().__init__(settings, cell)
        if settings.past:
            raise UsageError(
                "recursive decoding cannot use past covariates: they are not known beyond the first step; use "
                'decoding="direct", or name them as known covariates'
            )
        self.target = nn.Parameter(0.1 * torch.randn(settings.targets, settings.hidden_size))

    def context_steps(self, inputs: Inputs) -> Tensor:
        """Return what the stack reads before it forecasts: all segments but the last, which gives the first output."""
        return self._embed_next(inputs, inputs.history, inputs.observed, 0)[:-1]

    def decode(self, state: LayerStates, inputs: Inputs) -> Tensor:
        """Forecast each segment from the true values before it."""
        settings = self.settings
        padding = (0, settings.future_segments * settings.segment - settings.horizon)
        last = slice(settings.context - settings.segment, None)
        values = torch.cat([inputs.history[:, last], nn.functional.pad(inputs.future, padding)], 1)
        observed = torch.cat([inputs.observed[:, last], nn.functional.pad(inputs.wanted, padding)], 1)
        embedded = self._embed_next(inputs, values, observed, settings.context - settings.segment)
        outputs, _ = self.recurrent(embedded[:-1], state)
        numbers = self.add_profile(self.read(outputs)[:, : settings.horizon], outputs, inputs, settings.context)
        return self.add_highway(numbers, inputs)

    def sample_paths(self, inputs: Inputs, paths: int, generator: torch.Generator | None) -> Tensor:
        """Draw whole futures, each value drawn given those before it, `(paths, rows, horizon)`; normalised."""
        settings = self.settings
        inputs = _repeat(inputs, paths)
        _, state = self.recurrent(self.context_steps(inputs))
        values, observed = inputs.history[:, -settings.segment :], inputs.observed[:, -settings.segment :]
        drawn = []
        line = self.highway(inputs.history) if self.highway is not None else None
        for segment in range(settings.future_segments):
            first = settings.context + (segment - 1) * settings.segment
            embedded = self._embed_next(inputs, values, observed, first)
            output, state = self.recurrent.step(embedded[0], state)
            at = settings.context + segment * settings.segment
            numbers = self.add_profile(self.read(output[None]), output[None], inputs, at)
            if line is not None:
                piece = line[:, segment * settings.segment : (segment + 1) * settings.segment]
                numbers = self._shifted(numbers, nn.functional.pad(piece, (0, settings.segment - piece.shape[1])))
            values = self.head.sample(numbers, inputs.unit[:, None], generator)
            observed = torch.ones_like(values)
            drawn.append(values)
        whole = torch.cat(drawn, 1)[:, : settings.horizon]
        split = whole.reshape(-1, paths, settings.targets, settings.horizon)
        return split.transpose(0, 1).reshape(paths, -1, settings.horizon)

    def _embed_next(self, inputs: Inputs, values: Tensor, observed: Tensor, first: int) -> Tensor:
        """Embed segments with the covariates of the segment after each: the one that is forecast from it."""
        embedded = self.embed_segments(inputs, values, observed, first + self.settings.segment)
        batch = len(values) // self.settings.targets
        return embedded + self.target.repeat(batch, 1)


def make_network(settings: NetworkSettings, cell: Cell) -> DirectNetwork | RecursiveNetwork:
    """Return the network that the settings describe."""
    return DirectNetwork(settings, cell) if settings.decoding == "direct" else RecursiveNetwork(settings, cell)


HARMONICS = 3  # waves of the shortest cycle of the calendar: its length, and one half and one third of it
_PROFILE = 0.3  # size of what is said by them: all steps of a segment follow few numbers, which learn as much faster


def waves_of_day(calendar: Tensor) -> Tensor:
    """Return waves of the shortest cycle, a day of hours, `(..., 2 * HARMONICS)`, from `(..., features)` of all cycles.

    Longer ones hardly move within a segment, whose first step tells of them; their waves are learned by heart.
    Sine and cosine of twice and three times an angle are sums of products of those of the angle.
    """
    sine, cosine = (half[..., :1] for half in calendar.chunk(2, -1))
    found, s, c = [sine, cosine], sine, cosine
    for _ in range(HARMONICS - 1):
        s, c = s * cosine + c * sine, c * cosine - s * sine
        found += [s, c]
    return torch.cat(found, -1)


def _window(values: Tensor, cut: slice, steps: int) -> Tensor:
    """Cut `(batch, time, columns)` to `steps` steps, repeating the last one where the horizon ends within a segment."""
    part = values[:, cut]
    short = steps - part.shape[1]
    return torch.cat([part, part[:, -1:].expand(-1, short, -1)], 1) if short else part


def _repeat(inputs: Inputs, paths: int) -> Inputs:
    """Repeat each window `paths` times, a window's targets staying together."""
    batch = len(inputs.static)

    def repeat(tensor: Tensor) -> Tensor:
        # rows come as (batch, targets) and go as (batch, paths, targets)
        grouped = tensor.reshape(batch, len(tensor) // batch, *tensor.shape[1:])
        return grouped.repeat_interleave(paths, 0).flatten(0, 1)

    return Inputs(*map(repeat, inputs))
