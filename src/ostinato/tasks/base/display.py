"""What stands in a notebook's output: HTML that needs no network, escapes its texts, and takes the page's colours.

Every function returns a piece; `shown` puts pieces under a heading. Estimators, summaries, scores, comparisons,
searches and forecasts call them in `_repr_html_`; `drawn` asks the room of reports, which lies above, for a figure.
"""

from __future__ import annotations

import html
import importlib
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ostinato.options import parameters_of
from ostinato.tasks.base.judging import Against, legend, marks
from ostinato.tasks.base.sparklines import lines
from ostinato.tasks.base.summary import Better, Summary, best_of, in_words
from ostinato.words import counted, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ROWS, _COLUMNS, _LETTERS = 12, 9, 280
_LONG = 40  # letters of a cell, above which it is broken into lines
_LINE = "rgba(128,128,128,.35)"
_STYLE = f"""<style>
.ostinato-shown{{font-size:.9rem;line-height:1.5;color:inherit;max-width:62rem;margin:.3rem 0;overflow-wrap:anywhere}}
.ostinato-shown .head{{font-size:1.05rem;font-weight:600;margin:0 0 .2rem}}
.ostinato-shown .faint{{opacity:.7;font-weight:400;font-size:.92em}}
.ostinato-shown p{{margin:.3rem 0;max-width:46rem}}
.ostinato-shown .said{{border-left:3px solid #2b8fce;padding-left:.7rem}}
.ostinato-shown .wide{{overflow-x:auto;margin:.4rem 0}}
.ostinato-shown table{{border-collapse:collapse;border:0;margin:0;width:auto;font-size:.92em;
font-variant-numeric:tabular-nums;background:none;color:inherit}}
.ostinato-shown :is(tr,th,td),.ostinato-shown tbody tr:nth-child(n){{background:none;border:0;color:inherit}}
.ostinato-shown :is(th,td){{text-align:right;padding:.2rem .65rem;white-space:nowrap;
border-bottom:1px solid {_LINE};vertical-align:top}}
.ostinato-shown th{{font-weight:500;opacity:.75}}
.ostinato-shown :is(th,td).word{{text-align:left}}
.ostinato-shown td.long{{white-space:normal;min-width:15rem}}
.ostinato-shown :is(th,td):first-child{{padding-left:0}}
.ostinato-shown tr.model td,.ostinato-shown td.best{{font-weight:650}}
.ostinato-shown td.best::after{{content:" ★";font-size:.75em}}
.ostinato-shown details{{margin:.3rem 0}}
.ostinato-shown summary{{cursor:pointer;opacity:.8}}
.ostinato-shown svg{{display:block;max-width:100%;height:auto;overflow:visible}}
</style>"""


# --- pieces -----------------------------------------------------------------------------------------------------------


def shown(heading: str, *pieces: str, beside: str = "") -> str:
    """Return pieces under a heading, with their style; `beside` stands behind the heading, in fainter letters."""
    more = f' <span class="faint">{_text(beside)}</span>' if beside else ""
    head = f'<div class="head">{_text(heading)}{more}</div>'
    return f'{_STYLE}<div class="ostinato-shown">{head}{"".join(pieces)}</div>'


def sentence(text: str, *, faint: bool = False) -> str:
    """Return a paragraph; nothing for no text."""
    return f'<p class="{"faint" if faint else "said"}">{_text(text, 1200)}</p>' if text else ""


def folded(heading: str, content: str) -> str:
    """Return content that is opened by a click; nothing for none."""
    return f"<details><summary>{_text(heading)}</summary>{content}</details>" if content else ""


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str | float]],
    *,
    best: Collection[tuple[int, int]] = (),
    model: int | None = None,
    limit: int = _ROWS,
) -> str:
    """Return rows under their headings; what is too much is left out, and how much that is is said below.

    Args:
        columns: their names.
        rows: words stand at the left, numbers at the right.
        best: cells, `(row, column)`, with a star.
        model: the row in stronger letters.
        limit: rows at most.
    """
    every = [list(row)[:_COLUMNS] for row in rows]
    if not every:
        return ""
    cells, starred = every[:limit], set(best)
    wordy = [any(isinstance(row[i], str) and not _numeric(row[i]) for row in cells if i < len(row))
             for i in range(min(len(columns), _COLUMNS))]  # fmt: skip
    head = "".join(f"<th{_classes(word=word)}>{_text(name)}</th>" for name, word in zip(columns, wordy, strict=False))
    body = []
    for i, row in enumerate(cells):
        kinds = [_classes(word=wordy[j], long=_long(cell), best=(i, j) in starred) for j, cell in enumerate(row)]
        tags = (f"<td{kind}>{_text(_shown_cell(cell))}</td>" for kind, cell in zip(kinds, row, strict=True))
        body.append(f"<tr{_classes(model=i == model)}>{''.join(tags)}</tr>")
    more = ((len(every) - limit, "more rows"), (len(columns) - _COLUMNS, "more columns"))
    left = [counted(count, of) for count, of in more if count > 0]
    note = sentence(f"not shown: {', '.join(left)}", faint=True) if left else ""
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>{note}'


def pairs(facts: Iterable[tuple[str, str]]) -> str:
    """Return a table of words and what they say."""
    return table(("", ""), [(name, _words(value)) for name, value in facts], limit=100)


def score_table(
    values: Mapping[str, Mapping[str, float]], better: Mapping[str, Better], against: Against | None = None
) -> str:
    """Return who has which measure, the best with a star, with a sign for how the model stands to each baseline."""
    measures = list(dict.fromkeys(measure for row in values.values() for measure in row))
    names, signs = list(values), marks(against or {})
    rows = [(name, *(_score(values[name], measure, signs.get(name, {})) for measure in measures)) for name in names]
    winners = {measure: best_of(values, measure, better) for measure in measures}
    best = [(names.index(who), 1 + j) for j, measure in enumerate(measures) if (who := winners[measure]) is not None]
    model = names.index("model") if "model" in names else None
    note = sentence(legend(against), faint=True) if against else ""
    return table(("", *measures), rows, best=best, model=model) + note


def _score(row: Mapping[str, float], measure: str, signs: Mapping[str, str]) -> str:
    said = number(row[measure]) if measure in row else "n/a"
    return f"{said} {signs[measure]}" if measure in signs else said


def _numeric(text: Any) -> bool:
    """Tell whether a cell of text is a number, perhaps with a sign of a test or a spread behind it."""
    return not text or text == "n/a" or text.lstrip("-+.")[:1].isdigit()


def _shown_cell(cell: str | float) -> str:
    return cell if isinstance(cell, str) else number(cell)


def _long(cell: str | float) -> bool:
    return isinstance(cell, str) and len(cell) > _LONG


def _classes(**given: bool) -> str:
    names = [name for name, is_so in given.items() if is_so]
    return f' class="{" ".join(names)}"' if names else ""


def _words(value: str) -> str:
    return value if value and not _numeric(value) else f"{value}\u200b"  # a number among words stands at the left too


def _text(text: Any, letters: int = _LETTERS) -> str:
    """Return text that is safe in HTML; half a surrogate pair, which a token may be, has no bytes."""
    whole = str(text).encode("utf-8", "replace").decode()
    return html.escape(whole if len(whole) <= letters else whole[: letters - 1] + "…")


# --- what is shown ----------------------------------------------------------------------------------------------------


def summary_html(summary: Summary) -> str:
    """Return what there is to see of a fitted model."""
    return shown(summary.title, *_pieces(summary), beside=summary.task)


def estimator_html(estimator: Any) -> str:
    """Return an estimator: what it is, how it was fitted and how well, its parameters."""
    name, summary = type(estimator).__name__, getattr(estimator, "summary_", None)
    parameters = _parameters(estimator)
    if summary is None:
        return shown(name, _changed(estimator), parameters, beside="not fitted")
    hint = "plot() draws it, report(path) writes a page of all there is to see"
    return shown(name, *_pieces(summary), parameters, sentence(hint, faint=True), beside=f"fitted: {summary.title}")


def _pieces(summary: Summary) -> list[str]:
    size = [("trained weights", f"{summary.parameters:,}")] if summary.parameters else []
    took = [("seconds", f"{summary.seconds:.1f}")] if summary.seconds else []
    ended = [("training", _training(summary))] if summary.history else []
    scores = score_table(summary.scores, summary.better, summary.against) if summary.scores else ""
    facts = pairs([*summary.data, *size, *took, *ended])
    return [
        sentence(summary.verdict),
        sentence(summary.protocol, faint=True),
        scores,
        _losses(summary),
        folded("data and training", facts),
    ]


def _training(summary: Summary) -> str:
    done = summary.history[-1]["epoch"]
    return f"{counted(done, 'epochs')}, the best {summary.best_epoch:g}; {summary.stopped}"


def _losses(summary: Summary) -> str:
    if len(summary.history) < 2:
        return ""
    drawn_ = {
        "training": [row.get("loss", math.nan) for row in summary.history],
        "validation": [row.get("validation_loss", math.nan) for row in summary.history],
    }
    return lines(drawn_, label="loss by epoch")


def _changed(estimator: Any) -> str:
    given = [
        (one.name, getattr(estimator, one.name)) for one in parameters_of(type(estimator))
        if (value := getattr(estimator, one.name)) is not one.default and value != one.default
    ]  # fmt: skip
    return pairs(in_words(dict(given)).items())


def _parameters(estimator: Any) -> str:
    known = parameters_of(type(estimator))
    spoken = in_words({one.name: getattr(estimator, one.name) for one in known})
    rows = [(one.name, _words(spoken[one.name]), one.help) for one in known]
    return folded(f"all {len(rows)} parameters", table(("", "value", ""), rows, limit=200))


# --- what is drawn ----------------------------------------------------------------------------------------------------


def room_of_reports(part: str = "") -> Any:
    """Return the room of reports, or a module of it: it lies above this one, and is named here and nowhere else."""
    return importlib.import_module(f"ostinato.report.{part}" if part else "ostinato.report")


def drawn(summary: Summary) -> Figure:
    """Return the first figure that there is of a summary.

    Raises:
        UsageError: there is nothing to plot.
        MissingExtra: matplotlib is not installed.
    """
    figure: Figure = room_of_reports().summary_figure(summary)
    return figure
