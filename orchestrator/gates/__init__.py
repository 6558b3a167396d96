"""Gates: what a version must reach before an alias may name it. A new one is a file, its import and its line here."""

from collections.abc import Mapping

from .audit import Audit
from .control import Control
from .data import Data
from .epsilon import Epsilon
from .fairness import Fairness
from .floor import Floor
from .forgetting import Forgetting
from .gate import Gate, Judgement, Result
from .regression import Regression
from .size import Size

GATES: Mapping[str, type[Gate]] = {
    "size": Size,
    "data": Data,
    "epsilon": Epsilon,
    "floor": Floor,
    "regression": Regression,
    "control": Control,
    "forgetting": Forgetting,
    "fairness": Fairness,
    "audit": Audit,
}
