"""How many replicas answer."""

import re
from dataclasses import dataclass
from typing import Any

from ..errors import Invalid

EACH = 16  # requests in flight that a replica is to have, where their number follows the load
LOOK_BACK_S = 15  # over which they are averaged; replicas count them every 10 s
MORE_AFTER_S = 5
FEWER_AFTER_S = 120


@dataclass(frozen=True)
class Scale:
    """From `least` to `most` replicas: as many as the requests in flight ask for."""

    least: int = 1
    most: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most:
            raise Invalid(f"{self.least} to {self.most} replicas", hint="--replicas 2, or --replicas 2:8")

    @classmethod
    def read(cls, text: str) -> "Scale":
        """`N`, or `MIN:MAX`.

        Raises:
            Invalid: it is neither.
        """
        if (found := re.fullmatch(r"(\d{1,4})(?::(\d{1,4}))?", text)) is None:
            raise Invalid(f"{text!r} is no number of replicas", hint="--replicas 2, or --replicas 2:8")
        least, most = found.groups(default=found[1])
        return cls(int(least), int(most))

    def options(self) -> dict[str, Any]:
        """What Ray Serve is told; of one replica nothing, so that a cluster's configuration can say what it wants."""
        if self.least == self.most:
            return {"num_replicas": self.most} if self.most > 1 else {}
        return {
            "autoscaling_config": {
                "min_replicas": self.least,
                "max_replicas": self.most,
                "target_ongoing_requests": EACH,
                "look_back_period_s": LOOK_BACK_S,
                "upscale_delay_s": MORE_AFTER_S,
                "downscale_delay_s": FEWER_AFTER_S,
            }
        }


ONE = Scale()
