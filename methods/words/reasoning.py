"""A language model that thinks before it answers, and the answer in what it says.

Zero-shot (Kojima et al., 2022, section 3.1): it is asked twice, first for its thoughts, then, behind them, for the
answer. Few-shot (Wei et al., 2022): once, behind demonstrations that think. What counts as the answer follows the
former's code, but for case, which uncased tokenizers do not keep; that code also puts a space before the line break in
front of the second trigger, where we put none.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from ..heads.generation import GenerationHead
from ..heads.reasoning import ReasoningHead
from ..rows.text_prompt import Reasoning
from ..runtime.backbone import Backbone
from .demonstrations import DIVIDER

if TYPE_CHECKING:
    from ..rows.encoding import Example
    from ..rows.task import Task

# What is said after examples: the places of the rows that are asked, their examples, how many tokens at the most.
Speak: TypeAlias = "Callable[[Sequence[int], Sequence[Example], int], list[list[int]]]"

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def reasoned(
    backbone: Backbone, heads: Sequence[GenerationHead], examples: "Sequence[Example]", speak: Speak
) -> list[list[int]]:
    """The tokens of each row's answer; a row that thinks zero-shot is asked a second time, behind its thoughts.

    Rows are asked together with those of the same limit, so that none goes on past what its backbone reads.
    """
    every = range(len(examples))
    said = _said(every, examples, [head.limit for head in heads], speak)
    thinking = [(place, head) for place, head in zip(every, heads, strict=True) if isinstance(head, ReasoningHead)]
    places = [place for place, _ in thinking]
    again = [asked_again(backbone, head, examples[place], said[place]) for place, head in thinking]
    answers = _said(places, again, [head.answer_limit for _, head in thinking], speak)
    for place, answer in zip(places, answers, strict=True):
        said[place] = answer
    return said


def second_trigger(backbone: Backbone, reasoning: Reasoning) -> list[int]:
    """The tokens that ask for the answer behind a zero-shot prompt's thoughts."""
    return backbone.tokenizer(f"\n{reasoning.answer_trigger}", add_special_tokens=False)["input_ids"]


def tokens_behind(backbone: Backbone, task: "Task") -> int:
    """How many tokens a backbone must have room for behind what it first reads of a row."""
    prompt = task.text_prompt
    if prompt is None or task.kind != "generation":
        return 0
    answer = prompt.limit if backbone.architecture == "decoder" else 0
    match prompt.reasoning:
        case Reasoning(shots="zero-shot", limit=limit):
            return limit + len(second_trigger(backbone, prompt.reasoning)) + answer
        case Reasoning(limit=limit):
            return limit if backbone.architecture == "decoder" else 0
        case None:
            return answer


def extracted(task: "Task", said: str) -> str:
    """The answer in what a language model said; empty where there is none.

    It ends where the next demonstration would begin. Behind the trigger the first number or label counts; where a
    few-shot prompt brought no trigger about, the last one does.
    """
    said = said.strip()
    prompt = task.text_prompt
    if prompt is None:
        return said
    if prompt.demonstrations:
        said = said.partition(DIVIDER)[0]
    if prompt.reasoning is None:
        return said.removesuffix(prompt.templates[0].partition("{mask}")[2].strip()).rstrip()
    before, *behind = re.split(re.escape(prompt.reasoning.answer_trigger), said, flags=re.IGNORECASE)
    last = behind[-1] if behind else before
    found = _candidates(task, prompt.reasoning, last)
    first = behind or prompt.reasoning.shots == "zero-shot"
    return (found[0] if first else found[-1]) if found else ""


def _candidates(task: "Task", reasoning: Reasoning, said: str) -> list[str]:
    match reasoning.extract:
        case "number":
            return _NUMBER.findall(said.replace(",", ""))
        case "label":
            labels = sorted(task.labels, key=len, reverse=True)
            either = "|".join(f"({re.escape(label)})" for label in labels)
            found = re.finditer(rf"(?<!\w)(?:{either})(?!\w)", said, re.IGNORECASE)
            return [labels[(match.lastindex or 1) - 1] for match in found]
        case "text":
            return [said.strip().partition("\n")[0].strip().removesuffix(".")]


def asked_again(backbone: Backbone, head: ReasoningHead, example: "Example", thoughts: Sequence[int]) -> "Example":
    """The first example, the thoughts that were said to it, and the second trigger, which asks for the answer."""
    end = len(example.input_ids) - backbone.closes
    ids = [*example.input_ids[:end], *thoughts, *head.trigger, *example.input_ids[end:]]
    return replace(example, input_ids=ids, token_type_ids=[0] * len(ids))


def _said(places: Sequence[int], examples: "Sequence[Example]", limits: Sequence[int], speak: Speak) -> list[list[int]]:
    said: list[list[int]] = [[] for _ in places]
    for limit in sorted(set(limits)):
        chosen = [index for index, own in enumerate(limits) if own == limit]
        answers = speak([places[index] for index in chosen], [examples[index] for index in chosen], limit)
        for index, ids in zip(chosen, answers, strict=True):
            said[index] = ids
    return said
