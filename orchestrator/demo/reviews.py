"""Composes the sentiment rows: a review template each, some with a neutral opening or a closing verdict."""

from random import Random

from .tables import LABELS, Domain, Tables
from .wording import cast, choose, fill

_LEAD_SHARE = 0.2
_VERDICT_SHARE = 0.5


def compose(tables: Tables, rows: int, rng: Random) -> list[dict[str, str]]:
    """As many rows of each label, every template in turn, no text twice."""
    composed: dict[str, str] = {}
    for label in LABELS:
        templates = [(domain, template) for domain in tables.domains for template in domain.templates[label]]
        rng.shuffle(templates)
        wanted = len(composed) + rows // len(LABELS)
        turn = 0
        while len(composed) < wanted:
            domain, template = templates[turn % len(templates)]
            composed.setdefault(_review(domain, template, tables.verdicts[label], tables, rng), label)
            turn += 1
    shuffled = [{"text": text, "label": label} for text, label in composed.items()]
    rng.shuffle(shuffled)
    return shuffled


def _review(domain: Domain, template: str, verdicts: tuple[str, ...], tables: Tables, rng: Random) -> str:
    parts = [choose(template, rng).replace("{thing}", domain.thing)]
    if rng.random() < _LEAD_SHARE:
        parts.insert(0, rng.choice(domain.leads))
    if rng.random() < _VERDICT_SHARE:
        parts.append(rng.choice(verdicts))
    values = cast(parts, {**tables.names, **domain.words}, rng)
    return " ".join(fill(part, values) for part in parts)
