"""The figures of a diagnosis as plain data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ostinato.diagnosis.findings import Findings, StageFindings


def numbers_of(findings: Findings) -> dict[str, Any]:
    """Return all figures, by what was measured."""
    return dict(_numbers(findings))


def _numbers(findings: Findings) -> Iterator[tuple[str, Any]]:
    yield "step", asdict(findings.context.unit)
    yield "parts", [_part(each) for each in findings.stages]
    yield "losses", {"model": findings.losses.model, **findings.losses.rivals}
    for name in ("answers", "leak", "given", "apart"):
        value = getattr(findings, name)
        if value is not None:
            yield name, asdict(value)
    if findings.far == findings.far:
        yield "error explained by inputs beyond the reach", findings.far
    if findings.rates is not None:
        plain = asdict(findings.rates)
        yield "rates", {**plain, "rates": plain["rates"].tolist(), "losses": plain["losses"].tolist()}
    if findings.contributions is not None:
        plain = asdict(findings.contributions)
        yield "contributions", {**plain, "by_step": plain["by_step"].tolist()}
    if findings.attention is not None:
        yield "attention", findings.attention.tolist()
    if findings.context.coverage:
        yield "coverage", {str(promised): covered for promised, covered in findings.context.coverage.items()}
    yield "history", [dict(row) for row in findings.context.history]


def _part(each: StageFindings) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": each.stage.name, "module": type(each.stage.module).__name__, "steps": each.stage.steps,
        "rows": each.stage.xs.shape[1],
    }  # fmt: skip
    if each.flow is not None:
        found["gradient norms"], found["reach"], found["cut"] = each.flow.norms.tolist(), each.flow.reach, each.flow.cut
    if each.memory is not None:
        found["changed at"], found["moves"] = each.memory.distances.tolist(), each.memory.moved.tolist()
        found["effective memory"] = each.memory.steps
    found["layers"] = [
        {
            "name": layer.walk.name,
            "saturated": layer.units.saturated,
            "open": layer.units.opened,
            "dead": int(layer.units.dead.sum()),
            "copies": int(layer.units.copies.sum()),
            "speed": layer.motion.speed.tolist(),
            "growth": layer.motion.growth,
            **(
                {}
                if layer.jacobians is None
                else {
                    "singular values": layer.jacobians.singular.tolist(),
                    "lyapunov exponents": layer.jacobians.exponents.tolist(),
                }
            ),
        }
        for layer in each.layers
    ]
    return found
