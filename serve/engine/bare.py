"""The backbone without a prompt: `none`, which goes on where a text ends."""

from dataclasses import dataclass
from datetime import UTC, datetime

from methods import Artifact, Backbone, Card, GenerationHead, Task
from registry import Version
from registry.references import NONE

from ..errors import Integrity, Invalid
from ..routing.snapshot import Served
from .fit import check_fit

TASK = Task(NONE, "generation")


@dataclass(frozen=True)
class Bare(Version):
    """No version of any prompt; its digest is that of the backbone's weights."""

    @property
    def reference(self) -> str:
        """What it is asked for by."""
        return self.name


def bare(backbone: Backbone) -> Served:
    """What answers for `none`.

    Raises:
        Invalid: the backbone generates no text, so that without a prompt there is nothing it could answer.
    """
    head, weights = GenerationHead(), backbone.fingerprint.weights
    try:
        check_fit(None, head, TASK, backbone)
    except Integrity as error:
        raise Invalid(
            f"{NONE} is the backbone without a prompt, which here generates no text",
            hint="ask a prompt; promptctl prompt list shows them",
        ) from error
    blank = {"card": {}, "run_id": None, "created_by": "", "message": "", "parents": ()}
    version = Bare(
        0, NONE, 0, f"sha256:{weights}", 0, state="READY", created_at=datetime.fromtimestamp(0, UTC), **blank
    )
    return Served(version, Artifact(Card(NONE, TASK, NONE, {}, backbone.fingerprint), None, head), TASK)
