"""Whatever is done to a registry in whatever order, and wherever it dies on the way, what was committed is whole.

A crash is an error in the middle of an action, after which the registry is opened anew, as by another process.
"""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import event, text

from registry import IntegrityError, Move, Registry
from registry.database import Database, connect
from registry.files import Folder
from registry.signing.ed25519 import PrivateKey
from registry.signing.verification import check
from registry.store import Store

from .chronicle import Chronicle, Line, Made, generations

KEY = PrivateKey.new()
PLACES = ("first commit", "before the blob", "half a blob", "after the blob", "reading it", "second commit", "the end")
DURING = st.sampled_from((None, None, None, *PLACES))  # where to die, if anywhere
NAME = st.sampled_from(("qa", "qa", "qa", "sentiment"))  # more of one, to get somewhere
ALIAS = st.sampled_from(("production", "production", "production", "staging"))
KEYS = st.sampled_from(("team", "team", "tier"))
BESIDE = st.sampled_from(((), (), (Move("sentiment:1"),), (Move("sentiment:2", "staging", percent=10),)))
AT_COMMIT = st.sampled_from((None, None, None, "first commit", "the end"))


class Crash(Exception):
    """The process died here."""


@dataclass
class Fate:
    """Where the process dies, if it does."""

    place: str | None = None
    commits: int = 0

    def meet(self, place: str) -> None:
        """Die if this is the place."""
        if place == self.place:
            raise Crash(place)

    def commit(self, _: object) -> None:
        """Die instead of committing, if this is the commit."""
        self.commits += 1
        self.meet(("first commit", "second commit")[self.commits - 1])


@dataclass(frozen=True)
class Fragile(Folder):
    """A folder in which one may die."""

    fate: Fate = field(default_factory=Fate)

    def write(self, key: str, data: bytes) -> None:
        self.fate.meet("before the blob")
        if self.fate.place == "half a blob":
            (self.root / key).parent.mkdir(parents=True, exist_ok=True)
            (self.root / key).with_name(".tmp-half").write_bytes(data[:1])
            raise Crash
        super().write(key, data)
        self.fate.meet("after the blob")

    def chunks(self, key: str) -> Iterator[bytes]:
        self.fate.meet("reading it")
        return super().chunks(key)


class Registries(RuleBasedStateMachine):
    """Actions on one registry, each also on a model; a rule for each action."""

    head: Path  # a database at the head revision, to copy from

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="chronicle"))
        shutil.copy(self.head, self.folder / "registry.db")
        self.chronicle, self.fate = Chronicle(), Fate()
        self.registry = self._opened()

    def teardown(self) -> None:
        self.registry.close()
        shutil.rmtree(self.folder)

    def _opened(self) -> Registry:
        engine = connect(f"sqlite:///{self.folder}/registry.db")
        event.listen(engine, "commit", lambda connection: self.fate.commit(connection))
        return Registry(Database(engine), Store("store", Fragile(self.folder / "store", fate=self.fate)))

    @contextmanager
    def dying(self, place: str | None) -> Iterator[None]:
        """An action in which the process may die; whether it did, it is another process afterwards."""
        self.fate.place, self.fate.commits = place, 0
        try:
            yield
            self.fate.meet("the end")  # all is done, and nobody was told so
        except Crash:
            self.registry.close()
            self.fate.place = None
            self.registry = self._opened()
        finally:
            self.fate.place = None

    @initialize()
    def begin(self) -> None:
        self.registry.signatures.create_key("release", KEY.public, actor="ada")
        self.registry.webhooks.create("ops", "https://ops.example.org/", "sealed", actor="ada")
        for key in "ab":
            self.publish("qa", key, None)
        for number in (1, 2):
            self.move([Move(f"qa:{number}")], None)

    @rule(name=NAME, key=st.sampled_from("abcd"), place=DURING)
    def publish(self, name: str, key: str, place: str | None) -> None:
        before = next((one for one in self.chronicle.prompts.get(name, []) if one.key == key), None)
        was_ready = before is not None and before.ready
        if place != "first commit":
            made = self.chronicle.reserve(name, key)
            if place in (None, "the end"):
                self.chronicle.finish(made)
        with self.dying(place):
            version = self.registry.publish(name, key.encode(), {"method": key}, idempotency_key=key, actor="ada")
            if not was_ready:
                assert place in (None, "the end")
            assert version.number == self.chronicle.reserve(name, key).number

    @rule(data=st.data(), alias=ALIAS, percent=st.sampled_from((100, 0, 10, 50, 100)), beside=BESIDE, place=AT_COMMIT)
    def promote(self, data: st.DataObject, alias: str, percent: int, beside: Sequence[Move], place: str | None) -> None:
        """A version that there is, and perhaps another one with it that there may not be."""
        made = data.draw(st.sampled_from(self.ready("qa")))
        self.move([Move(f"qa:{made.number}", alias, percent=percent), *beside], place)

    def move(self, moves: list[Move], place: str | None) -> None:
        after = self.chronicle.promoted(moves)
        with self.dying(place):
            if isinstance(after, type):
                with pytest.raises(after):
                    self.registry.promote(moves, actor="ada")
            else:
                self.registry.promote(moves, actor="ada")
        if isinstance(after, Chronicle) and place != "first commit":
            self.chronicle = after

    @rule(name=NAME, alias=ALIAS, place=AT_COMMIT)
    def roll_back(self, name: str, alias: str, place: str | None) -> None:
        after = self.chronicle.rolled_back(name, alias)
        with self.dying(place):
            if isinstance(after, type):
                with pytest.raises(after):
                    self.registry.rollback(name, alias, actor="ada")
            else:
                self.registry.rollback(name, alias, actor="ada")
        if isinstance(after, Chronicle) and place != "first commit":
            self.chronicle = after

    @rule(data=st.data(), key=KEYS, value=st.sampled_from(("a", None, "b")), place=AT_COMMIT)
    def tag(self, data: st.DataObject, key: str, value: str | None, place: str | None) -> None:
        made = data.draw(st.sampled_from(self.ready("qa")))
        with self.dying(place):
            self.registry.tags.set(f"qa:{made.number}", {key: value}, actor="ada")
        if place != "first commit":
            self.chronicle.tagged += made.tags.get(key) != value
            made.tags = {name: said for name, said in {**made.tags, key: value}.items() if said is not None}

    @rule(data=st.data(), place=AT_COMMIT)
    def sign(self, data: st.DataObject, place: str | None) -> None:
        made = data.draw(st.sampled_from(self.ready("qa")))
        with self.dying(place):
            self.registry.signatures.sign(f"qa:{made.number}", KEY, actor="ada")
        made.signed |= place != "first commit"

    def ready(self, name: str) -> list[Made]:
        return [one for one in self.chronicle.prompts.get(name, []) if one.ready]

    @invariant()
    def numbers_are_contiguous_and_what_is_ready_has_its_bytes(self) -> None:
        for name, known in self.chronicle.prompts.items():
            versions = self.registry.versions(name)[::-1]
            assert [version.number for version in versions] == list(range(1, len(known) + 1))
            assert [version.state for version in versions] == ["READY" if one.ready else "PENDING" for one in known]
            for version, made in zip(versions, known, strict=True):
                if made.ready:
                    assert self.registry.fetch(version) == made.blob

    @invariant()
    def each_alias_has_one_row_and_a_linear_history(self) -> None:
        state = self.registry.serving_state()
        named = {
            alias: Line(version.number, *((split.candidate.number, split.percent) if split else ()))
            for alias, version in state.aliases.items()
            for split in [state.splits.get(alias)]
        }
        assert named == {alias: line[-1] for alias, line in self.chronicle.lines.items()}
        assert (state.epoch, self.registry.verify_history()) == (self.chronicle.epoch, self.chronicle.events)
        for name in self.chronicle.prompts:
            for alias, steps in generations(self.chronicle, name).items():
                events = self.registry.history(name, alias)[::-1]
                assert [one.generation for one in events] == list(range(1, steps + 1))
                assert [one.new for one in events] == [line.number for line in self.chronicle.lines[name, alias]]
                assert all(then.old == now.new for now, then in pairwise(events))

    @invariant()
    def tags_and_signatures_are_those_that_were_committed(self) -> None:
        for made in self.chronicle.prompts.get("qa", []):
            if not made.ready:
                continue
            assert self.registry.tags.of(f"qa:{made.number}") == made.tags
            _, signed = self.registry.signatures.signed(f"qa:{made.number}")
            if made.signed:
                assert check(signed, [KEY.public]) == ("release",)
            else:
                with pytest.raises(IntegrityError, match="is not signed"):
                    check(signed)

    @invariant()
    def everything_that_was_committed_is_told_and_nothing_else(self) -> None:
        with self.registry._database.read() as session:
            told, tagged = (session.scalar(text(f"SELECT count(*) FROM {name}")) for name in ("outbox", "tag_event"))
        assert (told, tagged) == (self.chronicle.events + self.chronicle.published, self.chronicle.tagged)


def test_whatever_happens_what_was_committed_is_whole(sqlite_head: Path) -> None:
    chronicles = type("Chronicles", (Registries,), {"head": sqlite_head})
    checks = settings(
        max_examples=10,
        stateful_step_count=20,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    run_state_machine_as_test(chronicles, settings=checks)
