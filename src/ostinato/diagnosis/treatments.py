"""What to do about a fault, each by the true name of an option: of our estimators, or of layers and cells in Python."""

from __future__ import annotations

from ostinato.diagnosis.result import Kind

_CELLS = "ostinato.cells"


def treatments(
    kind: Kind,
    options: frozenset[str] | None,
    *,
    needed: int = 0,
    rate: float | None = None,
    gated: bool | None = None,
) -> tuple[str, ...]:
    """Return what to do.

    Args:
        kind: the fault.
        options: the parameters of the estimator; `None`: the model is not one of our estimators.
        needed: how many steps the memory should reach.
        rate: a learning rate that suits.
        gated: whether the recurrent part has gates; what it is already is not advised. `None`: it is not known.
    """
    if options is None:
        return tuple(_of_layers(kind, needed, rate, gated))
    return tuple(_of_estimators(kind, options, needed, rate, gated))


def _of_layers(kind: Kind, needed: int, rate: float | None, gated: bool | None) -> list[str]:
    memory = max(3, needed)
    plain = (
        f"Start a plain cell so that it keeps what passes: {_CELLS}.RNNCell(..., recurrent_init='orthogonal'), or the "
        "identity with rectified units, IRNNCell."
    )
    better = (
        f"Take a linear cell, {_CELLS}.LRUCell, or shorten the way: several steps read as one."
        if gated
        else f"Take a gated or linear cell: {_CELLS}.LSTMCell, GRUCell, MinGRUCell or LRUCell."
    )
    found: dict[Kind, list[str]] = {
        "vanishing": [
            f"Start the forget gate with the memory that the data needs: {_CELLS}.LSTMCell(..., "
            f"longest_memory={memory}).",
            better,
            *([] if gated else [plain]),
            "Lead inputs around layers: ostinato.nn.Recurrent(cell, num_layers, skip='residual', norm='layer').",
        ],
        "exploding": [
            "Clip the gradient: torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).",
            f"Start again from orthogonal weights: {_CELLS}.RNNCell(..., recurrent_init='orthogonal'); or take "
            f"a gated cell.",
            "Lower the learning rate, and scale inputs to about one.",
        ],
        "truncation": [
            "Detach the state after more steps, or only between batches, and carry it over.",
            "If memory is short, keep every step in the graph and compute it twice: torch.utils.checkpoint.checkpoint "
            "around pieces of the sequence.",
        ],
        "saturated": [
            "Lower the learning rate, or scale inputs to about one, so that gates are not driven to their ends.",
            f"Normalise within the step: {_CELLS}.LayerNormLSTMCell or LayerNormGRUCell.",
            f"Start its bias again: reset_parameters(); for the forget gate {_CELLS}.LSTMCell(..., "
            f"longest_memory={memory}).",
        ],
        "dead": [
            "Rectified units that died stay so: a smaller learning rate, or activation='tanh' or 'softplus'.",
            "Make the layer smaller, or start it again: reset_parameters().",
        ],
        "copies": [
            "Start weights at random: units that start alike stay alike; reset_parameters() of the layer does that.",
            "Fewer units: a smaller hidden_size does the same.",
        ],
        "stuck": [
            "Scale inputs to about one and start the layer again: reset_parameters().",
            "Look whether inputs reach it: a gate that is shut, or a bias far from zero, holds the state.",
        ],
        "growing": [
            f"Bound the state: a gated cell whose gates are coupled, {_CELLS}.GRUCell or CoupledLSTMCell.",
            f"Normalise it: {_CELLS}.LayerNormLSTMCell.",
            "Train on sequences as long as those that will come.",
        ],
        "padding": [
            "Give the lengths to the layer: ostinato.nn.Recurrent(...)(xs, lengths=lengths), or "
            "torch.nn.utils.rnn.pack_padded_sequence(xs, lengths, enforce_sorted=False).",
            "Read each row at its own last step, ys[lengths - 1, rows], mask what is averaged, and mask the loss.",
        ],
        "overfitting": [
            "Keep the weights of the best epoch; stop when validation no longer improves.",
            "Dropout between layers (ostinato.nn.Recurrent(..., dropout=0.2, variational=True)), weight_decay, "
            "fewer units, "
            "or more data.",
        ],
        "coverage": ["Calibrate the intervals on data that was held out (conformal prediction)."],
        "learning rate too high": [
            f"Set the learning rate to about {rate:.1g}." if rate else "Set a smaller learning rate."
        ],
        "learning rate too low": [
            f"Set the learning rate to about {rate:.1g}." if rate else "Set a larger learning rate."
        ],
        "baseline": [
            "Train on, if it is early; else look at the other faults here, the learning rate first.",
            "Check that inputs and targets belong together: an order that was shuffled in one of them looks like this.",
        ],
        "leak": ["Leave that input out, or shift it so that it is known before the target is."],
        "no gradient": [
            "Look for detach(), .data, .item(), numpy() or torch.no_grad() between this layer and the loss.",
            "If it is frozen on purpose, say so: layer.requires_grad_(False).",
        ],
        "frozen": ["Let them be trained: model.requires_grad_(True), before the optimiser is made."],
        "random": [
            "Draw dropout in training only: torch.nn.Dropout, or functional.dropout(x, p, training=self.training).",
            "If answers are meant to be drawn, judge the mean of several.",
        ],
        "rows meet": [
            "Give a layer what it reads: batch_first=True for (rows, steps, features), else (steps, rows, features).",
            "Look for a view, a reshape, a softmax or a mean over the dimension of rows.",
        ],
        "outputs": [
            "Give the loss what it expects: scores without a softmax or sigmoid to cross_entropy and "
            "binary_cross_entropy_with_logits, log_softmax to nll_loss.",
        ],
        "sign": ["Take the minus away before the loss: an optimiser makes it smaller."],
    }
    return found[kind]


def _of_estimators(
    kind: Kind, options: frozenset[str], needed: int, rate: float | None, gated: bool | None
) -> list[str]:
    memory = max(3, needed)
    kinds = "linear cell: --cell lru" if gated else "gated or linear cell: --cell lstm, gru, mingru or lru"
    chrono = f"cell=functools.partial(ostinato.cells.LSTMCell, longest_memory={memory})"
    found: dict[Kind, list[tuple[str, str]]] = {
        "vanishing": [
            ("cell", f"Take a {kinds}."),
            ("cell", f"Start the forget gate with the memory that the data needs, in Python: {chrono}."),
            *([] if gated else [("cell", "A plain cell keeps more from the identity: --cell irnn.")]),
            ("segment", "Read several rows as one step: --segment N makes the way shorter."),
        ],
        "exploding": [
            ("gradient_clip", "Clip the gradient: --gradient-clip 0.5 or less."),
            ("learning_rate", "Lower --learning-rate."),
            ("cell", "Take a gated cell, or one that normalises: --cell lstm-layernorm, gru-layernorm."),
        ],
        "truncation": [
            ("steps", "Read longer pieces: a larger --steps; the state is carried from one to the next already."),
        ],
        "saturated": [
            ("learning_rate", "Lower --learning-rate."),
            ("cell", "Normalise within the step: --cell lstm-layernorm or gru-layernorm."),
            ("weight_decay", "Hold the weights back: --weight-decay 0.0001."),
        ],
        "dead": [("hidden_size", "Fewer units: a smaller --hidden-size."), ("learning_rate", "Lower --learning-rate.")],
        "copies": [
            ("hidden_size", "Fewer units do the same: a smaller --hidden-size."),
            ("seed", "Another start: --seed."),
        ],
        "no gradient": [],
        "frozen": [],
        "random": [],
        "rows meet": [],
        "outputs": [],
        "sign": [],
        "stuck": [("learning_rate", "Lower --learning-rate and fit again."), ("cell", "Another --cell.")],
        "growing": [("cell", "Bound the state: --cell gru or lstm-layernorm.")],
        "padding": [],
        "overfitting": [
            ("dropout", "More --dropout."),
            ("weight_decay", "Some --weight-decay, such as 0.0001."),
            ("hidden_size", "A smaller --hidden-size."),
            ("patience", "The weights of the best epoch are kept; a smaller --patience ends sooner."),
        ],
        "coverage": [
            (
                "validation",
                "Intervals are fitted on the validation part: a larger --validation, or newer rows (ostinato update).",
            )
        ],
        "learning rate too high": [
            ("learning_rate", f"--learning-rate {rate:.1g}" if rate else "A smaller --learning-rate.")
        ],
        "learning rate too low": [
            ("learning_rate", f"--learning-rate {rate:.1g}" if rate else "A larger --learning-rate.")
        ],
        "baseline": [
            ("epochs", "Train longer (--epochs, --max-seconds), or let `ostinato tune` search."),
            ("cell", "`ostinato compare` shows other cells beside it."),
            ("epochs", "Where both are as good as can be, take the simpler one."),
        ],
        "leak": [("validation", "Leave that input out, or shift it so that it is known before the target is.")],
    }  # fmt: skip
    return [text for option, text in found[kind] if option in options] or _of_layers(kind, needed, rate, gated)
