"""The size gate: no artifact of more bytes."""

from typing import TYPE_CHECKING

from pydantic import Field

from .gate import Gate, Judgement

if TYPE_CHECKING:
    from ..promotion.evidence import Evidence


class Size(Gate):
    """`bytes` of the artifact's file, at most."""

    bytes: int = Field(gt=0)

    @property
    def limit(self) -> float:
        """The number that decides."""
        return self.bytes

    def judge(self, evidence: "Evidence") -> Judgement:
        """Compare the version's own size."""
        size = evidence.version.size
        passed = size <= self.bytes
        said = f"{size:,} bytes are {'no more' if passed else 'more'} than {self.bytes:,}"
        return Judgement(passed, {"bytes": size}, self.limit, said)
