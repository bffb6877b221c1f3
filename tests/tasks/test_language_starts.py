"""A text may begin with any token: training reads rows as beginnings again and again."""

import numpy as np
import torch

from ostinato import LanguageModel
from ostinato.engine import leaves, map_state
from ostinato.tasks.base.kneser_ney import count
from ostinato.tasks.language.network import LanguageObjective
from ostinato.tasks.language.reading import read_both, read_for_gate
from ostinato.tasks.language.texts import count_ngrams, read_texts

ROWS = 2000


def test_some_rows_begin_again_in_training_and_none_in_evaluation(tmp_path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("abcd efgh " * 300)
    network = LanguageModel(hidden_size=4, epochs=1, ngrams=False, progress=False).fit(path).fitted_.model.network
    seen = []
    network.stack.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    start = network.start(ROWS)
    carry = map_state(lambda leaf: leaf + 1, start)
    batch = torch.randint(0, 5, (3, ROWS)), torch.randint(0, 5, (3, ROWS))
    for training, least, most in ((True, 0.03, 0.07), (False, 0.0, 0.0)):
        network.train(training)
        LanguageObjective()(network, batch, carry)
        begins = [(leaf == first).all(1) for leaf, first in zip(leaves(seen[-1]), leaves(start), strict=True)]
        assert all(torch.equal(one, begins[0]) for one in begins)
        assert least <= float(begins[0].float().mean()) <= most
        kept = leaves(seen[-1])[0][~begins[0]]
        assert torch.equal(kept, torch.ones_like(kept))


def test_a_gate_is_fitted_on_beginnings_too_where_there_is_text_for_them(tmp_path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("abcd efgh " * 300)
    network = LanguageModel(hidden_size=4, epochs=1, ngrams=False, progress=False).fit(path).fitted_.model.network
    numbers = np.arange(2600) * 7 % 5
    ngrams = count(numbers, len(network.embedding.weight), 2).of_order(2)
    whole, begun = read_both(network, ngrams, numbers), read_for_gate(network, ngrams, numbers)
    assert [len(each) for each in begun] == [len(numbers) - 1 + 24 * 99] * 3
    last = read_both(network, ngrams, numbers[-100:])
    for own, first, end in zip(begun, whole, last, strict=True):
        assert np.allclose(own[: len(first)], first)
        assert np.allclose(own[-len(end) :], end)
    assert len(read_for_gate(network, ngrams, numbers[:500])[0]) == 499


def test_ngrams_count_the_validation_text_too_once_all_is_chosen_on_it(tmp_path) -> None:
    text = "".join(chr(97 + number * number % 23) for number in range(3000)) + "xyzzy zyx " * 30
    path, judged = tmp_path / "text.txt", tmp_path / "test.txt"
    path.write_text(text)
    judged.write_text("xyzzy")
    model = LanguageModel(hidden_size=4, epochs=1, validation=0.1, progress=False).fit(path, test=judged)
    encoder = model.fitted_.model.encoder
    numbers = encoder.encode(read_texts(path, "character")).numbers
    whole = count_ngrams(encoder.vocabulary, "character", numbers).of_order(encoder.ngrams.order)
    first = numbers[: len(numbers) * 9 // 10]
    less = count_ngrams(encoder.vocabulary, "character", first).of_order(encoder.ngrams.order)
    assert less.size < encoder.ngrams.size <= whole.size
