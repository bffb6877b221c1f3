"""Chunks and buckets: nothing lost, nothing twice, the same again, and the number of batches that was promised."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from ostinato.data.text import (
    BucketedBatches,
    ChunkedCorpus,
    PairBatch,
    SequenceBatch,
    WordVocabulary,
    encode_corpus,
    read_lines,
    read_parallel,
)
from ostinato.data.text.batches import _halved
from ostinato.errors import DataError, ShapeError, UsageError
from ostinato.training import Step, TrainingConfig, train

# --- a corpus in chunks

corpora = st.tuples(st.integers(2, 400), st.integers(1, 9), st.integers(1, 40), st.booleans(), st.integers(0, 5))


@settings(max_examples=200, deadline=None)
@given(case=corpora)
def test_every_token_but_the_first_is_a_target_once(case) -> None:
    tokens, batch_size, steps, jitter, epoch = case
    assume(tokens > batch_size)
    corpus = ChunkedCorpus(np.arange(tokens) + 1000, batch_size=batch_size, steps=steps, jitter=jitter, seed=3)
    chunks = list(corpus.batches(epoch))
    assert len(chunks) == len(corpus)
    assert [chunk.continues for chunk in chunks] == [False] + [True] * (len(chunks) - 1)
    inputs = torch.cat([chunk.data.inputs for chunk in chunks])
    targets = torch.cat([chunk.data.targets for chunk in chunks])
    assert inputs.dtype == targets.dtype == torch.int64
    real = targets != -100
    assert real[:-1].all()  # only the last step may lack a target
    assert (targets[real] == inputs[real] + 1).all()
    assert (inputs[1:] == inputs[:-1] + 1).all()  # every column is one stretch
    assert sorted(targets[real].tolist()) == list(range(1001, 1000 + tokens))
    assert corpus.tokens == tokens - 1


@settings(max_examples=100, deadline=None)
@given(tokens=st.integers(200, 3000), steps=st.integers(10, 40), epoch=st.integers(0, 9))
def test_varied_chunks_are_near_the_steps_asked_for_and_the_same_again(tokens, steps, epoch) -> None:
    corpus = ChunkedCorpus(np.arange(tokens), batch_size=1, steps=steps, jitter=True, seed=1)
    sizes = [len(chunk.data.inputs) for chunk in corpus.batches(epoch)]
    assert sizes == [len(chunk.data.inputs) for chunk in corpus.batches(epoch)]
    assert min(sizes) >= 1
    if len(sizes) > 5:
        assert max(sizes) <= 1.7 * (steps + 10)
        assert sizes != [len(chunk.data.inputs) for chunk in corpus.batches(epoch + 1)]


def test_varied_chunks_are_drawn_as_awd_lstm_draws_them() -> None:
    corpus = ChunkedCorpus(np.arange(400_000), batch_size=1, steps=70, jitter=True)
    sizes = np.array([len(chunk.data.inputs) for chunk in corpus.batches(0)])
    long = sizes[sizes > 52]
    assert abs(len(long) / len(sizes) - 0.95) < 0.01
    assert abs(long.mean() - 70) < 1.0
    assert abs(long.std() - 5) < 0.5
    assert abs(sizes[sizes <= 52].mean() - 35) < 1.5


def test_ids_may_be_memory_mapped_small_integers_or_a_tensor(tmp_path) -> None:
    np.save(tmp_path / "ids.npy", np.arange(100, dtype=np.uint16))
    kinds = [np.load(tmp_path / "ids.npy", mmap_mode="r"), torch.arange(100), np.arange(100)]
    found = [list(ChunkedCorpus(ids, batch_size=4, steps=7).batches(0)) for ids in kinds]
    for batches in zip(*found, strict=True):
        assert all(torch.equal(batch.data.inputs, batches[0].data.inputs) for batch in batches)


@pytest.mark.parametrize(
    ("ids", "options", "error", "message"),
    [
        (np.arange(4), {"batch_size": 4}, UsageError, "4 tokens; expected at least 5"),
        (np.arange(0), {}, UsageError, "0 tokens"),
        (np.arange(4.0), {}, UsageError, "float64"),
        ([1, 2, 3], {}, UsageError, "ids is list"),
        (np.ones((3, 3), int), {}, ShapeError, r"\(3, 3\)"),
        (np.arange(9), {"steps": 0}, UsageError, "steps is 0"),
        (np.arange(9), {"batch_size": 0}, UsageError, "batch_size is 0"),
    ],
)
def test_wrong_corpora_are_refused(ids, options, error, message) -> None:
    with pytest.raises(error, match=message):
        ChunkedCorpus(ids, **{"batch_size": 1, "steps": 2, **options})


# --- buckets

sequence = st.lists(st.integers(-100, 50), min_size=1, max_size=12)


@settings(max_examples=200, deadline=None)
@given(
    pairs=st.lists(st.tuples(sequence, sequence), min_size=1, max_size=40),
    batch_tokens=st.integers(1, 60),
    max_batch=st.integers(1, 9) | st.none(),
    window=st.integers(1, 50) | st.none(),
    shuffle=st.booleans(),
    epoch=st.integers(0, 30),
)
def test_every_pair_comes_once_an_epoch_whole_and_within_the_limits(
    pairs, batch_tokens, max_batch, window, shuffle, epoch
) -> None:
    options = {"batch_tokens": batch_tokens, "max_batch": max_batch, "window": window, "shuffle": shuffle, "seed": 5}
    sources, targets = zip(*pairs, strict=True)
    batches = BucketedBatches(sources, targets, **options, pad=77, target_pad=-100)
    plan = [batch.data for batch in batches.batches(epoch)]
    assert len(plan) == len(batches)
    assert sorted(torch.cat([data.rows for data in plan]).tolist()) == list(range(len(pairs)))
    for data in plan:
        assert isinstance(data, PairBatch)
        count = len(data.rows)
        assert max_batch is None or count <= max_batch
        assert count == 1 or count * max(len(data.source), len(data.target)) <= batch_tokens
        sides = [(data.source, data.source_lengths, sources, 77), (data.target, data.target_lengths, targets, -100)]
        for tokens, lengths, given_, pad in sides:
            assert tokens.dtype == lengths.dtype == torch.int64
            assert len(tokens) == lengths.max()
            for column, row in enumerate(data.rows.tolist()):
                assert tokens[: lengths[column], column].tolist() == list(given_[row])
                assert (tokens[lengths[column] :, column] == pad).all()


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=60),
    seed=st.integers(0, 3),
    window=st.integers(2, 20),
)
def test_the_number_of_batches_is_the_same_in_every_epoch(lengths, seed, window) -> None:
    batches = BucketedBatches([[1] * n for n in lengths], batch_tokens=24, window=window, seed=seed)
    assert {sum(1 for _ in batches.batches(epoch)) for epoch in range(12)} == {len(batches)}


def test_epochs_differ_and_come_again() -> None:
    rng = np.random.default_rng(0)
    sequences = [[1] * n for n in rng.integers(1, 30, 300)]
    a, b = (BucketedBatches(sequences, batch_tokens=64, window=40, seed=7) for _ in range(2))
    other = BucketedBatches(sequences, batch_tokens=64, window=40, seed=8)

    def order(batches, epoch):
        return [batch.data.rows.tolist() for batch in batches.batches(epoch)]

    assert order(a, 3) == order(b, 3) == order(a, 3)
    assert order(a, 3) != order(a, 4)
    assert order(a, 3) != order(other, 3)
    sets = [{frozenset(rows) for rows in order(a, epoch)} for epoch in (3, 4)]
    assert len(sets[0] & sets[1]) < len(sets[0]) / 4  # other company too, not only another order


def test_without_shuffling_all_is_sorted() -> None:
    batches = BucketedBatches([[1] * n for n in (5, 1, 3, 2, 4)], batch_tokens=8, shuffle=False)
    plan = [batch.data for batch in batches.batches(4)]
    assert all(isinstance(data, SequenceBatch) for data in plan)
    assert [data.lengths.tolist() for data in plan] == [[1, 2], [3, 4], [5]]


def test_the_padding_share_is_what_is_counted() -> None:
    rng = np.random.default_rng(1)
    sequences = [[1] * n for n in rng.integers(1, 30, 200)]
    targets = [[1] * n for n in rng.integers(1, 30, 200)]
    batches = BucketedBatches(sequences, targets, batch_tokens=100, pad=0, target_pad=0, window=50)
    for epoch in (0, 1):
        padding = total = 0
        for batch in batches.batches(epoch):
            padding += int((batch.data.source == 0).sum() + (batch.data.target == 0).sum())
            total += batch.data.source.numel() + batch.data.target.numel()
        assert batches.padding_share(epoch) == pytest.approx(padding / total, abs=1e-12)
    assert BucketedBatches([[1]] * 5).padding_share() == 0.0


def test_the_largest_batches_are_halved() -> None:
    halves = _halved([np.arange(3), np.arange(3, 12), np.arange(12, 14)], 5)
    assert sorted(map(len, halves)) == [2, 2, 3, 3, 4]
    assert sorted(itertools.chain.from_iterable(halves)) == list(range(14))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (([],), {}, UsageError, "no sequences"),
        (([[1], []],), {}, DataError, r"sequence 1 \(from 0\) has no tokens"),
        (([[1], [2]], [[1], []]), {}, DataError, "target 1"),
        (([[1], [2]], [[1]]), {}, UsageError, "2 sequences but 1 targets"),
        ((["ab"],), {}, UsageError, "sequence 0 is not"),
        (([3, 4],), {}, UsageError, "sequence 0 is not"),
        (([[1.5]],), {}, UsageError, "sequence 0 is not"),
        (([[2**40]],), {}, UsageError, "sequence 0 is not"),
        (([[1]],), {"batch_tokens": 0}, UsageError, "batch_tokens is 0"),
        (([[1]],), {"max_batch": -1}, UsageError, "max_batch is -1"),
        (([[1]],), {"window": -1}, UsageError, "window is -1"),
    ],
)
def test_wrong_examples_are_refused(arguments, options, error, message) -> None:
    with pytest.raises(error, match=message):
        BucketedBatches(*arguments, **options)


def test_examples_may_be_arrays_tensors_or_generators() -> None:
    sequences = [np.array([1, 2]), torch.tensor([3]), (4, 5, 6)]
    batches = BucketedBatches((sequence for sequence in sequences), shuffle=False)
    assert next(batches.batches(0)).data.tokens.T.tolist() == [[3, 0, 0], [1, 2, 0], [4, 5, 6]]


# --- the training loop takes them


def test_the_training_loop_takes_chunks_and_carries_the_state() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.rnn, self.out = nn.Embedding(5, 8), nn.GRU(8, 8), nn.Linear(8, 5)

    seen = []

    def objective(module, chunk, carry):
        seen.append(carry is None)
        states, last = module.rnn(module.embedding(chunk.inputs), carry)
        loss = nn.functional.cross_entropy(module.out(states).flatten(0, 1), chunk.targets.flatten())
        return Step(loss, float((chunk.targets != -100).sum()), last)

    corpus = ChunkedCorpus(np.tile([1, 2, 3, 4], 30), batch_size=3, steps=8, jitter=True)
    history = train(Model(), objective, corpus, None, TrainingConfig(epochs=4, learning_rate=0.02, progress=False))
    assert seen == ([True] + [False] * (len(corpus) - 1)) * 4
    losses = [row.loss for row in history.rows]
    assert losses[-1] < losses[0]


# --- real text


def test_the_penn_treebank_in_chunks_loses_no_token(shared_data) -> None:
    lines = read_lines(shared_data / "ptb/ptb.valid.txt")
    ids = encode_corpus(lines, WordVocabulary.build(lines))
    corpus = ChunkedCorpus(ids, batch_size=20, steps=35, jitter=True)
    assert corpus.tokens == 73_760 - 1
    assert sum(int((chunk.data.targets != -100).sum()) for chunk in corpus.batches(1)) == corpus.tokens


def test_buckets_pad_multi30k_little(shared_data) -> None:
    folder = shared_data / "multi30k_en_de"
    pairs = list(read_parallel(folder / "val.en.gz", folder / "val.de.gz"))
    sides = [[text.split() for text in side] for side in zip(*pairs, strict=True)]
    numbers = [[[len(word) for word in words] for words in side] for side in sides]
    batches = BucketedBatches(*numbers, batch_tokens=500, seed=0)
    in_order = BucketedBatches(*numbers, batch_tokens=500, window=1)
    assert batches.padding_share() < 0.15
    assert len(in_order) > len(batches)
