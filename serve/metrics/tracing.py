"""OpenTelemetry spans of requests, encodings and batches: counts and seconds, never a word of a row. Off by default."""

import os
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class Trace(Protocol):
    """Is told of a step that ends now."""

    def __call__(self, name: str, seconds: float, **said: str | int) -> None:
        """It took that long; `said` are counts, and the route as the application names it."""
        ...


def untraced(name: str, seconds: float, **said: str | int) -> None:
    """Tells nobody."""


def traced() -> Trace:
    """Spans for the collector that the OTLP variables name, if its exporter is installed here; else none."""
    if not any(os.environ.get(name) for name in ENDPOINTS):
        return untraced
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # pyright: ignore[reportMissingImports] - who wants traces installs it
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        return untraced
    provider = TracerProvider(resource=Resource.create({"service.name": "promptctl"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return spans(provider)


def spans(provider: "TracerProvider") -> Trace:
    """Spans of a provider; a batch answers many requests, so that none is the parent of another."""
    tracer = provider.get_tracer("promptctl")

    def trace(name: str, seconds: float, **said: str | int) -> None:
        end_ns = time.time_ns()
        span = tracer.start_span(name, start_time=end_ns - int(seconds * 1e9), attributes=said)
        span.end(end_ns)

    return trace
