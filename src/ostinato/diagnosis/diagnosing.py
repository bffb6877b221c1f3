"""`diagnose`: why a model learns or does not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ostinato.data.frequency import Frequency
from ostinato.diagnosis.answers import look_at_answers
from ostinato.diagnosis.attribution import attention_of, contributions
from ostinato.diagnosis.batches import not_finite
from ostinato.diagnosis.dynamics import jacobians, motion
from ostinato.diagnosis.evidence import given_away, losses, said_by_far_inputs
from ostinato.diagnosis.facts import facts_of
from ostinato.diagnosis.findings import Clock, Context, Findings, LayerFindings, StageFindings
from ostinato.diagnosis.flow import effective_memory, gradient_flow, untaught
from ostinato.diagnosis.judging import verdicts_of
from ostinato.diagnosis.numbers import numbers_of
from ostinato.diagnosis.padding import lengths_given, lengths_in, padding_leak
from ostinato.diagnosis.past import rows_of, went_apart
from ostinato.diagnosis.pictures import panels_of
from ostinato.diagnosis.rates import Rates, optimizer_of, range_test
from ostinato.diagnosis.result import Diagnosis, Fact, Verdict
from ostinato.diagnosis.stages import Run, Stage, find_stages, watched
from ostinato.diagnosis.subject import Subject, subject_of, undisturbed
from ostinato.diagnosis.treatments import treatments
from ostinato.diagnosis.units import look_at_units
from ostinato.diagnosis.walks import walks_of
from ostinato.errors import UsageError
from ostinato.tasks.base.steps import StepUnit

_PARTS, _LAYERS = 6, 8


def diagnose(
    model: Any,
    batch: Any = None,
    loss: Any = None,
    *,
    lengths: Any = None,
    history: Any = None,
    learning_rate: float | None = None,
    optimizer: Any = "adam",
    gradient_clip: float | None = None,
    coverage: Mapping[float, float] | None = None,
    answers: int = 1000,
    step: str | None = None,
    row: int = 0,
    output: int | None = None,
    max_seconds: float = 60.0,
    seed: int = 0,
) -> Diagnosis:
    """Find out why a model with recurrent layers learns or does not, in plain words with figures.

    Everything runs on a copy: the model, the batch and all generators of random numbers are as they were.

    Args:
        model: a `torch.nn.Module` with recurrent layers: those of `torch.nn` and `ostinato.nn`, cells in loops, cells
            in `ostinato.scan`; or a fitted estimator of ours, with `batch` its data.
        batch: what the loss is of; tens to hundreds of rows tell most. With a loss of outputs and targets, a pair
            `(inputs, targets)`; a tuple of inputs stands for several arguments.
        loss: of `(model, batch)`, or of `(outputs, targets)`, as those of `torch.nn` are; a tensor of one number.
        lengths: whole numbers `(rows,)`: the steps of each row that are no padding; found in the batch or in what a
            layer is given, where they are there.
        history: of the fit: ours, Keras's, rows, or two lists, the losses of training and of validation.
        learning_rate: that is used; `None`: it is not judged, but the range test is drawn.
        optimizer: `"adam"`, `"adamw"`, `"sgd"`, or the optimiser that is used.
        gradient_clip: greatest norm of the gradient in training; `None`: any.
        coverage: of intervals, by what they promise: `{0.8: 0.71}`.
        answers: on how many of them coverage was counted.
        step: how much time a step is, as `"15min"` or `"h"`; figures are then in it too.
        row: of the batch, that pictures are of.
        output: place among the numbers that are answered of that row, whose contributions are drawn; `None`: the
            largest.
        max_seconds: what is not measured by then is left out, with a sentence.
        seed: of what is drawn at random.

    Returns:
        Verdicts, figures and pictures; `print` shows it, `to_html` writes a page.

    Raises:
        UsageError: the model has no recurrent layer or no parameters; the batch has values that are NaN; the loss is no
            scalar; an argument is out of range.

    >>> import torch, ostinato
    >>> class Reader(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.rnn, self.head = torch.nn.GRU(2, 8, batch_first=True), torch.nn.Linear(8, 1)
    ...     def forward(self, xs):
    ...         return self.head(self.rnn(xs)[0][:, -1])
    >>> found = ostinato.diagnose(Reader(), (torch.randn(16, 30, 2), torch.randn(16, 1)), torch.nn.functional.mse_loss)
    >>> "vanishing" in found.kinds
    True
    """
    _check(max_seconds, row, seed)
    if not isinstance(model, nn.Module) and hasattr(model, "fitted_") and loss is None:
        from ostinato.diagnosis.fitted import diagnose_fitted

        return diagnose_fitted(model, batch, row=row, output=output, max_seconds=max_seconds, seed=seed)
    context = Context(
        title=_title(model),
        unit=_unit(step),
        history=rows_of(history),
        coverage=_coverage(coverage),
        answers=answers,
    )
    make, rate = optimizer_of(optimizer, learning_rate)
    given = lengths_given(lengths)
    clock = Clock(max_seconds)
    with undisturbed(seed):
        subject = subject_of(model, batch, loss)
        return measured(subject, context, clock, given, row, output, make, rate, gradient_clip)


def measured(
    subject: Subject,
    context: Context,
    clock: Clock,
    lengths: Tensor | None,
    row: int,
    output: int | None,
    make: Any,
    rate: float | None,
    clip: float | None,
) -> Diagnosis:
    """Measure everything and judge it."""
    stages, run = find_stages(subject, lengths_in(subject.told) if lengths is None else lengths)
    if not stages:
        raise UsageError(
            f"{type(subject.model).__name__} has no recurrent layer that the loss runs over two steps or more; "
            f"expected "
            "layers or cells of torch.nn or ostinato.nn, or a cell that is called step by step with its state"
        )
    if lengths is not None and all(not torch.equal(stage.lengths.cpu(), lengths) for stage in stages):
        shape = tuple(stages[0].xs.shape[:2])
        raise UsageError(
            f"there are {len(lengths)} lengths up to {int(lengths.max())}; the recurrent layer reads (steps, rows) "
            f"{shape}, so that as many lengths as rows are expected, none longer than the steps"
        )
    if not bool(torch.isfinite(run.loss)):
        return _not_finite(subject, context, clock, float(run.loss), stages)
    row = min(row, stages[0].xs.shape[1] - 1)
    findings = _findings(subject, context, clock, stages[:_PARTS], run, row, output, make, rate, clip)
    panels = clock.attempt("pictures", lambda: tuple(panels_of(findings, row)), share=math.inf) or ()
    return Diagnosis(
        context.title,
        verdicts_of(findings),
        facts_of(findings),
        panels,
        numbers_of(findings),
        tuple(clock.skipped),
        clock.spent(),
    )


def _findings(
    subject: Subject, context: Context, clock: Clock, stages: list[Stage], run: Run, row: int, output: int | None,
    make: Any,
    rate: float | None, clip: float | None,
) -> Findings:  # fmt: skip
    main = stages[0]
    plain = watched(subject, {}) if run.answer is None else run
    findings = Findings(
        context,
        [StageFindings(stage) for stage in stages],
        clock.attempt("losses of simple guesses", losses, subject, main, plain, share=math.inf) or _loss_alone(run),
        skipped=clock.skipped,
    )
    findings.answers = clock.attempt("answers", look_at_answers, subject, plain)
    for each, count in zip(findings.stages, clock.attempt("weights", untaught, subject, stages) or (), strict=False):
        each.untaught = count
    for place, each in enumerate(findings.stages):
        named = "" if len(stages) == 1 else f" of {each.stage.title}"
        each.flow = clock.attempt(f"gradients through time{named}", gradient_flow, subject, each.stage)
        if place == 0 or clock.left(0.3):
            left = lambda: clock.left(0.4)  # noqa: E731
            each.memory = clock.attempt(f"effective memory{named}", effective_memory, subject, each.stage, left)
        for walk in (clock.attempt(f"units{named}", walks_of, each.stage) or [])[:_LAYERS]:
            looked = LayerFindings(walk, look_at_units(walk), motion(walk))
            looked.jacobians = clock.attempt(f"Jacobians of {walk.name}", jacobians, walk, share=0.6)
            each.layers.append(looked)
    findings.leak = clock.attempt("padding", padding_leak, subject, main)
    findings.given = clock.attempt("leaks of the target", given_away, subject, main, findings.losses)
    flow = findings.main.flow
    if flow is not None and flow.reach < len(flow.norms) - 1 and findings.losses.learned:
        far = clock.attempt("inputs beyond the reach", said_by_far_inputs, subject, main, run, flow.reach)
        findings.far = math.nan if far is None else far
    findings.contributions = clock.attempt("contributions of steps", contributions, subject, main, row, output)
    findings.attention = clock.attempt("attention", attention_of, subject, main, row)
    findings.apart = went_apart(context.history)
    findings.rates = clock.attempt("learning rate", _rates, subject, make, rate, clip, clock)
    return findings


def _rates(subject: Subject, make: Any, rate: float | None, clip: float | None, clock: Clock) -> Rates | None:
    return range_test(subject, make, rate, clip, max(1.0, min(20.0, clock.seconds - clock.spent())))


def _loss_alone(run: Run) -> Any:
    from ostinato.diagnosis.evidence import Losses

    return Losses(float(run.loss), math.nan)


def _not_finite(subject: Subject, context: Context, clock: Clock, loss: float, stages: list[Stage]) -> Diagnosis:
    bad = not_finite(subject.batch)
    if bad:
        raise UsageError(f"{bad}, and so the loss is {loss}; clean the batch, or mask what is missing before the model")
    text = (
        f"All values of the batch are finite, and the loss is {loss}: what the model computes is too large for its "
        "numbers."
    )
    verdict = Verdict(
        "exploding", f"The loss is {loss}", text, treatments("exploding", context.options), loss, stages[0].title
    )
    facts = (Fact("loss on the batch", str(loss)),)
    return Diagnosis(context.title, (verdict,), facts, (), {"losses": {"model": loss}}, (), clock.spent())


def _check(max_seconds: float, row: int, seed: int) -> None:
    if isinstance(max_seconds, bool) or not isinstance(max_seconds, (int, float)) or not max_seconds > 0:
        raise UsageError(f"max_seconds is {max_seconds!r:.40}; expected a number above 0")
    for name, value in (("row", row), ("seed", seed)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise UsageError(f"{name} is {value!r:.40}; expected a whole number of 0 or more")


def _title(model: Any) -> str:
    if not isinstance(model, nn.Module):
        return type(model).__name__
    known = (each for each in model.parameters() if not torch.nn.parameter.is_lazy(each))
    count = sum(each.numel() for each in known if each.is_floating_point() or each.is_complex())
    return f"{type(model).__name__}, {count:,} weights"


def _unit(step: str | None) -> StepUnit:
    if step is None:
        return StepUnit()
    try:
        seconds = Frequency.parse(step).seconds
    except UsageError as error:
        raise UsageError(f'step is {step!r}; expected how much time a step is, such as "15min", "h" or "D"') from error
    return StepUnit("steps", seconds)


def _coverage(coverage: Mapping[float, float] | None) -> dict[float, float]:
    if coverage is None:
        return {}
    if not isinstance(coverage, Mapping):
        raise UsageError(
            f"coverage is {coverage!r:.60}; expected what intervals promise and what they cover: {{0.8: 0.71}}"
        )
    for promised, covered in coverage.items():
        for value in (promised, covered):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
                raise UsageError(f"coverage has {value!r:.40}; expected shares from 0 to 1, such as {{0.8: 0.71}}")
    return {float(promised): float(covered) for promised, covered in coverage.items()}
