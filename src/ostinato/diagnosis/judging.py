"""From what was measured to verdicts: gradients, units and states, the fit; `judging_losses.py` has the others."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from ostinato.diagnosis.findings import Findings, LayerFindings, StageFindings
from ostinato.diagnosis.judging_losses import advice_of, of_answers, of_losses
from ostinato.diagnosis.result import Kind, Verdict
from ostinato.diagnosis.words import Speaker, number, percent

_LEAST_STEPS = 8  # of a sequence in which gradients may vanish
_FAR = 0.2  # of what is wrong, that inputs beyond the reach explain
_CHAOS = math.log(1e3)  # growth along the sequence
_SATURATED, _FEW = 0.5, 0.1  # shares of units: at their ends; dead or copies
_LEAST = 2  # units that must be dead or copies
_OFF = 0.05  # of an interval's promise
_ANSWERS = 100
_SUDDEN = 1e-6  # of the largest gradient, that the last one before a cut has at least
_CUT = 0.1  # of the largest gradient, at the oldest step of a piece that goes on before
_ORDER: tuple[Kind, ...] = (
    "frozen", "no gradient", "rows meet", "sign", "outputs", "random", "exploding", "padding",
    "leak", "learning rate too high", "truncation", "vanishing", "stuck", "growing",
    "saturated", "dead", "copies", "learning rate too low", "baseline", "overfitting", "coverage",
)  # fmt: skip
_BY_ANSWERS: tuple[Kind, ...] = (
    "no gradient", "rows meet", "sign", "outputs", "random", "learning rate too high", "learning rate too low",
    "overfitting", "coverage",
)  # fmt: skip
_LARGE = 20.0  # of what is read, on the average: far from the one that starts of weights reckon with


def verdicts_of(findings: Findings) -> tuple[Verdict, ...]:
    """Return the faults, the gravest first; of one kind, the worst alone."""
    say = Speaker(findings.context.unit)
    found: dict[Kind, Verdict] = {}
    parts = (
        of_answers(findings, say),
        _of_flow(findings, say),
        _of_layers(findings),
        of_losses(findings),
        _of_fit(findings),
    )
    for verdict in itertools.chain(*parts):
        found.setdefault(verdict.kind, verdict)
    # what is said of steps and rows is of other ones where they were taken for one another; and nothing learns frozen
    kept = _BY_ANSWERS if "rows meet" in found else ("frozen",) if "frozen" in found else _ORDER
    return tuple(found[kind] for kind in _ORDER if kind in found and kind in kept)


# --- gradients -------------------------------------------------------------------------------------------------------


def _of_flow(findings: Findings, say: Speaker) -> Iterator[Verdict]:
    for place, each in enumerate(findings.stages):
        if each.untaught:
            text = (
                "The loss has no gradient by any of them, though none is frozen: what the layer gives is cut from the "
                "graph, or not used."
            )
            title = f"No gradient reaches {each.stage.title}: none of its {each.untaught:,} weights is trained"
            yield Verdict(
                "no gradient", title, text, advice_of(findings, "no gradient"), each.untaught, each.stage.title
            )
            continue
        if each.flow is None:
            continue
        if (grows := _explodes(each, findings.losses.learned)) is not None:
            yield Verdict(
                "exploding", f"Gradients explode: a factor of {number(grows)} a step", _explosion(each, say),
                advice_of(findings, "exploding"), grows, each.stage.title,
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
        return bool(findings.far > _FAR) and not findings.losses.nearly_nothing
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
    advice = advice_of(findings, "vanishing", needed=each.stage.steps, gated=_gated(each))
    title = f"Gradients vanish beyond {say.steps(flow.reach)}"
    return Verdict("vanishing", title, text, advice, float(flow.reach), each.stage.title)


def _gated(each: StageFindings) -> bool | None:
    """Tell whether the layers have gates; `None`: it is not known, or some have."""
    kinds = {bool(layer.walk.gates) for layer in each.layers}
    return kinds.pop() if len(kinds) == 1 else None


def _truncated(findings: Findings, each: StageFindings, say: Speaker) -> Verdict | None:
    flow, memory = each.flow, each.memory
    assert flow is not None
    # not faded to nothing, nor stopped by gates that are shut so far that their slope is none
    open_ = all(share < _SATURATED for layer in each.layers for share in layer.units.saturated.values())
    sudden = flow.cut is not None and open_ and flow.norms[flow.cut - 1] > _SUDDEN * flow.norms.max()
    if flow.cut is not None and sudden and memory is not None and memory.moves_at(flow.cut):
        text = (
            f"From {say.steps(flow.cut)} back on, the gradient is nothing at all, though changes of input there "
            f"still move "
            f"the output (as far as {say.steps(memory.steps)}): the state is carried over, and cut from the gradient."
        )
        return Verdict(
            "truncation", f"Gradients are cut after {say.steps(flow.cut)}", text,
            advice_of(findings, "truncation"), float(flow.cut), each.stage.title,
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
            advice_of(findings, "truncation"), float(len(norms)), each.stage.title,
        )  # fmt: skip
    return None


# --- units and states ------------------------------------------------------------------------------------------------


def _of_layers(findings: Findings) -> Iterator[Verdict]:
    for each in findings.stages:
        for layer in each.layers:
            yield from _of_layer(findings, each, layer)


def _large(each: StageFindings) -> str:
    """Return a sentence on what is read where that is large; else nothing."""
    size = float(each.stage.xs.abs().double().mean())
    return f" What it reads is large, {number(size)} on the average: scale it to about one." if size > _LARGE else ""


def _of_layer(findings: Findings, each: StageFindings, layer: LayerFindings) -> Iterator[Verdict]:
    where, units, motion = layer.walk.name, layer.units, layer.motion
    if motion.stuck:
        text = "Inputs go on, but its place is the same in all rows: it holds nothing of what was read." + _large(each)
        speed = float(np.nanmax(motion.speed[len(motion.speed) // 2 :], initial=0.0))
        title = f"The state is stuck: in a step it moves by {percent(speed)} of its size at most"
        yield Verdict("stuck", title, text, advice_of(findings, "stuck"), speed, where)
    if motion.grows and not findings.losses.learned:  # a model that has learned may well count
        text = (
            f"From the middle of the sequence to its end its largest numbers grow by a factor of "
            f"{number(motion.growth)}, to "
            f"{number(motion.size)}: of longer sequences than these nothing is known."
        )
        yield Verdict(
            "growing",
            "The state is still growing at the end",
            text,
            advice_of(findings, "growing"),
            motion.growth,
            where,
        )
    for name, share in sorted(units.saturated.items(), key=lambda item: -item[1]):
        if share >= _SATURATED and not (name == "units" and motion.stuck and share < 1):
            text = (
                f"{percent(share)} of its units are at an end of their range at nearly every step, where the gradient "
                "through "
                "them is next to nothing." + _large(each)
            )
            title = f"The {name} {'are' if name == 'units' else 'is'} saturated: {percent(share)} of units"
            yield Verdict(
                "saturated", title, text, advice_of(findings, "saturated", needed=each.stage.steps), share, where
            )
    count = len(units.dead)
    if units.dead.sum() >= _LEAST and units.dead_share >= _FEW:
        text = f"They give the same at every step of every row, of {count} units."
        title = f"{int(units.dead.sum())} of {count} units are dead"
        yield Verdict("dead", title, text, advice_of(findings, "dead"), units.dead_share, where)
    if units.copies.sum() >= _LEAST and units.copied_share >= _FEW:
        differ = count - int(units.copies.sum())
        text = f"They move as another one does, up to scale and sign: of {count} units, {differ} differ."
        title = f"{int(units.copies.sum())} of {count} units are copies of others"
        yield Verdict("copies", title, text, advice_of(findings, "copies"), units.copied_share, where)


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
            advice_of(findings, "overfitting"),
            apart.since,
        )
    for promised, covered in findings.context.coverage.items():
        answers = max(findings.context.answers, 1)
        chance = 3 * math.sqrt(promised * (1 - promised) / answers)
        if answers >= _ANSWERS and abs(covered - promised) > max(_OFF, chance):
            kind = "narrow" if covered < promised else "wide"
            text = f"Of {answers:,} answers that were held out; the intervals are too {kind}."
            title = f"An interval covers {percent(covered)} where {percent(promised)} was promised"
            yield Verdict("coverage", title, text, advice_of(findings, "coverage"), covered)
