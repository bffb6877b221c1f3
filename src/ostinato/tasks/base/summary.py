"""What a fit of any task leaves to be looked at: scores beside baselines, and panels that the report draws.

Everything here is plain data, so that a report can be made, and models compared, from a saved model alone, without the
training data. A task fills in a `Summary`; it knows nothing of figures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ostinato.artifact import versions
from ostinato.errors import CorruptArtifact
from ostinato.nn.by_name import cell_name
from ostinato.tasks.base.differences import Difference, differences_from, plain_differences

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Table:
    """Rows of numbers or words under a heading, such as the recall of each class."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Matrix:
    """Numbers by row and column: a confusion matrix, the attention of each target token over the source.

    `values[row][column]`; rows are drawn from the top.
    """

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    row_axis: str = ""
    column_axis: str = ""
    note: str = ""


@dataclass(frozen=True)
class WeightedText:
    """Tokens, each with a weight from 0 to 1 that is shown as its shade, such as what attention looked at."""

    title: str
    tokens: tuple[str, ...]
    weights: tuple[float, ...]
    note: str = ""


@dataclass(frozen=True)
class Curve:
    """Lines over a common axis: reliability, gradients through time; `diagonal` draws `y = x` beside them.

    `shaded` are stretches of the axis, by what they are; `points`: the lines are points that are not joined;
    `words` stand at their places of the axis instead of numbers.
    """

    title: str
    x: tuple[float, ...]
    lines: Mapping[str, tuple[float, ...]]
    x_axis: str
    y_axis: str
    diagonal: bool = False
    logarithmic: bool = False
    note: str = ""
    shaded: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    points: bool = False
    words: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True)
class Sample:
    """A text as it stands, such as what a language model wrote."""

    title: str
    text: str
    note: str = ""


@dataclass(frozen=True)
class Fan:
    """One forecast with its intervals against what came, in the data's own units; NaN where a value is missing.

    Shapes: `history_times`, `history (context,)`; `times`, `truth`, `point (horizon,)`; `quantiles (horizon, levels)`;
    `baselines` are other forecasts by name.
    """

    title: str
    target: str
    history_times: tuple[str, ...]
    history: tuple[float, ...]
    times: tuple[str, ...]
    truth: tuple[float, ...]
    point: tuple[float, ...]
    levels: tuple[float, ...]
    quantiles: tuple[tuple[float, ...], ...]
    baselines: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class TimedImage:
    """A picture whose columns are moments, such as a spectrogram, with words above the spans that they name.

    `values[row][column]`, the first row at the bottom; `seconds` of a column; `spans` of a text, a start and an end in
    seconds.
    """

    title: str
    values: tuple[tuple[float, ...], ...]
    seconds: float
    spans: tuple[tuple[str, float, float], ...] = ()
    y_axis: str = ""
    note: str = ""


@dataclass(frozen=True)
class Frames:
    """Pictures side by side, such as the key frames of a clip, with how much each weighed.

    Args:
        title: of the panel.
        pictures: PNG or JPEG files as base64; `frame_text` of `ostinato.data.video` makes one of pixels.
        captions: a line under each.
        weights: from 0 to 1, shown as a bar under each; empty: none.
        note: a sentence below.
    """

    title: str
    pictures: tuple[str, ...]
    captions: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    note: str = ""


Panel: TypeAlias = "Table | Matrix | WeightedText | Curve | Sample | Fan | TimedImage | Frames"
_PANELS: dict[str, type[Any]] = {
    kind.__name__: kind for kind in (Table, Matrix, WeightedText, Curve, Sample, Fan, TimedImage, Frames)
}


@dataclass(frozen=True)
class Summary:
    """What there is to see of a fitted model.

    Args:
        title: of the report, such as `"Sentiment of reviews.tsv"`.
        task: the kind of model, as its folder says it.
        settings: the estimator's parameters, in words.
        parameters: how many weights were trained.
        seconds: wall-clock time of the fit.
        data: the data in pairs of a word and what it says: source, examples, vocabulary, split.
        history: one row an epoch; see `ostinato.training.history.EpochRow`.
        best_epoch: which one was kept, counted from 1.
        stopped: why training stopped, in words.
        protocol: on what the scores are, in words; empty if nothing was held out.
        scores: `scores[name][measure]`, the first name `"model"`, the others baselines; empty if nothing was held out.
        better: for each measure, whether higher or lower is better.
        verdict: one sentence for a reader in a hurry, which says so when a baseline wins.
        panels: what else is to be seen, in order.
        against: `against[baseline][measure]`, how the model stands to each by a paired test.
        versions: library -> version.
    """

    title: str
    task: str
    settings: Mapping[str, str]
    parameters: int
    seconds: float
    data: tuple[tuple[str, str], ...]
    history: tuple[Mapping[str, float], ...]
    best_epoch: float
    stopped: str
    protocol: str
    scores: Mapping[str, Mapping[str, float]]
    better: Mapping[str, Better]
    verdict: str
    panels: tuple[Panel, ...] = ()
    against: Mapping[str, Mapping[str, Difference]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=versions)

    def plain(self) -> dict[str, Any]:
        """Return the summary as plain data for a model's folder."""
        panels = [{"panel": type(panel).__name__, **asdict(panel)} for panel in self.panels]
        return {**asdict(self), "panels": panels, "against": plain_differences(self.against)}

    def plot(self) -> Figure:
        """Return the first figure among the panels, or of the scores, or the course of the training.

        Raises:
            UsageError: there is nothing to plot.
            MissingExtra: matplotlib is not installed.
        """
        from ostinato.tasks.base.display import drawn

        return drawn(self)

    def _repr_html_(self) -> str:
        from ostinato.tasks.base.display import summary_html

        return summary_html(self)


def summary_from(plain: Mapping[str, Any]) -> Summary:
    """Return the summary that `Summary.plain` was called on.

    Raises:
        CorruptArtifact: it is not whole.
    """
    try:
        known = {one.name: _frozen(plain[one.name]) for one in fields(Summary) if one.name != "against"}
        panels = tuple(_panel(panel) for panel in plain["panels"])
        return Summary(**{**known, "panels": panels, "against": differences_from(plain.get("against", {}))})
    except (LookupError, TypeError, AttributeError) as error:
        raise CorruptArtifact(f"the model's summary is not whole ({error}); fit it again") from error


def best_of(scores: Mapping[str, Mapping[str, float]], measure: str, better: Mapping[str, Better | str]) -> str | None:
    """Return whose score of a measure is best; `None` if nobody has one, or if it is not said what is better.

    Coverage is best where it is nearest to what it promises: `"coverage 80 %"` to 80.
    """
    known = {
        name: float(score[measure]) for name, score in scores.items() if math.isfinite(score.get(measure, math.nan))
    }
    if measure.startswith("coverage "):
        promised = float(measure.removeprefix("coverage ").removesuffix(" %"))
        known = {name: abs(value - promised) for name, value in known.items()}
    elif measure not in better:
        return None
    choose = max if better.get(measure) == "higher" else min
    return choose(known, key=known.__getitem__) if known else None


def in_words(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return parameters as a summary has them."""
    return {name: _words(value) for name, value in parameters.items()}


def _words(value: Any) -> str:
    if callable(value):
        return cell_name(value)
    if isinstance(value, (tuple, list)):
        return ", ".join(str(each) for each in value) or "none"
    return str(value)


def _panel(plain: Mapping[str, Any]) -> Panel:
    arguments = {name: _frozen(value) for name, value in plain.items() if name != "panel"}
    panel: Panel = _PANELS[plain["panel"]](**arguments)
    return panel


def _frozen(value: Any) -> Any:
    """Return lists, at every depth, as tuples: JSON knows no tuples."""
    if isinstance(value, (list, tuple)):
        return tuple(_frozen(each) for each in value)
    if isinstance(value, Mapping):
        return {name: _frozen(item) for name, item in value.items()}
    return value
