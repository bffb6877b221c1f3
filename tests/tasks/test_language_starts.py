"""A text may begin with any token: training reads rows as beginnings again and again."""

import torch

from ostinato import LanguageModel
from ostinato.engine import leaves, map_state
from ostinato.tasks.language.network import LanguageObjective

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
