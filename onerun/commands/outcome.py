"""The result of a training as a person reads it at the end."""

from collections.abc import Mapping, Sequence

from onerun.config.evaluation import GREATER_IS_BETTER
from onerun.engine.result import TrainingResult


def outcome_lines(result: TrainingResult, links: Mapping[str, str]) -> list[str]:
    """Return the metrics beside baseline and champion, the gates, what became of the alias, and the links."""
    others = {"baseline": result.baseline_metrics, "champion": result.champion_metrics or {}}
    lines = ["", *metrics_table(result.metrics, others), ""]
    for gate in result.gates:
        verdict = "passed" if gate.held else "FAILED"
        lines.append(f"  {verdict:<7} {gate.rule}: {gate.reason}")
    verb = "moved to" if result.promoted else "stays; made"
    version = f"{result.model} version {result.version}"
    lines += [f"  {result.alias} {verb} {version}: {result.reason}", ""]
    return lines + [f"  {name:<8} {link}" for name, link in links.items()]


def metrics_table(
    metrics: Mapping[str, float], others: Mapping[str, Mapping[str, float]]
) -> list[str]:
    """Return the lines of a table: each metric beside the others', and the change against the last of them."""
    shown = {name: values for name, values in others.items() if values}
    lines = [f"  {'':<22}{'this model':>14}" + "".join(f"{name:>14}" for name in shown)]
    for metric, value in metrics.items():
        cells = "".join(f"{number(values.get(metric)):>14}" for values in shown.values())
        change = _change(metric, value, list(shown.values()))
        lines.append(f"  {metric:<22}{number(value):>14}{cells}{change}")
    return lines


def number(value: float | None) -> str:
    """Return four significant digits, thousands apart; a dash for no value."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def _change(metric: str, value: float, others: Sequence[Mapping[str, float]]) -> str:
    """Return the difference of a score, or the relative difference of a loss, and which way it goes."""
    other = others[-1].get(metric) if others else None
    if not other or value == other:
        return ""
    is_better = (value > other) == (metric in GREATER_IS_BETTER)
    change = f"{(value - other) / abs(other):+.1%}"
    if metric in GREATER_IS_BETTER:
        change = f"{value - other:+.4f}"
    return f"   {change} {'better' if is_better else 'worse'}"
