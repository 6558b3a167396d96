"""How good a task's answers are.

Accuracy; of answers in words SQuAD's exact match and F1 (Rajpurkar et al., 2016, section 6.1); of tags the F1 over
whole entities (Tjong Kim Sang and De Meulder, 2003, section 3.1).
"""

import string
from collections import Counter
from collections.abc import Mapping, Sequence

from .artifact import Artifact
from .errors import InvalidSetting
from .prediction import Answer, Chosen, Classified, Generated, Output, Span, Tagged, answer, predict
from .rows.batches import micro_batches
from .rows.encoding import Example
from .rows.task import Row, Task
from .runtime.backbone import Backbone


def main_metric(task: Task) -> str:
    """The metric a task is judged by; higher is better, between 0 and 1."""
    return "f1" if task.kind in ("span-qa", "tagging", "generation") else "accuracy"


def answers(
    backbone: Backbone, artifact: Artifact, rows: Sequence[Row], encoded: Sequence[list[Example]]
) -> list[Answer]:
    """Answer rows offline, in micro-batches of similar length."""
    items = [(place, example) for place, examples in enumerate(encoded) for example in examples]
    outputs: list[list[Output]] = [[] for _ in rows]
    by_item: list[Output | None] = [None] * len(items)
    for group in micro_batches([example.length for _, example in items]):
        for index, output in zip(group, predict(backbone, [(artifact, items[i][1]) for i in group]), strict=True):
            by_item[index] = output
    for (place, _), output in zip(items, by_item, strict=True):
        if output is not None:
            outputs[place].append(output)
    return [answer(backbone, artifact, *triple) for triple in zip(rows, encoded, outputs, strict=True)]


def totals(task: Task, rows: Sequence[Row], given: Sequence[Answer]) -> dict[str, float]:
    """Sums over rows, so that workers can add theirs up; `means` turns them into metrics."""
    sums = {"rows": float(len(rows))} | dict.fromkeys(_COUNTS.get(task.kind, ("accuracy",)), 0.0)
    for row, one in zip(rows, given, strict=True):
        for name, value in score(row, one).items():
            sums[name] += value
    return sums


_COUNTS: Mapping[str, tuple[str, ...]] = {
    "span-qa": ("f1", "exact_match"),
    "generation": ("f1", "exact_match"),
    "tagging": ("right", "given", "gold"),
}


def score(row: Row, given: Answer) -> dict[str, float]:
    """One row's metrics, each between 0 and 1; of tags, how many entities are right, given and in truth there."""
    match given:
        case Classified(label):
            return {"accuracy": float(label == row.label)}
        case Chosen(choice):
            return {"accuracy": float(choice == row.label)}
        case Tagged(tags):
            ours, truth = entities(tags), entities(row.tags)
            return {"right": float(len(ours & truth)), "given": float(len(ours)), "gold": float(len(truth))}
        case Span(text):
            return _in_words(text, row.answers)
        case Generated(text):
            return _in_words(text, (row.target or "",))


def _in_words(text: str, golds: Sequence[str]) -> dict[str, float]:
    if not golds:
        raise InvalidSetting("a span-qa row without an answer cannot be scored")
    scores = [_overlap(_normalized(text), _normalized(gold)) for gold in golds]
    return {"f1": max(f1 for f1, _ in scores), "exact_match": max(float(same) for _, same in scores)}


def entities(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """Kind, first and last word of every entity in B-, I- and O tags; an I- that continues nothing begins one."""
    found: set[tuple[str, int, int]] = set()
    open_kind, first = "", 0
    for word, tag in enumerate([*tags, "O"]):
        kind = tag.partition("-")[2] if tag != "O" else ""
        if open_kind and (tag.startswith("B-") or kind != open_kind):
            found.add((open_kind, first, word - 1))
            open_kind = ""
        if kind and not open_kind:
            open_kind, first = kind, word
    return found


def _normalized(text: str) -> list[str]:
    """Words in lower case, without punctuation and articles, as the task's own evaluation script has them."""
    kept = "".join(character for character in text.lower() if character not in string.punctuation)
    return [word for word in kept.split() if word not in ("a", "an", "the")]


def _overlap(given: list[str], gold: list[str]) -> tuple[float, bool]:
    """F1 over words counted with their repeats, and whether both are the same."""
    common = (Counter(given) & Counter(gold)).total()
    if not (given and gold):
        return float(given == gold), given == gold
    return 2 * common / (len(given) + len(gold)), given == gold


def means(sums: Mapping[str, float]) -> dict[str, float]:
    """Totals to metrics."""
    if "gold" in sums:
        right, given, gold = (sums[name] for name in ("right", "given", "gold"))
        found = {"precision": right / given if given else 0.0, "recall": right / gold if gold else 0.0}
        return {"f1": 2 * right / (given + gold) if given + gold else 1.0} | found
    return {name: value / sums["rows"] for name, value in sums.items() if name != "rows"}
