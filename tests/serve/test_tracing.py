"""Spans hold counts and seconds, and there are none unless somebody asks for them."""

import builtins
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from serve.metrics.meters import PrometheusMeter
from serve.metrics.metrics import Metrics
from serve.metrics.tracing import ENDPOINTS, spans, traced, untraced
from serve.metrics.traffic import Window


def test_a_span_has_its_seconds_and_its_counts() -> None:
    kept = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    seen = Metrics(PrometheusMeter(), Window(), spans(provider))
    seen.requested("/v1/predict", 200, 0.5)
    seen.encoded(3, 0.25)
    seen.ran(2, 64, 2048, 0.125)
    request, encode, forward = kept.get_finished_spans()
    assert [span.name for span in (request, encode, forward)] == ["request", "encode", "forward"]
    assert [(span.end_time or 0) - (span.start_time or 0) for span in (request, encode, forward)] == [
        *(500_000_000, 250_000_000, 125_000_000),
    ]
    assert dict(request.attributes or {}) == {"route": "/v1/predict", "code": 200}
    assert dict(encode.attributes or {}) == {"rows": 3}
    assert dict(forward.attributes or {}) == {"rows": 2, "tokens": 64}
    assert all(span.parent is None for span in (request, encode, forward))


def test_there_are_none_without_an_endpoint_or_without_the_exporter(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    assert traced() is untraced
    monkeypatch.setenv(ENDPOINTS[0], "http://127.0.0.1:9/v1/traces")
    asked: list[str] = []
    real = builtins.__import__

    def without(name: str, *given: Any, **more: Any) -> Any:
        if name.startswith("opentelemetry.exporter.otlp"):
            asked.append(name)
            raise ImportError(name)
        return real(name, *given, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    assert traced() is untraced
    assert len(asked) == 1
