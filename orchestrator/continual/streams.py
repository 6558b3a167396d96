"""Streams: which labels come in which session, as a TOML file says, and in which order.

    task = "clinc"                       # one task, cut into sessions
    [[sessions]]
    name = "banking"
    labels = ["transfer", "balance"]

or `tasks = ["travel", "banking"]`, a session each. Order 0 is the file's. Every other order shuffles the labels over
sessions of the same sizes, or, of several tasks, the tasks.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from pydantic import Field, model_validator

from ..errors import InvalidSpec
from ..specs import Spec, parse

SHIPPED = ("clinc150-10x15",)


class SessionSpec(Spec):
    """One session of a stream that is cut out of a task."""

    name: str
    labels: tuple[str, ...] = Field(min_length=1)


class Stream(Spec):
    """A stream as it is written."""

    task: str | None = None
    sessions: tuple[SessionSpec, ...] = ()
    tasks: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.tasks) == bool(self.task) or bool(self.task) != bool(self.sessions):
            raise ValueError("give either tasks, or one task and its sessions")
        labels = [label for session in self.sessions for label in session.labels]
        if len(set(labels)) < len(labels) or len(set(self.tasks)) < len(self.tasks):
            raise ValueError("each label and each task in one session")
        return self


@dataclass(frozen=True)
class Part:
    """One session: rows of a task, of these labels; of all labels where none are named."""

    name: str
    task: str
    labels: tuple[str, ...] = ()


def load(name: str, folder: Path) -> Stream:
    """The stream in a file, or in NAME.toml of the folder, or one of those that come with the package.

    Raises:
        InvalidSpec: there is none, or it cannot be read.
    """
    file = Path(name) if name.endswith(".toml") else folder / f"{name}.toml"
    if name in SHIPPED and not file.exists():
        file = Path(__file__).with_name(f"{name}.toml")
    try:
        found = tomllib.loads(file.read_text())
    except FileNotFoundError:
        raise InvalidSpec(
            f"there is no stream {str(file)!r}", hint=f"give a TOML file, --stream FILE.toml, or {', '.join(SHIPPED)}"
        ) from None
    except OSError as error:
        raise InvalidSpec(f"{file} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSpec(f"{file}: {error}") from None
    return parse(Stream, found, str(file))


def ordered(stream: Stream, order: int) -> Sequence[Part]:
    """Its sessions in the order of that number."""
    drawn = torch.Generator().manual_seed(order)
    if stream.tasks:
        places = torch.randperm(len(stream.tasks), generator=drawn).tolist() if order else range(len(stream.tasks))
        return [Part(stream.tasks[place], stream.tasks[place]) for place in places]
    task = str(stream.task)
    if not order:
        return [Part(session.name, task, session.labels) for session in stream.sessions]
    labels = [label for session in stream.sessions for label in session.labels]
    mixed = [labels[place] for place in torch.randperm(len(labels), generator=drawn).tolist()]
    parts, first = [], 0
    for number, session in enumerate(stream.sessions, 1):
        parts.append(Part(f"session {number}", task, tuple(mixed[first : first + len(session.labels)])))
        first += len(session.labels)
    return parts
