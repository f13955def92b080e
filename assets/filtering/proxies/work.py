"""State the work of a proxy run from its size alone, so that a design does not depend on a machine's load."""

from __future__ import annotations

from assets.filtering.proxies.data import ProxyData
from assets.filtering.proxies.settings import ProxySettings
from assets.filtering.proxies.spec import RunSpec


def work_per_record(data: ProxyData, settings: ProxySettings) -> float:
    """Return multiply-add operations of training on one record once."""
    if data.kind == "head" and data.embedding is not None and data.label is not None:
        classes = len({value for value in data.label if value is not None})
        # a step of a tiny matrix is all overhead: 20 microseconds a record at the stated rate
        return float(max(6.0 * data.embedding.shape[1] * classes, 1.2e5))
    return settings.bytes_per_record * settings.flops_per_byte


def evaluation_work(data: ProxyData, settings: ProxySettings, records: int) -> float:
    """Return operations of one evaluation on ``records``: a forward pass, a third of a step."""
    return records * work_per_record(data, settings) / 3.0


def work_of(spec: RunSpec, data: ProxyData, settings: ProxySettings) -> float:
    """Return operations of one whole run, its evaluation included; 0 without a proxy."""
    if spec.proxy is None:
        return 0.0
    trained = spec.samples * work_per_record(data, settings)
    return trained + evaluation_work(data, settings, len(spec.evaluation_ids))
