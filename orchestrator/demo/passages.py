"""Composes the question answering rows: a passage with rival spans, and a question that one of them answers."""

from random import Random

from .tables import Passage, Tables
from .wording import cast, choose, fill


def compose(tables: Tables, rows: int, rng: Random) -> list[dict[str, str | int]]:
    """Every passage in turn, and of each passage every question in turn; no context twice."""
    composed: dict[str, dict[str, str | int]] = {}
    turn = 0
    while len(composed) < rows:
        asked, which = divmod(turn, len(tables.passages))
        row = _row(tables.passages[which], asked, tables, rng)
        if row["context"] not in composed:
            composed[str(row["context"])] = row
            turn += 1
    shuffled = list(composed.values())
    rng.shuffle(shuffled)
    return shuffled


def _row(passage: Passage, asked: int, tables: Tables, rng: Random) -> dict[str, str | int]:
    question, slot = passage.ask[asked % len(passage.ask)]
    while True:
        chosen = choose(passage.context, rng)
        values = cast([chosen, question], tables.names, rng)
        context, answer = fill(chosen, values), values[slot]
        if context.count(answer) == 1:
            start = context.index(answer)
            return {"question": fill(question, values), "context": context, "answer": answer, "answer_start": start}
