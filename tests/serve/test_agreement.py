from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from methods import Artifact, Backbone
from registry import Move, Registry
from serve import report
from serve.config import ServeConfig
from serve.engine.agreement import PROBES, Agreement
from serve.engine.opening import opened
from serve.schemas import Input

from .conftest import QA, SAME, SENTIMENT, Publish
from .engines import numbers, run


def test_int8_says_how_far_it_agrees_and_serves_versions_of_the_float_backbone(
    config: ServeConfig, registry: Registry, make: Callable[..., Artifact], publish: Publish
) -> None:
    async def main() -> None:
        for seed, task in enumerate((SENTIMENT, SAME, QA)):
            publish(task.name, make(task, seed))
        publish("sentiment", make(SENTIMENT, 9, form="prefix"))
        registry.promote([Move(f"{task.name}:1") for task in (SENTIMENT, SAME, QA)], actor="ada")
        asked = [Input(prompt="sentiment", text="the film was very good")]
        async with opened(config) as engine:
            (whole,) = await engine.predict(asked)
            assert engine.agreement is None
        async with opened(replace(config, quantize="int8")) as engine:
            (found,) = await engine.predict(asked)
            said = report.status(engine)
            assert engine.agreement is not None
            assert engine.agreement.rows == 2 * len(PROBES)
            assert engine.agreement.same > len(PROBES)
            assert 0 < engine.agreement.largest < 0.2
            registry.promote([Move("sentiment:2")], actor="ada")
            await engine.follower.sync()
            assert (await engine.predict(asked))[0].version.reference == "sentiment:2"
        assert said.backbone["name"].endswith(" (int8)")
        assert said.backbone["agreement"] in list(report.greeting("http://x", said, 3))
        assert 0 < abs(numbers(found)[0] - numbers(whole)[0]) < 0.2

    run(main())


def test_agreement_reads_as_a_sentence() -> None:
    said = "int8: 15 of 16 probe rows keep their label; the largest change of a score is 0.022"
    assert str(Agreement(16, 15, 0.0219)) == said
    assert str(Agreement(0, 0, 0.0)) == "int8: there is no prompt yet to compare answers with"


def test_prompts_that_were_promoted_before_int8_and_after_it_answer_alike(
    config: ServeConfig,
    registry: Registry,
    make: Callable[..., Artifact],
    publish: Publish,
    speaker: Backbone,
    speaker_folder: Path,
) -> None:
    """Keys and values of a decoder's soft prompt are computed by the backbone that answers."""
    task = replace(SENTIMENT, name="after")

    async def main() -> None:
        publish("sentiment", make(SENTIMENT, 1, backbone=speaker))
        publish("after", make(task, 1, backbone=speaker))
        registry.promote([Move("sentiment:1")], actor="ada")
        async with opened(replace(config, quantize="int8", backbone=str(speaker_folder))) as engine:
            registry.promote([Move("after:1")], actor="ada")
            await engine.follower.sync()
            rows = [Input(prompt=name, text="the film was very good") for name in ("sentiment", "after")]
            before, after = await engine.predict(rows)
            assert numbers(before) == numbers(after)

    run(main())
