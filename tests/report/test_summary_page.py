"""The report of a summary: every panel drawn, any text shown as text, nothing fetched."""

import functools
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ostinato.errors import UsageError
from ostinato.report import panel_plot, summary_plot, write_report
from ostinato.report.page import render
from ostinato.report.panels import matrix_figure
from ostinato.report.words import duration, visible
from ostinato.tasks.base.summary import (
    Curve,
    Frames,
    Matrix,
    Sample,
    Summary,
    Table,
    WeightedText,
    best_of,
    summary_from,
)

NAN = float("nan")
HOSTILE = '<script>alert("&")</script>'
WORLD = ("das", "猫が", "座った", "кошка", "قطة", "बिल्ली", "🐈", "e\u0301")


def summary_of(*panels, text="Sentiment of reviews.tsv", epochs=4) -> Summary:
    history = tuple(
        {
            "epoch": i + 1,
            "loss": 1.0 - 0.2 * i,
            "validation_loss": [0.9, 0.7, 0.8, 0.95][i % 4],
            "learning_rate": 1e-3,
            "gradient_norm": 1.0,
            "seconds": float(i),
            "steps_per_second": 9.0,
        }
        for i in range(epochs)
    )
    return Summary(
        title=text,
        task="classify",
        settings={"cell": "gru", "file": text},
        parameters=12345,
        seconds=75.0,
        data=(("source", text), ("examples", "6,920")),
        history=history,
        best_epoch=2,
        stopped="no better loss for 2 epochs",
        protocol="test: the last 10 %",
        scores={
            "model": {"accuracy": 0.81, "log loss": 0.52},
            "bag of words": {"accuracy": 0.78, "log loss": 0.49},
            "majority": {"accuracy": 0.5, "log loss": NAN},
        },
        better={"accuracy": "higher", "log loss": "lower"},
        verdict=f"The model is right in 81 % of {text}.",
        panels=panels,
        versions={"torch": "2.13.0"},
    )


PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="


def all_panels(text=HOSTILE):
    return (
        Table("Recall", ("class", "recall", "count"), ((text, 0.9, 120), ("neg", NAN, 3)), "Of the test part."),
        Matrix("Confusion", ("pos", text), ("pos", text), ((90.0, 10.0), (7.0, 93.0)), "truth", "predicted"),
        WeightedText("Looked at", ("A", text, "film", "."), (0.1, 0.9, NAN, 2.0), "By attention."),
        Frames("Key frames", (PICTURE, text, PICTURE), (text, "x"), (0.5, NAN), "By attention."),
        Curve(
            "Reliability",
            (0.1, 0.5, 0.9),
            {text: (0.1, NAN, 0.8), "_b": (0.2, 0.4)},
            "promised",
            "found",
            diagonal=True,
        ),
        Curve("Gradients", (1.0, 2.0, 3.0), {"norm": (1.0, 0.0, 1e-9)}, "steps back", "norm", logarithmic=True),
        Sample("Written", f"  To be\n\n\tor not {text}\n", "At temperature 0.8."),
    )


class Page(HTMLParser):
    """What a browser would fetch, and what a reader would read."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links, self.words, self.tags, self.handlers = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for key, value in attributes if key in ("src", "href", "xlink:href", "data", "srcset")]
        self.handlers += [key for key, _ in attributes if key.startswith("on")]

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return "".join(self.words)


def is_safe(page: Page) -> bool:
    inside = all(link.startswith(("#", "data:image/png;base64,", "data:image/jpeg;base64,")) for link in page.links)
    return inside and not {"script", "link", "iframe", "object"} & set(page.tags) and not page.handlers


def test_every_panel_is_drawn_and_nothing_is_fetched(tmp_path) -> None:
    path = write_report(summary_of(*all_panels()), tmp_path / "report.html")
    text = path.read_text()
    page = Page(text)
    assert is_safe(page)
    assert "url(http" not in text
    assert "@import" not in text
    assert (
        page.tags.count("svg") == 7
    )  # training and two curves, each for a phone too; a matrix whose numbers need their room
    for word in (
        "Recall",
        "By attention.",
        "Reliability",
        "n/a",
        "12,345",
        "75 s",
        "overfitting",
        "2.13.0",
        "predicted",
    ):
        assert word in page.text
    assert page.text.count(HOSTILE) >= 5
    assert f"  To be\n\n\tor not {HOSTILE}" in page.text


def test_the_better_side_of_each_measure_is_respected() -> None:
    text = render(summary_of())
    rows = text.split("<tbody>")[1].split("</tr>")
    assert '<td class="best">0.81</td><td>0.52</td>' in rows[0]
    assert '<td>0.78</td><td class="best">0.49</td>' in rows[1]
    assert 'higher is better">↑' in text
    assert "bag of words: 0.78" in text  # beside the model's tile


def test_whose_score_is_best() -> None:
    scores = {"a": {"x": 1.0, "coverage 80 %": 95.0}, "b": {"x": NAN, "coverage 80 %": 79.0}, "c": {"x": 3.0}}
    assert best_of(scores, "x", {"x": "higher"}) == "c"
    assert best_of(scores, "x", {"x": "lower"}) == "a"
    assert best_of(scores, "x", {}) is None
    assert best_of(scores, "coverage 80 %", {}) == "b"
    assert best_of(scores, "y", {"y": "lower"}) is None


@functools.cache
def page_without_panels() -> Page:
    return Page(render(summary_of(epochs=0)))


@given(text=st.text(max_size=30), tokens=st.lists(st.text(max_size=8), max_size=6))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_text_is_shown_as_text(text, tokens) -> None:
    plain = page_without_panels()
    weights = tuple(1.0 / (i + 1) for i in range(len(tokens)))
    panels = (
        Table(text, (text, "n"), ((text, 1),), text),
        WeightedText(text, tuple(tokens), weights, text),
        Sample(text, text),
        Matrix(text, tuple(tokens), (text, "b"), tuple((0.5, -1.0) for _ in tokens), text, text),
        Curve(text, (0.0, 1.0), {text: (1.0, 2.0)}, text, text),
    )
    full = Page(render(summary_of(*panels, text=text, epochs=0)))
    assert is_safe(full)
    # the page's own elements and no others: none begins or ends in a text
    assert full.tags.count("section") == plain.tags.count("section") + len(panels)
    assert full.tags.count("h1") == 1
    assert full.tags.count("span") == plain.tags.count("span") + len(tokens)


@pytest.mark.parametrize(
    "panel",
    [
        Table("t", (), ()),
        Table("t", ("a",), ()),
        Table("t", ("a",), ((),)),
        Matrix("m", (), (), ()),
        Matrix("m", ("a",), (), ((),)),
        Matrix("m", ("a", "b"), ("c", "d"), ((1.0,), ())),
        Matrix("m", ("a",), ("b",), ((NAN,),)),
        Matrix("m", ("a",), ("b",), ((math.inf,),)),
        Matrix("m", ("a",), ("b",), ((0.0,),)),
        WeightedText("w", (), ()),
        WeightedText("w", ("a", "b"), (0.5,)),
        Curve("c", (), {}, "", ""),
        Curve("c", (1.0,), {}, "", ""),
        Curve("c", (1.0,), {"a": (1.0,)}, "", "", diagonal=True, logarithmic=True),
        Curve("c", (1.0, 2.0), {"a": (NAN, NAN)}, "", "", logarithmic=True),
        Curve("c", (1.0, 2.0), {"a": (-1.0, 0.0)}, "", "", logarithmic=True),
        Curve("c", (1.0, 2.0), {"a": ()}, "", ""),
        Sample("s", ""),
    ],
)
def test_an_empty_panel_is_still_a_panel(panel) -> None:
    assert is_safe(Page(render(summary_of(panel, epochs=0))))


def test_a_summary_with_nothing_held_out_is_still_a_report() -> None:
    bare = replace(summary_of(epochs=0), scores={}, better={}, protocol="", data=(), seconds=0.0)
    page = Page(render(bare))
    assert "Beside the baselines" not in page.text
    assert "Training" not in page.text


def test_large_panels_stay_small() -> None:
    rng = np.random.default_rng(0)
    names = tuple(f"a rather long label {i}" for i in range(500))
    values = tuple(map(tuple, rng.normal(size=(500, 500))))
    text = render(summary_of(Matrix("large", names, names, values), epochs=3000))
    assert len(text) < 4_000_000


def test_a_matrix_says_its_numbers_where_there_is_room_and_turns_long_labels() -> None:
    small = matrix_figure(Matrix("m", ("a", "b"), ("c", "d"), ((1.5, NAN), (-2.0, 0.0)))).axes[0]
    assert [text.get_text() for text in small.texts] == ["1.5", "-2.0", "0.0"]
    assert all(label.get_rotation() == 0 for label in small.get_xticklabels())
    long = matrix_figure(Matrix("m", ("a",), ("a very long token",) * 20, ((0.1,) * 20,))).axes[0]
    assert not long.texts
    assert all(label.get_rotation() == 90 for label in long.get_xticklabels())
    image = small.images[0].get_array()
    assert image[0, 1, 3] == 0  # nothing where there is no number
    assert image[1, 0, 3] == 1
    assert tuple(image[1, 0, :3]) != tuple(image[0, 0, :3])  # below zero in another colour


def test_tokens_of_words_stand_apart_and_pieces_together() -> None:
    def shown(*tokens):
        page = Page(render(summary_of(WeightedText("w", tokens, (0.5,) * len(tokens)), epochs=0)))
        return page.text

    assert "a fine film" in shown("a", "fine", "film")
    assert "abc" in shown("a", "b", "c")
    assert "Mäd chen" not in shown("Mäd", "chen", " hört")


def test_scripts_of_the_world_and_signs_that_cannot_be_printed(tmp_path) -> None:
    tokens = (*WORLD, "\n", "\t", "\x00", "\ud800", "$x$", "$\\bad{", "_hidden")
    shades = tuple(i / len(tokens) for i in range(len(tokens)))
    panels = (
        WeightedText("世界", tokens, shades),
        Matrix("注意", tokens, tokens, tuple(shades for _ in tokens)),
        Curve("c", (1.0, 2.0), {token: (1.0, i) for i, token in enumerate(tokens)}, "\ud800", "$"),
        Sample("s", "".join(tokens)),
    )
    text = write_report(summary_of(*panels), tmp_path / "r.html").read_text()
    for word in (*WORLD, "↵", "⇥", "$\\bad{"):
        assert word in text
    assert panel_plot(panels[1], tmp_path / "m.png").read_bytes().startswith(b"\x89PNG")


def test_figures_of_one_page_do_not_share_names() -> None:
    matrix = Matrix("m", ("a",), ("b",), ((1.0,),))
    text = render(summary_of(matrix, matrix, replace(matrix, title="n")))
    names = re.findall(r' id="([^"]+)"', text)
    assert len(names) == len(set(names))


def test_the_page_of_a_saved_summary_is_the_same() -> None:
    summary = summary_of(*all_panels())
    assert render(summary_from(summary.plain())) == render(summary)


def test_a_plot_shows_the_first_figure_or_else_the_scores_or_the_training(tmp_path) -> None:
    for number, one in enumerate((summary_of(*all_panels()), summary_of(), replace(summary_of(), scores={}))):
        assert summary_plot(one, tmp_path / f"{number}.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UsageError, match="no panel, score or epoch"):
        summary_plot(replace(summary_of(epochs=0), scores={}), tmp_path / "none.png")


def test_times_and_tokens_in_words() -> None:
    assert [duration(s) for s in (5400, 150, 75, 1.5, 0.0123, 4.2e-5, 0, NAN)] == [
        "90 min", "2.5 min", "75 s", "1.5 s", "12.3 ms", "42 µs", "0 s", "n/a",
    ]  # fmt: skip
    assert visible("a\nb\t\x07") == "a↵b⇥\ufffd"


def test_a_measure_that_a_baseline_lacks_is_left_open() -> None:
    scores = {"model": {"accuracy": 0.9, "loss": 0.4}, "neighbours": {"accuracy": 0.95}, "other": {"loss": 0.3}}
    summary = Summary(
        "t", "text classifier", {}, 1, 1.0, (), (), 0, "", "test", scores, {"accuracy": "higher", "loss": "lower"}, "v"
    )
    page = render(summary)
    assert "neighbours" in page
    assert page.count("n/a") == 2


def test_a_column_of_differences_has_one_unit_though_one_baseline_is_below_one():
    from ostinato.report.standing import standing_figure
    from ostinato.tasks.base.differences import Difference
    from ostinato.tasks.base.wording import amount

    scores = {"model": {"CIDEr-D": 6.4}, "rare": {"CIDEr-D": 0.8}, "near": {"CIDEr-D": 1.7}}
    against = {
        name: {"CIDEr-D": Difference("better", 6.4 - row["CIDEr-D"], 4.0, 6.0, 0.01, 40, "clips")}
        for name, row in scores.items()
        if name != "model"
    }
    summary = replace(summary_of(), scores=scores, better={"CIDEr-D": "higher"}, against=against)
    (axes,) = standing_figure(summary).axes
    dots = [float(line.get_xdata()[0]) for line in axes.lines if line.get_marker() == "o"]
    assert dots == pytest.approx([5.6, 4.7])
    assert "points" not in axes.get_title(loc="left")
    assert amount(5.6, 0.8, "higher") == "5.6 higher"
    assert amount(0.2, 0.8, "higher") == "20 points higher"


def test_long_names_of_measures_do_not_run_into_the_next_column():
    from ostinato.report.standing import standing_figure
    from ostinato.tasks.base.differences import Difference

    names = [f"C-index from {days} days" for days in (64, 260, 430, 900)]
    scores = {"model": dict.fromkeys(names, 0.7), "Cox": dict.fromkeys(names, 0.6)}
    against = {"Cox": {name: Difference("better", 0.1, 0.02, 0.2, 0.01, 40, "patients") for name in names}}
    summary = replace(summary_of(), scores=scores, better=dict.fromkeys(names, "higher"), against=against)
    figure = standing_figure(summary)
    figure.canvas.draw()
    titles = [axes._left_title.get_window_extent() for axes in figure.axes]
    assert all(left.x1 < right.x0 for left, right in pairwise(titles))


def test_a_bare_number_above_the_report_says_what_it_counts() -> None:
    data = (("columns", "target sold"), ("series", "1,200"), ("rows", "9"))
    assert '<p class="sub">target sold · 1,200 series · 9 rows</p>' in render(replace(summary_of(), data=data))
    parts = (("train", "177 patients"), ("validation", "31 patients"))
    assert "training: 177 patients · validation: 31 patients</p>" in render(replace(summary_of(), data=parts))
