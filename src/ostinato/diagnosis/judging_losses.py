"""Verdicts on answers and losses: chance, rows that meet, outputs of the wrong kind, padding, rates, simple models."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ostinato.diagnosis.findings import Findings
from ostinato.diagnosis.result import Kind, Verdict
from ostinato.diagnosis.treatments import treatments
from ostinato.diagnosis.words import Speaker, number, percent

_AS_GOOD = 0.98  # of a simple loss
_ROWS = 8  # of a batch: fewer say little of a loss
_MOVES = 1e-4  # of the size of answers: what moves less is rounding
_CHANCE = 1e-3
_OUTPUTS = {
    "softmax": ("The loss takes a softmax of its own, and gets one already", "probabilities after a softmax"),
    "sigmoid": ("The loss takes a sigmoid of its own, and gets one already", "probabilities after a sigmoid"),
    "no logarithm": ("The loss expects logarithms of probabilities, and gets others", "outputs without log_softmax"),
}


def advice_of(
    findings: Findings, kind: Kind, *, needed: int = 0, rate: float | None = None, gated: bool | None = None
) -> tuple[str, ...]:
    """Return what to do about a fault; see `treatments`."""
    return treatments(kind, findings.context.options, needed=needed, rate=rate, gated=gated)


# --- the answers -----------------------------------------------------------------------------------------------------


def of_answers(findings: Findings, say: Speaker) -> Iterator[Verdict]:
    """Yield what the answers show at once."""
    seen = findings.answers
    if seen is None:
        return
    if seen.weights and seen.frozen == seen.weights:
        title = f"All {seen.weights:,} weights are frozen"
        text = "None requires a gradient (requires_grad is False), so that no step of an optimiser changes the model."
        yield Verdict("frozen", title, text, advice_of(findings, "frozen"), float(seen.frozen))
    if seen.met > _MOVES:
        stage = findings.main.stage
        text = (
            "The inputs of all rows but one were exchanged, and the answer of that one moved. "
            f"{stage.title} reads {say.steps(stage.steps)} of {stage.xs.shape[1]} rows: if that is not what the batch "
            "has, rows are taken for steps."
        )
        title = f"Rows meet: another row's inputs move an answer by {percent(seen.met)}"
        yield Verdict("rows meet", title, text, advice_of(findings, "rows meet"), seen.met, stage.title)
    if seen.turned:
        text = "It is smallest where answers are as wrong as can be, so that training makes them so."
        yield Verdict("sign", "The loss has the wrong sign", text, advice_of(findings, "sign"), findings.losses.model)
    if seen.outputs:
        title, what = _OUTPUTS[seen.outputs]
        text = (
            f"What it is given are {what}: gradients are then small or wrong, and the loss of "
            f"{number(findings.losses.model)} says little."
        )
        yield Verdict("outputs", title, text, advice_of(findings, "outputs"), findings.losses.model)
    if seen.chance > _CHANCE:
        title = f"In evaluation mode answers are random: they move by {percent(seen.chance)} from run to run"
        text = "The same batch was run twice. All else here is measured with one and the same draw."
        yield Verdict("random", title, text, advice_of(findings, "random"), seen.chance)


# --- the loss --------------------------------------------------------------------------------------------------------


def of_losses(findings: Findings) -> Iterator[Verdict]:
    """Yield what the loss says: padding, a target that is given away, the learning rate, simple models as good."""
    leak = findings.leak
    if leak is not None and leak.leaks:
        worst = max(leak.answer, leak.loss)
        what = "the answer" if leak.answer > leak.loss else "the loss"
        text = (
            f"Other values at {leak.padded:,} steps past the lengths of {leak.rows} rows move the answers of "
            f"{leak.moved} of "
            f"them, at most by {percent(leak.answer)} of their size, and the loss by {percent(leak.loss)}. They "
            f"should move "
            "nothing."
        )
        title = f"Padding leaks: a change past the length moves {what} by {percent(worst)}"
        yield Verdict("padding", title, text, advice_of(findings, "padding"), worst)
    given = findings.given
    if given is not None:
        text = (
            f"Input {given.place} of the last step, without anything before it, gives {100 * given.share:.4g} % "
            f"{given.words}: "
            "it says what is to be found out, and a model that reads it learns nothing else."
        )
        title = f"Input {given.place} at the last step gives the target away"
        yield Verdict("leak", title, text, advice_of(findings, "leak"), given.share)
    yield from _of_rates(findings)
    yield from _of_rivals(findings)


def _of_rates(findings: Findings) -> Iterator[Verdict]:
    rates = findings.rates
    if rates is None or rates.asked is None:
        return
    asked = rates.asked
    if asked == 0:
        advice = advice_of(findings, "learning rate too low", rate=rates.steepest / 3)
        text = f"No weight moves by it; in a range test the loss falls fastest at {number(rates.steepest)}."
        yield Verdict("learning rate too low", "The learning rate is 0", text, advice, 0.0)
    elif rates.too_high:
        better = min((value, rate) for rate, value in rates.runs.items() if rate < asked)
        suits = min(better[1], rates.diverges / 10)
        text = (
            f"In {rates.steps} steps from the same start the loss comes from {number(rates.start)} to "
            f"{number(rates.runs[asked])} at {number(asked)}, and to {number(better[0])} at {number(better[1])}."
        )
        if math.isfinite(rates.diverges):
            text += f" In a range test it rises again from {number(rates.diverges)} on."
        advice = advice_of(findings, "learning rate too high", rate=suits)
        yield Verdict("learning rate too high", f"The learning rate {number(asked)} is too high", text, advice, asked)
    elif rates.too_low:
        text = (
            f"In {rates.steps} steps the loss moves from {number(rates.start)} to {number(rates.runs[asked])} "
            f"only; in a range "
            f"test it falls fastest at {number(rates.steepest)}."
        )
        advice = advice_of(findings, "learning rate too low", rate=rates.steepest / 3)
        yield Verdict("learning rate too low", f"The learning rate {number(asked)} is too low", text, advice, asked)


def _of_rivals(findings: Findings) -> Iterator[Verdict]:
    for name, sentence in findings.context.rivals.items():
        yield Verdict("baseline", f"A baseline is as good: {name}", sentence, advice_of(findings, "baseline"))
        return
    losses, rows = findings.losses, findings.main.stage.xs.shape[1]
    if findings.context.rivals or rows < _ROWS or not math.isfinite(losses.model):
        return
    best = min(losses.rivals, key=losses.rivals.__getitem__, default=None)
    if best is None:
        return
    rival = losses.rivals[best]
    if findings.answers is not None and findings.answers.constant:
        title, text = "All targets of the batch are the same", "There is nothing to learn from it but that one value."
        yield Verdict("baseline", title, text, advice_of(findings, "baseline"), rival)
        return
    if losses.model >= rival - (1 - _AS_GOOD) * abs(rival):
        title = f"{best[0].upper()}{best[1:]} {'do' if best.endswith('s') else 'does'} as well"
        text = (
            f"The loss on this batch is {number(losses.model)}; with {best} it is {number(rival)}: what was read so "
            f"far does not "
            "help the model."
        )
        yield Verdict("baseline", title, text, advice_of(findings, "baseline"), rival)
