"""Numbers of a running server: what is counted, what it is called, and that none of it is a row."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from methods import Artifact, Backbone
from registry import Move, Registry
from serve.api import create_app
from serve.config import ServeConfig
from serve.metrics import metrics
from serve.metrics.meters import Instrument, Meter, PrometheusMeter, RayMeter
from serve.metrics.metrics import Metrics
from serve.metrics.observer import SILENT, Observer
from serve.metrics.traffic import Window
from serve.schemas import FeedbackStatus

from .conftest import QA, SENTIMENT, STORY, TOPIC, Publish
from .engines import run

CANARY = "zebrafinch-7719"
INSTRUMENTS = [value for value in vars(metrics).values() if isinstance(value, Instrument)]


@asynccontextmanager
async def asking(config: ServeConfig) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(config)
    asked = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")
    async with app.router.lifespan_context(app), asked as client:
        yield client


def numbers(text: str) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels, in the order of their names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def scraped(client: httpx.AsyncClient) -> dict[tuple[str, ...], float]:
    response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    return numbers(response.text)


def test_requests_rows_phases_batches_and_the_bank_are_counted(
    config: ServeConfig, registry: Registry, make: Callable[..., Artifact], publish: Publish
) -> None:
    publish("sentiment", make(SENTIMENT, 1))
    publish("sentiment", make(SENTIMENT, 2))
    publish("qa", make(QA, 3))
    registry.promote([Move("sentiment:1"), Move("qa:1")], actor="ada")
    registry.promote([Move("sentiment:2", percent=10)], actor="ada")
    row = {"prompt": "sentiment:1", "text": f"the film was {CANARY}"}
    asked = {"prompt": "qa", "question": "which", "context": "the bridge was red"}

    async def main() -> None:
        async with asking(config) as client:
            before = await scraped(client)
            assert (await client.post("/v1/predict", json={"inputs": [row, row, asked]})).status_code == 200
            assert (await client.post("/v1/predict", json=row | {"prompt": CANARY})).status_code == 404
            assert (await client.get(f"/{CANARY}")).status_code == 404
            response = await client.get("/metrics")
            assert CANARY not in response.text
            after = numbers(response.text)
        grown = {key: value - before.get(key, 0) for key, value in after.items() if value != before.get(key, 0)}
        assert grown["promptctl_requests_total", "200", "/v1/predict"] == 1
        assert grown["promptctl_requests_total", "404", "/v1/predict"] == 1
        assert grown["promptctl_requests_total", "404", "other"] == 1
        assert grown["promptctl_requests_total", "200", "/metrics"] == 1  # the one before
        assert grown["promptctl_rows_total", "classification"] == 2
        assert grown["promptctl_rows_total", "span-qa"] == 1
        phases = {phase: grown["promptctl_latency_seconds_count", phase] for phase in ("total", "encode", "queue")}
        assert phases == {"total": 1, "encode": 1, "queue": 3}
        batches = grown["promptctl_latency_seconds_count", "forward"]
        assert 1 <= batches <= 3
        assert grown["promptctl_batch_rows_count",] == grown["promptctl_batch_fill_ratio_count",] == batches
        assert grown["promptctl_batch_rows_sum",] == 3
        assert 0 < grown["promptctl_batch_fill_ratio_sum",] < 1
        assert grown["promptctl_bank_hits_total",] == 2  # sentiment:1 and qa:1 were loaded when they were promoted
        assert after["promptctl_bank_loads_total",] == 3
        assert after["promptctl_bank_bytes",] > 0
        assert after["promptctl_epoch",] == registry.epoch() == 2
        assert after["promptctl_alias_version", "production", "sentiment"] == 1
        assert after["promptctl_alias_candidate_percent", "production", "sentiment"] == 10
        assert after["promptctl_alias_candidate_percent", "production", "qa"] == 0

    run(main())


def test_corrections_and_loads_that_fail_are_counted(
    config: ServeConfig, registry: Registry, make: Callable[..., Artifact], publish: Publish
) -> None:
    publish("sentiment", make(SENTIMENT, 1))
    registry.publish("broken", b"no artifact", {}, idempotency_key="b", actor="ada")
    registry.promote([Move("sentiment:1"), Move("broken:1")], actor="ada")

    async def main() -> None:
        async with asking(config) as client:
            correction = {"prompt": "sentiment", "text": "dull", "label": "negative"}
            for _ in range(2):
                assert (await client.post("/v1/feedback", json=correction)).status_code == 200
            found = await scraped(client)
            again = await scraped(client)
        assert found["promptctl_feedback_total", "accepted"] == again["promptctl_feedback_total", "accepted"] == 2
        assert found["promptctl_feedback_waiting",] == 2
        assert found["promptctl_bank_load_failures_total",] >= 1
        assert found["promptctl_refused_versions",] == 1

    run(main())


def test_what_is_generated_is_counted_also_where_it_is_streamed(
    config: ServeConfig,
    registry: Registry,
    make: Callable[..., Artifact],
    publish: Publish,
    speaker: Backbone,
    speaker_folder: Path,
) -> None:
    publish("story", make(STORY, 1, backbone=speaker))
    registry.promote([Move("story:1")], actor="ada")

    async def main() -> None:
        async with asking(replace(config, backbone=str(speaker_folder))) as client:
            before = await scraped(client)
            assert (await client.post("/v1/predict", json={"prompt": "story", "text": "once"})).status_code == 200
            once = await scraped(client)
            asked = {"model": "story", "prompt": "once", "stream": True, "temperature": 0}
            assert (await client.post("/v1/completions", json=asked)).text.rstrip().endswith("[DONE]")
            twice = await scraped(client)
        for name, n in ((("promptctl_rows_total", "generation"), 1), (("promptctl_latency_seconds_count", "total"), 1)):
            assert [once[name] - before.get(name, 0), twice[name] - once[name]] == [n, n]
        tokens = ("promptctl_generated_tokens_total",)
        assert once[tokens] > before[tokens]
        assert twice[tokens] > once[tokens]

    run(main())


def test_only_so_many_aliases_have_numbers_of_their_own(
    config: ServeConfig,
    registry: Registry,
    make: Callable[..., Artifact],
    publish: Publish,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics, "MOST_ALIASES", 2)
    for name in ("c", "a", "b"):
        publish(name, make(TOPIC, ord(name)))
    registry.promote([Move("a:1"), Move("b:1"), Move("c:1")], actor="ada")

    async def main() -> None:
        async with asking(config) as client:
            found = await scraped(client)
        assert {key[2] for key in found if key[0] == "promptctl_alias_version"} == {"a", "b"}

    run(main())


def test_one_request_too_many_is_a_rejected_one() -> None:
    meter, window = PrometheusMeter(), Window()
    seen = Metrics(meter, window)
    for code in (200, 429, 503, 429):
        seen.requested("/v1/predict", code, 0.1)
    assert numbers(meter.text().decode())["promptctl_rejected_total",] == 2
    assert window.traffic().rejected == 2


def test_the_window_shows_the_last_ten_seconds_and_the_latest_latencies() -> None:
    now = [100.0]
    window = Window(lambda: now[0])
    assert window.traffic().model_dump(exclude={"process"}) == {
        **{"requests": 0, "rows": 0, "rejected": 0, "rows_per_s": 0.0, "p50_s": None, "p99_s": None}
    }
    for second in range(30):
        now[0] = 100.5 + second
        window.add(4, second / 100)
    seen = window.traffic()
    assert (seen.requests, seen.rows) == (30, 120)
    assert seen.rows_per_s == 4.0  # 10 full seconds with 4 rows each, of 10 seconds
    assert (seen.p50_s, seen.p99_s) == (0.14, 0.29)  # the 15th and the 30th of 0.00, 0.01 ... 0.29
    now[0] = 134.0  # of the seconds 124 to 133, six had rows
    assert window.traffic().rows_per_s == 2.4
    now[0] = 200.0
    assert window.traffic().rows_per_s == 0.0


@pytest.mark.parametrize("instrument", INSTRUMENTS, ids=lambda one: one.name)
def test_names_follow_the_conventions(instrument: Instrument) -> None:
    assert instrument.name.startswith("promptctl_")
    assert instrument.help.endswith(".")
    if instrument.buckets:
        assert instrument.name.endswith(("_seconds", "_rows", "_ratio"))
        assert list(instrument.buckets) == sorted(set(instrument.buckets))
    assert set(instrument.labels) <= {"route", "code", "kind", "phase", "prompt", "alias", "outcome"}


@pytest.mark.parametrize("meter", [PrometheusMeter, RayMeter])
def test_every_instrument_works_on_either_meter(meter: Callable[[], Meter]) -> None:
    """Without a cluster Ray's metrics are kept and go nowhere, but are checked as they would be."""
    seen: Observer = Metrics(meter(), Window())
    seen.requested("/v1/predict", 429, 0.1)
    seen.answered({"pair": 2}, 0.1)
    seen.encoded(2, 0.1)
    seen.waited(0.1)
    seen.ran(2, 64, 2048, 0.1)
    seen.spoke(7)
    seen.found()
    seen.loaded(0.1)
    seen.failed()
    waiting: dict[str, Any] = dict.fromkeys(FeedbackStatus.model_fields, 1)
    feedback = FeedbackStatus(**waiting | {"waiting_by_prompt": {"a": 1}, "uncounted_reason": None})
    for _ in range(2):
        seen._feedback(feedback)  # pyright: ignore[reportAttributeAccessIssue] - `state` takes a whole engine


def test_a_counter_that_is_told_totals_never_falls() -> None:
    meter, what = PrometheusMeter(), Instrument("promptctl_told_total", "Told.", ("outcome",))
    for total in (0, 3, 3, 1, 5):
        meter.reach(what, total, outcome="lost")
    meter.reach(what, 2, outcome="learned")
    found = numbers(meter.text().decode())
    assert found == {("promptctl_told_total", "lost"): 5, ("promptctl_told_total", "learned"): 2}


def test_who_tells_nobody_takes_every_call() -> None:
    calls = [name for name in vars(Observer) if not name.startswith("_")]
    assert all(hasattr(SILENT, name) for name in calls)
    assert {name for name in calls if not hasattr(Metrics, name)} == set()


def test_a_server_that_is_cancelled_counts_the_request() -> None:
    from serve.metrics.metered import Metered

    seen: list[tuple[str, int]] = []

    class Told:
        def requested(self, route: str, code: int, seconds: float) -> None:
            seen.append((route, code))

    async def never(scope: object, receive: object, send: object) -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        app = Metered(never, Told())  # pyright: ignore[reportArgumentType] - the one call that it makes
        asked = asyncio.create_task(app({"type": "http"}, None, None))  # pyright: ignore[reportArgumentType] - unused
        await asyncio.sleep(0.01)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        assert seen == [("other", 500)]

    run(main())
