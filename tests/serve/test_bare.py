"""`none`: the backbone without a prompt."""

from collections.abc import Callable

import pytest
import torch

from methods import Artifact, Backbone
from registry import Move, Registry
from serve import errors
from serve.schemas import FeedbackRequest, Input

from .conftest import STORY, Publish
from .engines import engine_of, run

TEXT = "the old bridge"


def test_none_goes_on_where_the_text_ends_as_the_model_alone_does(speaker: Backbone, registry: Registry) -> None:
    ids = speaker.tokenizer(TEXT, return_tensors="pt")["input_ids"]
    lm = speaker.language_model()
    for _ in range(32):  # the longest answer, token by token without a cache
        with torch.no_grad():
            ids = torch.cat([ids, lm(ids).logits[:, -1:].argmax(-1)], dim=1)
    new = ids[0, len(speaker.tokenizer(TEXT)["input_ids"]) :].tolist()
    end = speaker.tokenizer.eos_token_id
    expected = speaker.tokenizer.decode(new[: new.index(end)] if end in new else new, skip_special_tokens=True)

    async def main() -> None:
        async with engine_of(speaker, registry) as engine:
            (said,) = await engine.predict([Input(prompt="none", text=TEXT)])
        assert said.answer.text == expected  # pyright: ignore[reportAttributeAccessIssue] - a generated answer
        assert said.version.reference == "none"
        assert said.version.digest == f"sha256:{speaker.fingerprint.weights}"

    run(main())


def test_none_answers_beside_prompts_in_one_request(
    speaker: Backbone, registry: Registry, make: Callable[..., Artifact], publish: Publish
) -> None:
    publish("story", make(STORY, 1, backbone=speaker))
    registry.promote([Move("story:1")], actor="ada")
    rows = [Input(prompt=prompt, text=TEXT) for prompt in ("none", "story", "none")]

    async def main() -> None:
        async with engine_of(speaker, registry) as engine:
            first, second, third = await engine.predict(rows)
            (alone,) = await engine.predict(rows[:1])
        assert first.answer == third.answer == alone.answer != second.answer

    run(main())


def test_none_of_a_backbone_that_says_nothing_is_refused(tiny: Backbone, registry: Registry) -> None:
    async def main() -> None:
        async with engine_of(tiny, registry) as engine:
            with pytest.raises(
                errors.Invalid, match="row 0: none is the backbone without a prompt, which here"
            ) as caught:
                await engine.predict([Input(prompt="none", text=TEXT)])
            assert str(caught.value).endswith("generates no text")
            assert caught.value.hint.startswith("ask a prompt")

    run(main())


@pytest.mark.parametrize("reference", ["none:1", "none@staging", "none@sha256:00000000"])
def test_none_has_no_versions(speaker: Backbone, registry: Registry, reference: str) -> None:
    async def main() -> None:
        async with engine_of(speaker, registry) as engine:
            with pytest.raises(errors.NotFound, match="unknown prompt 'none'"):
                await engine.predict([Input(prompt=reference, text=TEXT)])

    run(main())


def test_nobody_corrects_the_backbone(speaker: Backbone, registry: Registry) -> None:
    async def main() -> None:
        async with engine_of(speaker, registry) as engine:
            with pytest.raises(errors.Invalid, match="prompt 'none' answers generation rows"):
                await engine.correction(FeedbackRequest(prompt="none", text=TEXT, label="good"), True)

    run(main())
