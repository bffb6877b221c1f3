"""From what was measured to verdicts, and to what was measured in words."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ostinato.diagnosis.findings import Findings, LayerFindings, StageFindings
from ostinato.diagnosis.result import Fact, Kind, Verdict
from ostinato.diagnosis.treatments import treatments
from ostinato.diagnosis.words import Speaker, number, percent

_LEAST_STEPS = 8  # of a sequence in which gradients may vanish
_FAR = 0.2  # of what is wrong, that inputs beyond the reach explain
_CHAOS = math.log(1e3)  # growth along the sequence
_SATURATED, _FEW = 0.5, 0.1  # shares of units: at their ends; dead or copies
_LEAST = 2  # units that must be dead or copies
_AS_GOOD = 0.98  # of a simple loss
_ROWS = 8  # of a batch: fewer say little of a loss
_OFF = 0.05  # of an interval's promise
_ANSWERS = 100
_CUT = 0.1  # of the largest gradient, at the oldest step of a piece that goes on before
_ORDER: tuple[Kind, ...] = (
    "no gradient", "exploding", "padding",
    "leak", "learning rate too high", "truncation", "vanishing", "stuck", "growing",
    "saturated", "dead", "copies", "learning rate too low", "baseline", "overfitting", "coverage",
)  # fmt: skip


def verdicts_of(findings: Findings) -> tuple[Verdict, ...]:
    """Return the faults, the gravest first; of one kind, the worst alone."""
    say = Speaker(findings.context.unit)
    found: dict[Kind, Verdict] = {}
    for verdict in (*_of_flow(findings, say), *_of_layers(findings), *_of_losses(findings), *_of_fit(findings)):
        found.setdefault(verdict.kind, verdict)
    return tuple(found[kind] for kind in _ORDER if kind in found)


def _advice(findings: Findings, kind: Kind, *, needed: int = 0, rate: float | None = None) -> tuple[str, ...]:
    return treatments(kind, findings.context.options, needed=needed, rate=rate)


# --- gradients -------------------------------------------------------------------------------------------------------


def _of_flow(findings: Findings, say: Speaker) -> Iterator[Verdict]:
    for place, each in enumerate(findings.stages):
        if each.untaught:
            text = (
                "The loss has no gradient by any of them, though none is frozen: what the layer gives is cut from the "
                "graph, or not used."
            )
            title = f"No gradient reaches {each.stage.title}: none of its {each.untaught:,} weights is trained"
            yield Verdict("no gradient", title, text, _advice(findings, "no gradient"), each.untaught, each.stage.title)
            continue
        if each.flow is None:
            continue
        if (grows := _explodes(each, findings.losses.learned)) is not None:
            yield Verdict(
                "exploding", f"Gradients explode: a factor of {number(grows)} a step", _explosion(each, say),
                _advice(findings, "exploding"), grows, each.stage.title,
            )  # fmt: skip
            continue
        truncated = _truncated(findings, each, say)
        if truncated is not None:
            yield truncated
        elif _vanishes(findings, each, place):
            yield _vanishing(findings, each, say)


def _explodes(each: StageFindings, learned: bool) -> float | None:
    """Return by what factor a step gradients, or differences of states, grow, if they explode.

    Args:
        each: what was measured of the part.
        learned: whether the model learned: that states go apart along one row is then no fault by itself.
    """
    assert each.flow is not None
    exponent = max(
        (float(one.jacobians.exponents[0]) for one in each.layers if one.jacobians is not None), default=-math.inf
    )
    norms = each.flow.norms[each.flow.norms > 0]
    slope = (norms[-1] / norms[0]) ** (1 / max(1, len(norms) - 1)) if len(norms) > 1 else 1.0
    if each.flow.explodes:
        return float(max(slope, math.exp(min(exponent, 50.0))))
    if exponent * each.stage.steps > _CHAOS and exponent > 0.02 and (not learned or slope > 1.0):
        return math.exp(min(exponent, 50.0))
    return None


def _explosion(each: StageFindings, say: Speaker) -> str:
    assert each.flow is not None
    norms = each.flow.norms
    last = norms[np.isfinite(norms)][-1] if np.isfinite(norms).any() else math.nan
    return (
        f"From the last step to the first, over {say.steps(each.stage.steps - 1)}, the gradient is multiplied by "
        f"{number(last / norms[0] if norms[0] > 0 else math.inf)}; small differences of the state grow likewise."
    )


def _vanishes(findings: Findings, each: StageFindings, place: int) -> bool:
    flow, steps = each.flow, int(each.stage.lengths.max())
    assert flow is not None
    if steps < _LEAST_STEPS or flow.reach >= len(flow.norms) - 1:
        return False
    if place == 0 and findings.losses.learned:
        # it learned what it needs, unless what lies farther back says more
        return bool(findings.far > _FAR)
    return not findings.losses.learned


def _vanishing(findings: Findings, each: StageFindings, say: Speaker) -> Verdict:
    flow = each.flow
    assert flow is not None
    text = (
        f"Beyond that, the loss's gradient by what was read is less than a thousandth of its largest: it is multiplied "
        f"by {flow.factor:.2f} a step. The sequence has {say.steps(each.stage.steps)}; what lies farther back "
        f"can hardly be "
        "learned from."
    )
    if findings.far > _FAR:
        text += f" Inputs there explain {percent(findings.far)} of what the model still gets wrong."
    return Verdict(
        "vanishing", f"Gradients vanish beyond {say.steps(flow.reach)}", text,
        _advice(findings, "vanishing", needed=each.stage.steps), float(flow.reach), each.stage.title,
    )  # fmt: skip


def _truncated(findings: Findings, each: StageFindings, say: Speaker) -> Verdict | None:
    flow, memory = each.flow, each.memory
    assert flow is not None
    if flow.cut is not None and memory is not None and memory.moves_at(flow.cut):
        text = (
            f"From {say.steps(flow.cut)} back on, the gradient is nothing at all, though changes of input there "
            f"still move "
            f"the output (as far as {say.steps(memory.steps)}): the state is carried over, and cut from the gradient."
        )
        return Verdict(
            "truncation", f"Gradients are cut after {say.steps(flow.cut)}", text,
            _advice(findings, "truncation"), float(flow.cut), each.stage.title,
        )  # fmt: skip
    norms = flow.norms
    if findings.context.continues and len(norms) > 1 and norms[-1] > _CUT * norms.max():
        text = (
            f"At the oldest of {say.steps(len(norms))} the gradient still has "
            f"{percent(norms[-1] / norms.max())} of its "
            "largest norm, and the sequence goes on before it."
        )
        return Verdict(
            "truncation", f"Pieces of {say.steps(len(norms))} are too short", text,
            _advice(findings, "truncation"), float(len(norms)), each.stage.title,
        )  # fmt: skip
    return None


# --- units and states ------------------------------------------------------------------------------------------------


def _of_layers(findings: Findings) -> Iterator[Verdict]:
    for each in findings.stages:
        for layer in each.layers:
            yield from _of_layer(findings, each, layer)


def _of_layer(findings: Findings, each: StageFindings, layer: LayerFindings) -> Iterator[Verdict]:
    where, units, motion = layer.walk.name, layer.units, layer.motion
    if motion.stuck:
        text = "Inputs go on, but its place is the same in all rows: it holds nothing of what was read."
        speed = float(np.nanmax(motion.speed[len(motion.speed) // 2 :], initial=0.0))
        title = f"The state is stuck: in a step it moves by {percent(speed)} of its size at most"
        yield Verdict("stuck", title, text, _advice(findings, "stuck"), speed, where)
    if motion.grows:
        text = (
            f"From the middle of the sequence to its end its largest numbers grow by a factor of "
            f"{motion.growth:.2g}, to "
            f"{number(motion.size)}: of longer sequences than these nothing is known."
        )
        yield Verdict(
            "growing", "The state is still growing at the end", text, _advice(findings, "growing"), motion.growth, where
        )
    for name, share in sorted(units.saturated.items(), key=lambda item: -item[1]):
        if share >= _SATURATED and not (name == "units" and motion.stuck and share < 1):
            text = (
                f"{percent(share)} of its units are at an end of their range at nearly every step, where the gradient "
                "through "
                "them is next to nothing."
            )
            title = f"The {name} {'are' if name == 'units' else 'is'} saturated: {percent(share)} of units"
            yield Verdict(
                "saturated", title, text, _advice(findings, "saturated", needed=each.stage.steps), share, where
            )
    count = len(units.dead)
    if units.dead.sum() >= _LEAST and units.dead_share >= _FEW:
        text = f"They give the same at every step of every row, of {count} units."
        title = f"{int(units.dead.sum())} of {count} units are dead"
        yield Verdict("dead", title, text, _advice(findings, "dead"), units.dead_share, where)
    if units.copies.sum() >= _LEAST and units.copied_share >= _FEW:
        differ = count - int(units.copies.sum())
        text = f"They move as another one does, up to scale and sign: of {count} units, {differ} differ."
        title = f"{int(units.copies.sum())} of {count} units are copies of others"
        yield Verdict("copies", title, text, _advice(findings, "copies"), units.copied_share, where)


# --- the loss --------------------------------------------------------------------------------------------------------


def _of_losses(findings: Findings) -> Iterator[Verdict]:
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
        yield Verdict("padding", title, text, _advice(findings, "padding"), worst)
    given = findings.given
    if given is not None:
        text = (
            f"Input {given.place} of the last step, without anything before it, gives {100 * given.share:.4g} % "
            f"{given.words}: "
            "it says what is to be found out, and a model that reads it learns nothing else."
        )
        title = f"Input {given.place} at the last step gives the target away"
        yield Verdict("leak", title, text, _advice(findings, "leak"), given.share)
    yield from _of_rates(findings)
    yield from _of_rivals(findings)


def _of_rates(findings: Findings) -> Iterator[Verdict]:
    rates = findings.rates
    if rates is None or rates.asked is None:
        return
    asked = rates.asked
    if rates.too_high:
        better = min((value, rate) for rate, value in rates.runs.items() if rate < asked)
        suits = min(better[1], rates.diverges / 10)
        text = (
            f"In {rates.steps} steps from the same start the loss comes from {number(rates.start)} to "
            f"{number(rates.runs[asked])} at {number(asked)}, and to {number(better[0])} at {number(better[1])}."
        )
        if math.isfinite(rates.diverges):
            text += f" In a range test it rises again from {number(rates.diverges)} on."
        advice = _advice(findings, "learning rate too high", rate=suits)
        yield Verdict("learning rate too high", f"The learning rate {number(asked)} is too high", text, advice, asked)
    elif rates.too_low:
        text = (
            f"In {rates.steps} steps the loss moves from {number(rates.start)} to {number(rates.runs[asked])} "
            f"only; in a range "
            f"test it falls fastest at {number(rates.steepest)}."
        )
        advice = _advice(findings, "learning rate too low", rate=rates.steepest / 3)
        yield Verdict("learning rate too low", f"The learning rate {number(asked)} is too low", text, advice, asked)


def _of_rivals(findings: Findings) -> Iterator[Verdict]:
    for name, sentence in findings.context.rivals.items():
        yield Verdict("baseline", f"A baseline is as good: {name}", sentence, _advice(findings, "baseline"))
        return
    losses, rows = findings.losses, findings.main.stage.xs.shape[1]
    if findings.context.rivals or rows < _ROWS or not math.isfinite(losses.model):
        return
    best = min(losses.rivals, key=losses.rivals.__getitem__, default=None)
    if best is None:
        return
    rival = losses.rivals[best]
    if losses.model >= rival - (1 - _AS_GOOD) * abs(rival):
        title = f"{best[0].upper()}{best[1:]} {'do' if best.endswith('s') else 'does'} as well"
        text = (
            f"The loss on this batch is {number(losses.model)}; with {best} it is {number(rival)}: what was read so "
            f"far does not "
            "help the model."
        )
        yield Verdict("baseline", title, text, _advice(findings, "baseline"), rival)


# --- the fit ---------------------------------------------------------------------------------------------------------


def _of_fit(findings: Findings) -> Iterator[Verdict]:
    apart = findings.apart
    if apart is not None:
        rose = f" to {percent(apart.rise)} of its best" if math.isfinite(apart.rise) else ""
        text = f"In the {apart.epochs} epochs after it the training loss fell on, and the validation loss rose{rose}."
        yield Verdict(
            "overfitting",
            f"Overfitting since epoch {apart.since:g}",
            text,
            _advice(findings, "overfitting"),
            apart.since,
        )
    for promised, covered in findings.context.coverage.items():
        answers = max(findings.context.answers, 1)
        chance = 3 * math.sqrt(promised * (1 - promised) / answers)
        if answers >= _ANSWERS and abs(covered - promised) > max(_OFF, chance):
            kind = "narrow" if covered < promised else "wide"
            text = f"Of {answers:,} answers that were held out; the intervals are too {kind}."
            title = f"An interval covers {percent(covered)} where {percent(promised)} was promised"
            yield Verdict("coverage", title, text, _advice(findings, "coverage"), covered)


# --- what was measured -----------------------------------------------------------------------------------------------


def facts_of(findings: Findings) -> tuple[Fact, ...]:
    """Return what was measured, in words."""
    return tuple(_facts(findings, Speaker(findings.context.unit)))


def _facts(findings: Findings, say: Speaker) -> Iterator[Fact]:
    main = findings.main
    rows = main.stage.xs.shape[1]
    yield Fact(
        "recurrent part",
        f"{main.stage.title}, {say.steps(main.stage.steps)}, {rows} sequence{'' if rows == 1 else 's'}",
    )
    if main.flow is not None:
        reached = "all steps" if main.flow.reach >= len(main.flow.norms) - 1 else say.steps(main.flow.reach)
        yield Fact("gradients reach back", f"{reached}; a factor of {main.flow.factor:.2f} a step")
    if main.memory is not None:
        whole = main.memory.steps >= main.memory.longest
        figure = f"{say.steps(main.memory.steps)}{', all that was tried' if whole else ''}"
        yield Fact("effective memory", figure, "the farthest change of input that moves the output by 1 % of the most")
    for layer in main.layers[:4]:
        name = "" if len(main.layers) == 1 else f" ({layer.walk.name})"
        if layer.jacobians is not None:
            exponent = float(layer.jacobians.exponents[0])
            fades = (
                f", memory fades by a third in {say.steps(max(1, round(-0.4 / exponent)))}" if exponent < -1e-3 else ""
            )
            yield Fact(f"largest Lyapunov exponent{name}", f"{exponent:+.3f} a step{fades}")
        units = layer.units
        ends = ", ".join(f"{key} {percent(share)}" for key, share in units.saturated.items())
        yield Fact(
            f"units{name}", f"{len(units.dead)}; {int(units.dead.sum())} dead, {int(units.copies.sum())} copies"
            + (f"; saturated: {ends}" if ends else ""),
        )  # fmt: skip
    losses = findings.losses
    others = ", ".join(f"{name} {number(value)}" for name, value in losses.rivals.items())
    yield Fact("loss on the batch", number(losses.model) + (f" ({others})" if others else ""))
    if findings.leak is not None:
        moved = f"moves the answer by {percent(findings.leak.answer)}, the loss by {percent(findings.leak.loss)}"
        yield Fact("a change past the lengths", moved if findings.leak.leaks else "moves nothing")
    if findings.rates is not None:
        rates = findings.rates
        asked = "" if rates.asked is None else f"; {number(rates.asked)} is used"
        rise = f", rises from {number(rates.diverges)}" if math.isfinite(rates.diverges) else ""
        yield Fact(
            "range test of the learning rate", f"the loss falls fastest at {number(rates.steepest)}{rise}{asked}"
        )
    for promised, covered in findings.context.coverage.items():
        yield Fact(f"interval of {percent(promised)}", f"covers {percent(covered)}")
