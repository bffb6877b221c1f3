"""A model that loses because its time was short says so; what takes predictions is asked for once in a fit."""

from types import SimpleNamespace

import pytest

from ostinato import TextClassifier
from ostinato.tasks.base.differences import Difference
from ostinato.tasks.base.fitting import _too_short
from ostinato.tasks.base.judging import Scores
from ostinato.tasks.base.running import Run
from ostinato.tasks.classify.text_task import TextTask
from ostinato.training.history import TIME_LIMIT, EpochRow, History

LIMIT = f"{TIME_LIMIT} of 5 s was reached"


def run_of(losses, best, stopped):
    rows = tuple(EpochRow(0.5 * (i + 1), loss, loss, 0.0, 0.0, 1.0, 1.0) for i, loss in enumerate(losses))
    return Run(History(rows, best, stopped))


def scores_of(standing):
    against = {"a": {"BLEU": Difference(standing, -1.0, -2.0, -0.5, 0.01, 30, "sentences")}}
    return Scores("", 30, "pairs", {"model": {"BLEU": 1.0}, "a": {"BLEU": 2.0}}, {"BLEU": "higher"}, "", {}, against)


@pytest.mark.parametrize(
    ("standing", "losses", "best", "stopped", "said"),
    [
        ("worse", [3.0, 2.0], 1.0, LIMIT, "after 1 epoch the time limit of 5 s was reached, while its loss was still"),
        ("worse", [3.0], 0.5, LIMIT, "after 0.5 epochs the time limit of 5 s was reached; give it more time"),
        ("worse", [2.0, 3.0], 0.5, LIMIT, ""),
        ("worse", [3.0, 2.0], 1.0, "all 2 epochs done", ""),
        ("better", [3.0, 2.0], 1.0, LIMIT, ""),
    ],
)
def test_only_a_loser_whose_loss_still_fell_at_its_time_limit_is_said_to_be_cut_short(
    standing, losses, best, stopped, said
) -> None:
    task = SimpleNamespace(decides=("BLEU",))
    found = _too_short(task, scores_of(standing), run_of(losses, best, stopped))
    assert said in found
    assert bool(found) == bool(said)


def test_a_time_limit_is_what_history_says_of_one() -> None:
    texts = (["good film", "fine story", "bad film", "poor story"] * 12, ["a", "a", "b", "b"] * 12)
    model = TextClassifier(
        hidden_size=4, embedding_size=4, epochs=10**6, patience=None, max_seconds=0.2, progress=False
    )
    assert model.fit(texts).fitted_.run.history.stopped.startswith(TIME_LIMIT)


def test_facts_are_asked_for_once_in_a_fit(monkeypatch) -> None:
    asked, facts = [], TextTask.facts
    monkeypatch.setattr(TextTask, "facts", lambda *given: asked.append(1) or facts(*given))
    texts = (["good film", "fine story", "bad film", "poor story"] * 12, ["a", "a", "b", "b"] * 12)
    model = TextClassifier(hidden_size=4, embedding_size=4, epochs=1, progress=False).fit(texts)
    assert asked == [1]
    assert "calibration" in dict(model.summary_.data)
