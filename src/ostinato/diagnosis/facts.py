"""What was measured, in words."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ostinato.diagnosis.findings import Findings
from ostinato.diagnosis.result import Fact
from ostinato.diagnosis.words import Speaker, number, percent


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
    seen = findings.answers
    if seen is not None and seen.frozen > 0:
        yield Fact("frozen weights", f"{seen.frozen:,} of {seen.weights:,} require no gradient")
    if findings.context.undecided:
        names = ", ".join(findings.context.undecided)
        yield Fact("baselines", f"too few answers to tell the model from {names}")
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
