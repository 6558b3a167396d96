"""What sessions bring, and what is left of them: the values that every continual method takes and gives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, field
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from ..errors import InvalidRow
from ..forms import Form, on
from ..heads import Head
from ..rows.encoding import Example
from ..runtime.backbone import Backbone
from ..stored import moved
from ..training import Plan, Step

Watch = Callable[[Step], None]


@dataclass(frozen=True)
class Session:
    """One step of a stream: its labels, and its rows, whose label is an index into them."""

    labels: tuple[str, ...]
    examples: Sequence[Example]

    def __post_init__(self) -> None:
        """Refuse what would teach nothing, or something else.

        Raises:
            InvalidRow: no row at all, or one with a label that is not the session's.
        """
        if not self.examples:
            raise InvalidRow("a session without a row teaches nothing")
        if any(not 0 <= example.label < len(self.labels) for example in self.examples):
            raise InvalidRow("a session has a row whose label is not one of the session's")


@dataclass(frozen=True)
class Learned:
    """What is known after some sessions: it answers by itself, and the next session goes on from it.

    Its tensors are on the CPU, as a version's file has them; whoever answers with it takes it along with `on`.
    """

    labels: tuple[str, ...]  # in the order in which they came
    form: Form
    head: Head
    factors: Mapping[str, Tensor] = field(default_factory=dict)  # statistics that are never served
    alone: tuple["Learned", ...] = ()  # one for each session, of a method that must be told which is asked

    def on(self, device: torch.device) -> tuple[Form, Head]:
        """What answers, on a device."""
        return on(device, self.form), moved(self.head, device)


class ContinualMethod(Protocol):
    """A frozen dataclass of hyperparameters that learns one session after another."""

    name: ClassVar[str]
    joint: ClassVar[bool]  # it is no continual method, but sees all sessions at once: the ceiling
    told: ClassVar[bool]  # whether it is told at inference which session a row belongs to
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def learn(self, backbone: Backbone, before: Learned | None, session: Session, plan: Plan, watch: Watch) -> Learned:
        """What is known after one more session; `before` and everything in it stay as they are."""
        ...


def joined(before: Learned | None, session: Session) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """All labels, new ones behind those known; and where each label of the session is among them."""
    known = before.labels if before else ()
    labels = known + tuple(label for label in session.labels if label not in known)
    return labels, tuple(labels.index(label) for label in session.labels)
