"""How good a task's answers are: accuracy, or SQuAD's exact match and F1 (Rajpurkar et al., 2016, section 6.1)."""

import string
from collections import Counter
from collections.abc import Mapping, Sequence

from .artifact import Artifact
from .backbone import Backbone
from .batches import micro_batches
from .encoding import Example
from .errors import InvalidSetting
from .prediction import Answer, Classified, Output, Span, answer, predict
from .task import Row, Task


def main_metric(task: Task) -> str:
    """The metric a task is judged by; higher is better, between 0 and 1."""
    return "f1" if task.kind == "span-qa" else "accuracy"


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
    return [answer(artifact, *triple) for triple in zip(rows, encoded, outputs, strict=True)]


def totals(task: Task, rows: Sequence[Row], given: Sequence[Answer]) -> dict[str, float]:
    """Sums over rows, so that workers can add theirs up; divide by `rows` for the metrics."""
    sums = {"rows": float(len(rows)), main_metric(task): 0.0}
    if task.kind == "span-qa":
        sums["exact_match"] = 0.0
    for row, one in zip(rows, given, strict=True):
        for name, value in score(row, one).items():
            sums[name] += value
    return sums


def score(row: Row, given: Answer) -> dict[str, float]:
    """One row's metrics, each between 0 and 1."""
    match given:
        case Classified(label):
            return {"accuracy": float(label == row.label)}
        case Span(text):
            if not row.answers:
                raise InvalidSetting("a span-qa row without an answer cannot be scored")
            scores = [_overlap(_normalized(text), _normalized(gold)) for gold in row.answers]
            return {"f1": max(f1 for f1, _ in scores), "exact_match": max(float(same) for _, same in scores)}


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
    return {name: value / sums["rows"] for name, value in sums.items() if name != "rows"}
