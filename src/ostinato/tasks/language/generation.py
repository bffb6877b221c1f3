"""Writing on: the next token drawn from the model's scores, one after the other."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ostinato.errors import UsageError
from ostinato.streaming import stepper
from ostinato.tasks.language.cache import Memory, NeuralCache
from ostinato.tasks.language.mixing import Mixture
from ostinato.tasks.language.network import LanguageNetwork


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn.

    Args:
        temperature: scores are divided by it; towards 0 the best token is taken always, 0 itself says so.
        top_k: draw from so many of the best only; `None`: from all.
        top_p: draw from the fewest best tokens that have this share of the likelihood (A. Holtzman et al., ICLR 2020).
        repetition_penalty: positive scores of tokens that came recently are divided by it, negative ones multiplied (N.
            Keskar et al., "CTRL", 2019); 1 for none.
        memory: how many tokens are "recently".

    Raises:
        UsageError: a number is out of range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    memory: int = 64

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise UsageError(f"temperature is {self.temperature}; expected a number of 0 or more")
        if self.top_k is not None and self.top_k < 1:
            raise UsageError(f"top_k is {self.top_k}; expected one or more")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top_p is {self.top_p}; expected more than 0, up to 1")
        if not 1 <= self.repetition_penalty < math.inf:
            raise UsageError(f"repetition_penalty is {self.repetition_penalty}; expected a number of 1 or more")
        if self.memory < 0:
            raise UsageError(f"memory is {self.memory}; expected 0 or more tokens")


def draw(
    scores: Tensor, sampling: Sampling, recent: Sequence[int], never: Sequence[int], generator: torch.Generator
) -> int:
    """Return a token drawn by its scores, `(vocabulary,)`; those in `never` are not."""
    scores = scores.float().clone()
    if sampling.repetition_penalty != 1 and recent:
        known = torch.tensor(sorted(set(recent)))
        chosen = scores[known]
        scores[known] = torch.where(
            chosen > 0, chosen / sampling.repetition_penalty, chosen * sampling.repetition_penalty
        )
    scores[list(never)] = float("-inf")
    if sampling.temperature == 0:
        return int(scores.argmax())
    scores = scores / sampling.temperature
    if sampling.top_k is not None and sampling.top_k < len(scores):
        least = scores.topk(sampling.top_k).values[-1]
        scores = scores.masked_fill(scores < least, float("-inf"))
    probabilities = scores.softmax(-1)
    if sampling.top_p < 1:
        ordered, places = probabilities.sort(descending=True, stable=True)
        beyond = ordered.cumsum(-1) - ordered >= sampling.top_p  # what comes before them is enough
        probabilities[places[beyond]] = 0.0
    return int(torch.multinomial(probabilities, 1, generator=generator))


def generate_tokens(
    network: LanguageNetwork,
    prompt: Sequence[int],
    sampling: Sampling,
    *,
    never: Sequence[int],
    seed: int,
    cache: NeuralCache | None = None,
    mixture: Mixture | None = None,
) -> Iterator[int]:
    """Yield tokens after a prompt without end; the model reads each, step by step, with constant memory.

    Args:
        network: in evaluation mode.
        prompt: tokens to begin with, one or more.
        sampling: how tokens are drawn.
        never: tokens that are not drawn.
        seed: of what is drawn.
        cache: whether, and how, to mix in what came recently, the prompt included.
        mixture: the n-grams that the network is mixed with; tokens are drawn by the probabilities of the mixture.
    """
    generator = torch.Generator().manual_seed(seed)
    recent: deque[int] = deque(prompt, maxlen=sampling.memory)
    advance = stepper(network.stack)
    memory = None if cache is None else Memory(cache)
    context: deque[int] = deque(prompt, maxlen=0 if mixture is None else mixture.reach)

    def read(token: int) -> Tensor:
        output = advance(network.embedding.weight[token].numpy()[None])
        features: Tensor = network.narrow(torch.from_numpy(output))[0]
        return features

    def scored(features: Tensor) -> Tensor:
        scores: Tensor = network.scores(features)
        if mixture is not None:
            scores = mixture.logs(scores, list(context))
        return scores if memory is None else memory.scores(features, scores)

    with torch.inference_mode():
        features = read(prompt[0])
        for token in prompt[1:]:
            if memory is not None:
                memory.hold(features, token)
            features = read(token)
    while True:
        with torch.inference_mode():
            token = draw(scored(features), sampling, list(recent), never, generator)
        yield token
        recent.append(token)
        context.append(token)
        with torch.inference_mode():
            if memory is not None:
                memory.hold(features, token)
            features = read(token)
