from collections.abc import Callable
from dataclasses import replace

from methods import Artifact, Backbone, GenerationHead
from methods.heads import ReasoningHead
from serve.engine.shortened import shortened
from serve.routing.snapshot import Served

from .conftest import SENTIMENT, STORY, Publish


def test_an_answer_is_shortened_and_never_lengthened(
    make: Callable[..., Artifact], publish: Publish, speaker: Backbone
) -> None:
    artifact = make(STORY, backbone=speaker)
    story = Served(publish("story", artifact), artifact, STORY)

    def limit(served: Served, most: int | None) -> tuple[int, int]:
        head = shortened(served, most).artifact.head
        assert isinstance(head, GenerationHead)
        return head.limit, head.answer_limit if isinstance(head, ReasoningHead) else 0

    assert [limit(story, most) for most in (None, 5, 32, 99)] == [(32, 0), (5, 0), (32, 0), (32, 0)]
    thinking = replace(story, artifact=replace(artifact, head=ReasoningHead(limit=64, answer_limit=16)))
    assert [limit(thinking, most) for most in (None, 5, 99)] == [(64, 16), (64, 5), (64, 16)]  # thoughts stay as long


def test_what_does_not_generate_is_left_as_it_is(make: Callable[..., Artifact], publish: Publish) -> None:
    artifact = make(SENTIMENT)
    served = Served(publish("sentiment", artifact), artifact, SENTIMENT)
    assert shortened(served, 1) is served
