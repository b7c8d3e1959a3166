"""What was seen, as Prometheus reads it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from flows.monitoring.looks import Look, Looker
from onerun.domain.monitoring import series
from onerun.domain.monitoring.series import Histogram, Samples, Series
from onerun.domain.monitoring.stores import merged

FAMILIES: Mapping[str, Any] = {
    "gauge": GaugeMetricFamily,
    "counter": CounterMetricFamily,
    "histogram": GaugeHistogramMetricFamily,
}


class Exposition(Collector):
    """All series of the last looks. Being scraped costs the store nothing."""

    def __init__(self, trainings: Looker, others: Sequence[Looker], window: float) -> None:
        """Take the looks whose results are shown.

        Args:
            trainings: the look that shows whether the store answers.
            window: in seconds.
        """
        self._trainings, self._all, self._window = trainings, (trainings, *others), window

    def describe(self) -> Iterator[Metric]:
        """Yield every series, without samples."""
        for each in series.ALL:
            yield FAMILIES[each.kind](each.name, each.says, labels=each.labels)

    def collect(self) -> Iterator[Metric]:
        """Yield the series that have samples now."""
        for each, samples in self.samples().items():
            family = FAMILIES[each.kind](each.name, each.says, labels=each.labels)
            for labels, value in samples:
                family.add_metric(labels, *(value if isinstance(value, Histogram) else [value]))
            yield family

    def samples(self) -> Samples:
        """Return what was seen, and how the looks went; nothing of a look before it was taken."""
        looks = {each.name: each.last for each in self._all if each.last is not None}
        own: Samples = {series.WINDOW: [((), self._window)]}
        if self._trainings.last is not None:
            own = {series.UP: [((), float(not self._trainings.last.failure))], **own}
        return merged([own, *(_of_look(name, look) for name, look in looks.items())])


def _of_look(name: str, look: Look) -> Samples:
    worked = [((name,), look.at)] if look.at else []
    return {
        **look.samples,
        series.LOOK_UP: [((name,), float(not look.failure))],
        series.LOOK_SECONDS: [((name,), look.seconds)],
        series.LOOK_AT: worked,
        series.LOOKS: [((name, "worked"), look.worked), ((name, "failed"), look.failed)],
    }


def as_json(samples: Samples) -> list[dict[str, Any]]:
    """Return the samples as plain values."""
    return [
        {
            "name": each.name,
            "labels": dict(zip(each.labels, labels, strict=True)),
            "value": {"buckets": dict(value.buckets), "sum": value.total}
            if isinstance(value, Histogram)
            else value,
        }
        for each, found in samples.items()
        for labels, value in found
    ]


def names_of(each: Series) -> list[str]:
    """Return the names under which Prometheus keeps the series."""
    histogram = [f"{each.name}_{suffix}" for suffix in ("bucket", "gcount", "gsum")]
    return histogram if each.kind == "histogram" else [each.name]
