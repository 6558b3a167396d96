"""Learning on: tasks that arrive one after the other, of which nothing is kept but prompts, heads and statistics.

`CONTINUAL` is the one place where such a method is named: a new one is a file, its import and its line here.
"""

from collections.abc import Mapping

from ..hyperparameters import configured
from .class_means import ClassMeans
from .coda import CodaPrompt
from .dual_prompt import DualPrompt
from .fine_tuning import FineTuning, MaskedFineTuning
from .incremental_ridge import IncrementalRidge, RandomFeatureRidge
from .joint import Joint
from .l2p import L2P
from .learned import ContinualMethod, Learned, Session
from .progressive_prompts import ProgressivePrompts
from .reading import Judge
from .scores import Scores
from .stream import Judged, follow

__all__ = [
    "CONTINUAL",
    "CodaPrompt",
    "ContinualMethod",
    "Judge",
    "Judged",
    "Learned",
    "Scores",
    "Session",
    "continual_method",
    "follow",
]

CONTINUAL: Mapping[str, type[ContinualMethod]] = {
    method.name: method
    for method in (
        CodaPrompt,
        DualPrompt,
        L2P,
        ProgressivePrompts,
        FineTuning,
        MaskedFineTuning,
        ClassMeans,
        IncrementalRidge,
        RandomFeatureRidge,
        Joint,
    )
}


def continual_method(name: str, hyperparameters: Mapping[str, object]) -> ContinualMethod:
    """A continual method by name with checked hyperparameters.

    Raises:
        InvalidSetting: the name, a hyperparameter or its value is not known.
    """
    return configured(CONTINUAL, name, hyperparameters)
