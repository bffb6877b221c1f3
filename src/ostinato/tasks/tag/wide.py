"""The wide part of a tagger: a linear layer on words, their spelling and their neighbours, beside the deep network.

What a linear layer of features knows of a few thousand sentences, a network has to learn from nothing; what it cannot
know, what stands further away and what words have in common, the network adds. Each is fitted by itself, and what each
says is weighed on sentences that neither has seen.

With a hundred tags a few passes of AdaGrad reach what a method that looks at all tokens in each step needs minutes for.

Source: A. Ratnaparkhi, "A maximum entropy model for part-of-speech tagging", EMNLP 1996, for the features.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from ostinato.data.lines import normalise
from ostinato.tasks.base.linear import Linear
from ostinato.tasks.tag.adagrad import AdaGrad
from ostinato.tasks.tag.chain import Chain, fit_chain, is_quick

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
_EPOCHS, _BATCH = 6, 128
_WEIGHTS = 1 << 21  # features times tags, at most
_FEWEST, _TWICE = 1 << 12, 20_000  # features; tokens from which on one must come twice to be known
_TOKENS, _AGAIN = 300_000, 150_000  # that it is fitted on, at most; and of which it is fitted once more
_TOGETHER = 8192
_START, _END = "\x02", "\x03"


@dataclass(frozen=True)
class Wide:
    """Features of tokens and a linear layer on them.

    Args:
        names: of the features, as UTF-8 with a line end behind each.
        linear: the layer.
        alone: whether a token is read without its neighbours, as a model that tags token by token has to.
        chain: how well tags follow each other, fitted together with the layer; `None`: each token is told by itself.
        whole: whether it was fitted on the validation sentences too, once all was chosen on them.
        seconds: that its fit took.
    """

    names: NDArray[np.uint8]
    linear: Linear
    alone: bool
    chain: Chain | None = None
    whole: bool = False
    seconds: float = field(default=0.0, compare=False, metadata={"saved": False})
    known: Any = field(init=False, repr=False, compare=False, metadata={"saved": False})

    def __post_init__(self) -> None:
        """Look up the features; raise `ValueError` where they are not those of the layer, as in a changed file."""
        listed = self.names.tobytes().decode("utf-8", "surrogatepass").split("\n")[:-1]
        object.__setattr__(self, "known", {name: number for number, name in enumerate(listed)})
        features, tags = self.linear.weights.shape
        if len(self.known) != features:
            raise ValueError(f"there are {len(self.known)} features and {features} weights")
        if self.chain is not None and len(self.chain.first) != (2 if tags == 1 else tags):
            raise ValueError(f"there are {tags} tags, and {len(self.chain.first)} that follow each other")

    @classmethod
    def fit(
        cls,
        sentences: Sequence[Sequence[str]],
        targets: Sequence[Integers],
        weights: Floats,
        *,
        alone: bool,
        seed: int,
        seconds: float | None = None,
    ) -> Wide:
        """Fit on training sentences, all of them or as many, drawn at random, as have 300,000 tokens.

        Args:
            sentences: of tokens.
            targets: the class of each token's tag; one that is none of the classes is left out.
            weights: how much each tag counts, `(tags,)`, two or more.
            alone: see above.
            seed: of what is drawn.
            seconds: those of the training; after a quarter of them the fit ends.
        """
        began, tags = time.monotonic(), len(weights)
        rows = _drawn(sentences, _TOKENS, seed)
        chosen = [sentences[row] for row in rows]
        names = _known_features(chosen, alone, max(_WEIGHTS // tags, _FEWEST))
        index = {name: number for number, name in enumerate(names)}
        until = math.inf if seconds is None else began + seconds / 4
        truth, chain = [targets[row] for row in rows], None
        whole = [place for place, each in enumerate(truth) if ((each >= 0) & (each < tags)).all()]
        if whole and not alone and (weights == weights[0]).all() and is_quick(sum(map(len, truth)), tags):
            sizes = np.array([len(truth[place]) for place in whole])
            numbers = _matrix([chosen[place] for place in whole], index, alone)
            linear, chain = fit_chain(numbers, sizes, np.concatenate([truth[row] for row in whole]), tags, seed, until)
        else:
            every = np.concatenate(truth)
            there = (every >= 0) & (every < tags)
            numbers = _matrix(chosen, index, alone)[np.flatnonzero(there)]
            linear = _fitted(numbers, every[there], weights[every[there]], tags, seed, until)
        packed = np.frombuffer("".join(f"{name}\n" for name in names).encode("utf-8", "surrogatepass"), np.uint8)
        return cls(packed, linear, alone, chain, seconds=time.monotonic() - began)

    def is_fitted_again(self, sentences: Sequence[Sequence[str]]) -> bool:
        """Tell whether it is worth the time to fit it on the validation sentences too."""
        return sum(map(len, sentences)) <= _AGAIN

    def fitted_on_all(
        self,
        sentences: Sequence[Sequence[str]],
        targets: Sequence[Integers],
        weights: Floats,
        seed: int,
        seconds: float | None,
    ) -> Wide:
        """Return it fitted on more sentences, those of the validation part among them, if there are not very many."""
        if not self.is_fitted_again(sentences):
            return self
        found = Wide.fit(sentences, targets, weights, alone=self.alone, seed=seed, seconds=seconds)
        return replace(found, whole=True)

    def log_probabilities(self, sentences: Sequence[Sequence[str]]) -> Floats:
        """Return what it says of the tags of all tokens, one sentence behind the other, `(tokens, tags)`."""
        parts = list[Floats]()
        for part in _portions(sentences):
            logs = self.linear.log_probabilities(_matrix(part, self.known, self.alone))
            if self.chain is None:
                parts.append(logs)
                continue
            cuts = np.cumsum([len(tokens) for tokens in part])[:-1]
            # each by itself: a sentence alone is the sentence in a batch
            parts += [self.chain.log_marginals(each) if len(each) else each for each in np.split(logs, cuts)]
        return np.concatenate(parts)


def features_of(tokens: Sequence[str], *, alone: bool = False) -> Iterator[list[str]]:
    """Yield the features of each token.

    >>> next(features_of(["Rain", "falls"]))[:4]
    ['w rain', 'c Xx', 's n', 's in']
    """
    words = [normalise(token, "NFC").replace("\n", " ") for token in tokens]
    lower = [word.lower() for word in words]
    padded = [_START, _START, *lower, _END, _END]
    for place, word in enumerate(words):
        low = lower[place]
        found = [f"w {low}", f"c {_shape(word)}"]
        found += [f"s {low[-size:]}" for size in (1, 2, 3, 4, 5) if size < len(low)]
        found += [f"p {low[:size]}" for size in (1, 2, 3, 4) if size < len(low)]
        if not alone:
            two, one, first, second = padded[place], padded[place + 1], padded[place + 3], padded[place + 4]
            found += [f"-1 {one}", f"-2 {two}", f"+1 {first}", f"+2 {second}", f"-s {one[-3:]}", f"+s {first[-3:]}"]
            found += [f"- {one} {low}", f"+ {low} {first}", f"-- {two} {one}", f"-+ {one} {first}"]
        yield found


def _shape(word: str) -> str:
    """Return how a word is written: `Xx`, `X.X.`, `d-x`; each kind of character once in a row."""
    kinds = ["d" if c.isdigit() else "X" if c.isupper() else "x" if c.isalpha() else c for c in word[:40]]
    return "".join(kind for place, kind in enumerate(kinds) if not place or kind != kinds[place - 1])


def _known_features(sentences: Sequence[Sequence[str]], alone: bool, most: int) -> list[str]:
    """Return the features that are known: of many tokens those that come twice, the most frequent of very many."""
    counts = Counter(name for tokens in sentences for each in features_of(tokens, alone=alone) for name in each)
    least = 2 if sum(map(len, sentences)) >= _TWICE else 1
    return [name for name, count in counts.most_common(most) if count >= least]


def _matrix(sentences: Sequence[Sequence[str]], index: dict[str, int], alone: bool) -> Any:
    """Return which features each token has, a sparse `(tokens, features)`."""
    from scipy.sparse import csr_matrix

    numbers, ends = list[int](), [0]
    for tokens in sentences:
        for each in features_of(tokens, alone=alone):
            numbers += [index[name] for name in each if name in index]
            ends.append(len(numbers))
    found = csr_matrix((np.ones(len(numbers)), numbers, ends), shape=(len(ends) - 1, len(index)))
    found.sum_duplicates()  # sums in one order
    return found


def _fitted(numbers: Any, targets: Integers, counts: Floats, tags: int, seed: int, until: float) -> Linear:
    """Return the layer after some passes of AdaGrad, or as many as there is time for."""
    from scipy.sparse import csr_matrix

    columns, rng = 1 if tags == 2 else tags, np.random.default_rng(seed)
    layer = AdaGrad(numbers.shape[1] + 1, columns)  # the last row: the offsets
    for _ in range(_EPOCHS):
        order = rng.permutation(len(targets))
        for first in range(0, len(order), _BATCH):
            if time.monotonic() > until:
                break
            rows = order[first : first + _BATCH]
            part = numbers[rows]
            # the features of these tokens alone: a step touches no others
            used, places = np.unique(part.indices, return_inverse=True)
            compact = csr_matrix((part.data, places, part.indptr), shape=(len(rows), len(used)))
            error = _error(compact @ layer.values[used] + layer.values[-1], targets[rows]) * counts[rows, None]
            layer.move(compact.T @ error, used)
            layer.move(error.sum(0), -1)
    return Linear(layer.values[:-1], layer.values[-1].astype(np.float64))


def _error(scores: Floats, targets: Integers) -> Floats:
    """Return the gradient of the cross-entropy by the scores."""
    if scores.shape[1] == 1:
        return np.asarray(expit(scores) - targets[:, None])
    error = softmax(scores, -1)
    error[np.arange(len(targets)), targets] -= 1
    return np.asarray(error)


def _drawn(sentences: Sequence[Sequence[str]], most: int, seed: int) -> Integers:
    """Return the rows of sentences whose tokens are not too many together."""
    sizes = np.array([len(tokens) for tokens in sentences])
    if sizes.sum() <= most:
        return np.arange(len(sentences))
    order = np.random.default_rng(seed).permutation(len(sentences))
    return np.sort(order[: max(1, int((np.cumsum(sizes[order]) <= most).sum()))])


def _portions(sentences: Sequence[Sequence[str]]) -> Iterator[Sequence[Sequence[str]]]:
    """Yield sentences some thousands of tokens at a time."""
    first, size = 0, 0
    for place, tokens in enumerate(sentences):
        size += len(tokens)
        if size >= _TOGETHER:
            yield sentences[first : place + 1]
            first, size = place + 1, 0
    if first < len(sentences) or not sentences:
        yield sentences[first:]
