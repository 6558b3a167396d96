"""What a server served last, kept in a folder: enough to start from while the registry does not answer.

It holds names, numbers and digests, and the artifacts of those digests; no row was ever in any of them.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from registry import Registry, ServingState, Split, Version
from registry.cached import OWNER_ONLY
from registry.database import read_url
from registry.files import Folder
from registry.signing.records import Signature, Signed
from registry.signing.statement import Statement

from ..config import ServeConfig

STATE = "state.json"


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Signature(_Kept):
    key: str
    public: str | None = None
    signature: str
    revoked: bool


class _Signed(_Kept):
    card: str
    signatures: tuple[_Signature, ...]


class _Version(_Kept):
    id: int
    name: str
    number: int
    digest: str
    size: int
    signed: _Signed | None = None

    @classmethod
    def of(cls, version: Version, signed: Signed | None) -> "_Version":
        names = cls.model_fields.keys() - {"signed"}
        kept = signed and _Signed(
            card=signed.statement.card, signatures=tuple(_Signature(**asdict(one)) for one in signed.signatures)
        )
        return cls(**{name: getattr(version, name) for name in names}, signed=kept)

    def version(self) -> Version:
        """What serving reads of a version; who made it, when and why is for the registry to say."""
        blank = {"card": {}, "run_id": None, "created_by": "", "message": "", "parents": ()}
        return Version(
            **self.model_dump(exclude={"signed"}), state="READY", created_at=datetime.fromtimestamp(0, UTC), **blank
        )

    def proof(self) -> Signed | None:
        """What shows that it was signed."""
        if self.signed is None:
            return None
        said = Statement(self.name, self.number, self.digest, self.signed.card)
        return Signed(said, tuple(Signature(**one.model_dump()) for one in self.signed.signatures))


class _Alias(_Kept):
    alias: str
    version: _Version
    candidate: _Version | None = None
    percent: int | None = None


class _State(_Kept):
    format: Literal[1] = 1
    epoch: int
    aliases: tuple[_Alias, ...]


class Known:
    """The last state that a server swapped in, and its artifacts; `signed` is what was kept of signatures."""

    def __init__(self, folder: Path, registry: Registry) -> None:
        self._folder, self._registry = folder, registry
        self.signed: dict[str, Signed] = {}

    def save(self, state: ServingState, signed: Mapping[str, Signed]) -> None:
        """Keep this state, and the artifacts of nothing else; where one is not to be had, what was kept before."""
        with suppress(OSError):
            if not self._registry.keep(_digests(state)):
                return
            Folder(self._folder, OWNER_ONLY).write(STATE, _written(state, signed))
            self._registry.keep_only(_digests(state))  # last: a state is never on the disk without its artifacts

    def load(self) -> ServingState | None:
        """The state that was kept, if there is one that can be read."""
        try:
            state = _State.model_validate_json((self._folder / STATE).read_bytes())
        except (OSError, ValidationError):
            return None
        versions = [one for alias in state.aliases for one in (alias.version, alias.candidate) if one is not None]
        self.signed |= {f"{one.name}:{one.number}": proof for one in versions if (proof := one.proof())}
        return _read(state)


def open_registry(config: ServeConfig) -> tuple[Registry, Known | None]:
    """The registry, and what is known of it. Where something is, the registry need not answer yet.

    Raises:
        RegistryError: it does not answer, and nothing is known.
    """
    if config.known is None:
        return Registry.open(config.database_url, config.store_url), None
    which = f"{read_url(config.database_url).render_as_string()} {config.store_url}"  # without a password
    folder = config.known / sha256(which.encode()).hexdigest()[:16]
    late = (folder / STATE).exists()
    registry = Registry.open(config.database_url, config.store_url, cache=folder, late=late)
    return registry, Known(folder, registry)


def _digests(state: ServingState) -> set[str]:
    return {version.digest for version in (*state.aliases.values(), *(one.candidate for one in state.splits.values()))}


def _written(state: ServingState, signed: Mapping[str, Signed]) -> bytes:
    def kept(version: Version) -> _Version:
        return _Version.of(version, signed.get(version.reference))

    aliases = []
    for (_, alias), version in sorted(state.aliases.items()):
        split = state.splits.get((version.name, alias))
        candidate = kept(split.candidate) if split else None
        aliases.append(_Alias(alias=alias, version=kept(version), candidate=candidate, percent=split and split.percent))
    return _State(epoch=state.epoch, aliases=tuple(aliases)).model_dump_json(indent=1, exclude_none=True).encode()


def _read(state: _State) -> ServingState:
    return ServingState(
        state.epoch,
        {(one.version.name, one.alias): one.version.version() for one in state.aliases},
        {
            (one.version.name, one.alias): Split(one.candidate.version(), one.percent)
            for one in state.aliases
            if one.candidate is not None and one.percent is not None
        },
    )
