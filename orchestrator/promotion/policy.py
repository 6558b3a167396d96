"""Policies: which gates and how many approvals stand before which aliases.

    [[policy]]
    prompt = "sentiment"          # a glob; * stops at the / of shared prompts
    alias = "production"
    approvals = 1
    gates.floor = { at_least = 0.8 }
    gates.regression = { margin = 0.01 }

They stand in `promptctl.toml`, in a `policy.toml` beside it, or in the user's configuration; PROMPTCTL_POLICY names one
file instead of all of these. One applies to a move, the one that says most exactly which.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, create_model, model_validator

from registry.canonical import hash_of

from ..cli import defaults
from ..documents import document
from ..errors import InvalidSpec, SourceNotFound
from ..gates import GATES, Gate
from ..settings import Settings
from ..specs import Spec, parse

BESIDE = Path("policy.toml")
if TYPE_CHECKING:
    Gates = Spec
else:
    Gates = create_model("Gates", __base__=Spec, **{name: (gate | None, None) for name, gate in GATES.items()})


class Policy(Spec):
    """One rule: whose moves it is about, by globs, and what it asks of them."""

    prompt: str = Field(default="*", min_length=1)
    alias: str = Field(default="*", min_length=1)
    approvals: int = Field(default=0, ge=0)
    approvers: tuple[str, ...] = ()  # who counts; without any, everybody but the version's author
    gates: Gates = Gates()

    @model_validator(mode="after")
    def _enough_approvers(self) -> Self:
        if self.approvers and len({*self.approvers}) < max(1, self.approvals):
            raise ValueError(f"approvers: {len({*self.approvers})} cannot give {self.approvals} approvals")
        return self

    def fits(self, name: str, alias: str) -> bool:
        """Whether it is about this alias."""
        same_kind = name.count("/") == self.prompt.count("/")
        return same_kind and fnmatchcase(name, self.prompt) and fnmatchcase(alias, self.alias)

    @property
    def exactness(self) -> tuple[object, ...]:
        """How exactly it says which aliases it is about: the prompt before the alias, names before globs."""
        return (*_exactness(self.prompt), *_exactness(self.alias))

    @property
    def asked(self) -> dict[str, Gate]:
        """Its gates by name."""
        return {name: gate for name in GATES if (gate := getattr(self.gates, name)) is not None}

    @cached_property
    def digest(self) -> str:
        """What it says, as a hash."""
        return hash_of(self.model_dump(mode="json", exclude_none=True))


@dataclass(frozen=True)
class Policies:
    """All the rules, each with the file that it stands in."""

    rules: Sequence[tuple[Path, Policy]]

    def about(self, name: str, alias: str) -> Policy | None:
        """The rule that applies to an alias.

        Raises:
            InvalidSpec: two of them say so equally exactly.
        """
        fitting = [(file, rule) for file, rule in self.rules if rule.fits(name, alias)]
        best = max((rule.exactness for _, rule in fitting), default=None)
        found = [(file, rule) for file, rule in fitting if rule.exactness == best]
        if len(found) > 1:
            where = " and ".join(f"{rule.prompt}@{rule.alias} in {file}" for file, rule in found)
            raise InvalidSpec(f"two policies are equally about {name}@{alias}: {where}", hint="keep one of them")
        return found[0][1] if found else None


def policies(settings: Settings) -> Policies:
    """Every rule that there is.

    Raises:
        InvalidSpec: naming the file and the key.
        SourceNotFound: PROMPTCTL_POLICY names no file.
    """
    if settings.policy is not None:
        if not settings.policy.is_file():
            raise SourceNotFound(f"no such policy: {settings.policy}", hint="PROMPTCTL_POLICY names it")
        return Policies(list(_rules(settings.policy, document(settings.policy))))
    found = [rule for file in defaults.files() for rule in _rules(file, _configured(file))]
    if BESIDE.is_file():
        found += _rules(BESIDE, document(BESIDE))
    return Policies(found)


def _configured(file: Path) -> Mapping[str, Any]:
    """The policies among the options of a configuration file."""
    found = document(file) if file.is_file() else {}
    return {key: value for key, value in found.items() if key == defaults.POLICY}


def _rules(file: Path, found: Mapping[str, Any]) -> Iterator[tuple[Path, Policy]]:
    said = found.get(defaults.POLICY, [])
    tables = [said] if isinstance(said, dict) else said
    if strangers := sorted({*found} - {defaults.POLICY}):
        raise InvalidSpec(f"{file}: no key {strangers[0]!r}", hint="a policy is a table [[policy]]")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise InvalidSpec(f"{file}: {defaults.POLICY} is not a table", hint="write [[policy]]")
    for place, table in enumerate(tables, 1):
        yield file, parse(Policy, table, f"{file}: policy {place}")


def _exactness(glob: str) -> tuple[bool, int]:
    literal = [character for character in glob if character not in "*?[]"]
    return len(literal) == len(glob), len(literal)
