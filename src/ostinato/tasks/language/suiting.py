"""What suits a text of some size, where nobody says: rows, dropout, whether weights are tied."""

from __future__ import annotations

from ostinato.tasks.language.parameters import LanguageParameters, Output

_STEPS_AN_EPOCH = 150
_FEWEST_ROWS, _MOST_ROWS = 8, 16
_WHOLE, _SHORT = 4, 100_000
# by tokens of the training text, of outputs and of embeddings: the smaller a text, the sooner it is known by heart
_CHARACTERS = ((300_000, 0.2, 0.0), (None, 0.0, 0.0))
_WORDS = ((100_000, 0.5, 0.3), (500_000, 0.4, 0.2), (2_000_000, 0.2, 0.1), (None, 0.0, 0.0))


def suited_dropout(parameters: LanguageParameters, tokens: int) -> tuple[float, float]:
    """Return the dropout of outputs and of embeddings: what is asked for, or what suits a text of so many tokens."""
    given = parameters
    sizes = _CHARACTERS if given.level == "character" else _WORDS
    of_outputs, of_inputs = next((out, into) for most, out, into in sizes if most is None or tokens <= most)
    if given.dropout is not None:  # who says one of the two says what there is
        of_outputs, of_inputs = given.dropout, 0.0
    return of_outputs, of_inputs if given.input_dropout is None else given.input_dropout


def suited_rows(parameters: LanguageParameters, tokens: int) -> int:
    """Return how many rows of a text are read side by side: few of a small text, which else had few steps."""
    if parameters.batch_size is not None:
        return parameters.batch_size
    return min(max(tokens // (_STEPS_AN_EPOCH * parameters.steps), _FEWEST_ROWS), _MOST_ROWS)


def suited_output(parameters: LanguageParameters, vocabulary: int, tokens: int) -> Output:
    """Return the kind of scores: by default sampled, where a whole softmax is most of the work and the text is long.

    Of 200,000 words of the Penn Treebank, 60 s on one core gave a network of 256 units with a whole softmax over 9,000
    words a loss of 5.99 nats, and 5.46 with a sampled one; of 45,000 words, soon read, the whole one was better.
    """
    if parameters.output is not None:
        return parameters.output
    return "sampled" if vocabulary > _WHOLE * parameters.samples and tokens > _SHORT else "softmax"


def ties_weights(parameters: LanguageParameters) -> bool:
    """Return whether the embedding is the matrix of the scores: by default where tokens are many, and it can be."""
    if parameters.tie_weights is not None:
        return parameters.tie_weights
    return parameters.level != "character" and parameters.output != "adaptive"
