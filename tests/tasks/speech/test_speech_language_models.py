"""Language models of the language task as scorers of a recogniser."""

import math

import pytest
from test_speech_decoding import PIECES, UNITS, Letters, _added, _said

from ostinato import LanguageModel
from ostinato.errors import UsageError
from ostinato.tasks.base.task import Task
from ostinato.tasks.speech.decoding import ModelScorer, ctc_decoder, fused

LINES = ["ab ba", "ba ab", "ab ab ba", "abc ba"] * 12
WORDS = Letters(("", "ab", "ba", "abc"), "word")


@pytest.fixture(scope="module", params=["character", "word"])
def language(request):
    options = {"hidden_size": 8, "epochs": 1, "steps": 8, "batch_size": 2, "progress": False}
    return LanguageModel(level=request.param, **options).fit(LINES)


def _whole(model, text):
    """Return the log-probability of a line, as a stream of the model has it."""
    read = model.stream().push(text)
    return -read["bits"] * read["tokens"] * math.log(2.0)


@pytest.mark.parametrize("units", [UNITS, PIECES, WORDS])
def test_a_text_has_the_probability_that_the_language_model_gives_it(language, units) -> None:
    scorer = ModelScorer(language, units)
    for text in ("ab ba", "ab", "ba abc ab"):
        classes = units.encode(text)
        if units.decode(classes).strip() == text:
            assert _added(scorer, classes) == pytest.approx(_whole(language, text), abs=1e-4), text


def test_it_changes_what_is_heard_and_may_be_read_from_its_folder(language, tmp_path) -> None:
    language.save(tmp_path / "lm")
    frames = _said("ab ba", sharp=1.5)
    found = [
        ctc_decoder(UNITS, beam_size=8, scorer=fused(UNITS, [(ModelScorer(own, UNITS), 0.5)])).decode(frames, 3)
        for own in (language, tmp_path / "lm")
    ]
    assert found[0] == found[1]
    assert found[0] != ctc_decoder(UNITS, beam_size=8).decode(frames, 3)


def test_what_is_no_language_model_is_refused() -> None:
    with pytest.raises(UsageError, match="is no model of language"):
        ModelScorer(object(), UNITS)
    with pytest.raises(UsageError, match="a model of examples is no model of language"):
        Task().continuation(None)
