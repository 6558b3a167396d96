"""What a signature covers: which version it is, the bytes of its artifact, and its card."""

import json
from dataclasses import asdict, dataclass

from ..canonical import hash_of
from ..records import Version

PAYLOAD_TYPE = b"application/vnd.promptctl.version+json"


@dataclass(frozen=True)
class Statement:
    """A version by its name and number, with the digests of its blob and of its card's canonical JSON."""

    name: str
    number: int
    digest: str
    card: str

    @property
    def reference(self) -> str:
        """The version."""
        return f"{self.name}:{self.number}"

    def encoded(self) -> bytes:
        """The bytes that are signed: DSSE's pre-authentication encoding, version 1, of the statement's JSON.

        https://github.com/secure-systems-lab/dsse/blob/master/protocol.md: the payload's type is signed with it, and
        both have their lengths before them, so that no other type and payload have the same bytes.
        """
        payload = json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()
        return b"DSSEv1 %d %b %d %b" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE, len(payload), payload)


def statement(version: Version) -> Statement:
    """What there is to sign of a version, as the registry has it now."""
    return Statement(version.name, version.number, version.digest, f"sha256:{hash_of(version.card)}")
