"""Which rows a candidate answers: a share of the keys, the same ones wherever and whenever they are asked for."""

from hashlib import blake2b, sha256
from typing import Literal, TypeAlias

Arm: TypeAlias = Literal["stable", "candidate"]


def arm(line: str, candidate: str, percent: int, key: str) -> Arm:
    """The arm that a key belongs to.

    `line` and `candidate`, the candidate's digest, key the hash: each candidate gets keys of its own, and gets more of
    them, and loses none, when its percent grows.
    """
    salt = sha256(f"{line} {candidate}".encode()).digest()
    place = int.from_bytes(blake2b(key.encode(), key=salt, digest_size=8).digest())
    return "candidate" if place * 100 < percent << 64 else "stable"
