"""What was learned, as a version holds it, and the other way round."""

import hashlib
from collections.abc import Mapping, Sequence

from torch import Tensor

from ..artifact import Artifact
from ..errors import InvalidSetting
from ..forms import PromptPool, parts
from ..heads import SessionsHead
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


def block_digests(learned: Learned, head_rows: Sequence[int] = ()) -> list[str]:
    """The sha256 of every block of its pools, in order: what never changes from version to version.

    A block of which `head_rows` says how many rows of the head came with it is hashed with them.
    """
    pools = [part for part in parts(learned.form) if isinstance(part, PromptPool)]
    heads = _rows(learned.head, head_rows) if head_rows and isinstance(learned.head, SessionsHead) else []
    return [
        _digest(tensors(block(pool, index)) | (heads[index] if index < len(heads) else {}))
        for pool in pools
        for index in range(len(pool.blocks))
    ]


def _rows(head: SessionsHead, counts: Sequence[int]) -> list[dict[str, Tensor]]:
    """The rows that came with each session, under names of their own."""
    several = zip(head.weight.split([*counts]), head.bias.split([*counts]), strict=True)
    return [{"head.weight": weight, "head.bias": bias} for weight, bias in several]


def _digest(own: Mapping[str, Tensor]) -> str:
    """Over each tensor's name, type, shape and bytes, by name."""
    found = hashlib.sha256()
    for name, tensor in sorted(own.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.cpu().contiguous().numpy().tobytes())
    return found.hexdigest()
