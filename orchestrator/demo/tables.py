"""What the rows of one split are composed of: names, review templates and passage schemas, read from tables/."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SPLITS = ("train", "validation", "test")
LABELS = ("negative", "positive")
_FOLDER = Path(__file__).parent / "tables"


@dataclass(frozen=True)
class Domain:
    """Review templates about one kind of thing: those of every domain, then its own."""

    thing: str
    leads: tuple[str, ...]
    words: Mapping[str, tuple[str, ...]]
    templates: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Passage:
    """One schema: a context and its questions, each with the slot that answers it."""

    topic: str
    context: str
    ask: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Tables:
    """Everything one split is made of."""

    names: Mapping[str, tuple[str, ...]]
    domains: tuple[Domain, ...]
    verdicts: Mapping[str, tuple[str, ...]]
    passages: tuple[Passage, ...]

    def templates(self) -> Iterator[str]:
        """Every sentence template of the split, openings, verdicts and questions included."""
        for domain in self.domains:
            yield from domain.leads
            for templates in domain.templates.values():
                yield from templates
        for verdicts in self.verdicts.values():
            yield from verdicts
        for passage in self.passages:
            yield passage.context
            yield from (question for question, _ in passage.ask)


def load(split: str) -> Tables:
    """The tables of one split."""
    names = {kind: tuple(values) for kind, values in _toml(split, "names").items()}
    reviews = _toml(split, "reviews")
    verdicts = {label: tuple(reviews["verdicts"][label]) for label in LABELS}
    domains = tuple(_domain(domain, reviews) for domain in reviews["domain"].values())
    passages = [
        Passage(passage["topic"], passage["context"], tuple((question, slot) for question, slot in passage["ask"]))
        for passage in _toml(split, "passages")["passage"]
    ]
    return Tables(names, domains, verdicts, tuple(passages))


def _domain(domain: dict[str, Any], reviews: dict[str, Any]) -> Domain:
    return Domain(
        thing=domain["thing"],
        leads=tuple(domain["leads"]),
        words={kind: tuple(values) for kind, values in (reviews["words"] | {"aspect": domain["aspects"]}).items()},
        templates={label: (*reviews["every"][label], *domain[label]) for label in LABELS},
    )


def _toml(split: str, idea: str) -> dict[str, Any]:
    return tomllib.loads((_FOLDER / split / f"{idea}.toml").read_text(encoding="utf-8"))
