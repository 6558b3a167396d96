"""Versions that say less than they might, because who asks wants no more."""

from dataclasses import replace

from methods import GenerationHead
from methods.heads import ReasoningHead

from ..routing.snapshot import Served


def shortened(served: Served, most: int | None) -> Served:
    """The version with answers of at most so many tokens; thoughts before an answer are as long as ever."""
    head = served.artifact.head
    if most is None or not isinstance(head, GenerationHead):
        return served
    if isinstance(head, ReasoningHead):
        shorter = replace(head, answer_limit=min(most, head.answer_limit))
    else:
        shorter = replace(head, limit=min(most, head.limit))
    return replace(served, artifact=replace(served.artifact, head=shorter))
