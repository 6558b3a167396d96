"""What was learned, as a version holds it, and the other way round."""

import hashlib

from ..artifact import Artifact
from ..errors import InvalidSetting
from ..forms import PromptPool, parts
from ..runtime.pool import block
from ..stored import tensors
from .learned import Learned


def learned_of(artifact: Artifact) -> Learned:
    """What a version knows, for the next session to go on from.

    Raises:
        InvalidSetting: it answers nothing, so nothing was learned.
    """
    task = artifact.card.task
    if task is None or artifact.head is None:
        raise InvalidSetting(f"{artifact.card.name!r} answers nothing, so no session goes on from it")
    return Learned(task.labels, artifact.form, artifact.head, artifact.factors)


def block_digests(learned: Learned) -> list[str]:
    """The sha256 of every block of its pools, in order: what never changes from version to version."""
    pools = [part for part in parts(learned.form) if isinstance(part, PromptPool)]
    digests = []
    for pool in pools:
        for index in range(len(pool.blocks)):
            own = tensors(block(pool, index))
            digests.append(hashlib.sha256(b"".join(own[name].numpy().tobytes() for name in sorted(own))).hexdigest())
    return digests
