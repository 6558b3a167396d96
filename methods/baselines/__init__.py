"""What prompts are measured against: other ways to adapt a backbone, each with weights of its own per task.

They are for comparisons alone, never published and never served: every task would need a model of its own.
"""

from collections.abc import Mapping

from .. import METHODS, Method
from .. import method as prompt_method
from .adapter import Adapter
from .bitfit import BitFit
from .full_fine_tuning import FullFineTuning
from .lora import LoRA

BASELINES: Mapping[str, type[Method]] = {method.name: method for method in (LoRA, Adapter, BitFit, FullFineTuning)}
COMPARED: Mapping[str, type[Method]] = {**METHODS, **BASELINES}


def method(name: str, hyperparameters: Mapping[str, object]) -> Method:
    """A method or baseline by name with checked hyperparameters.

    Raises:
        InvalidSetting: the name, a hyperparameter or its value is not known.
    """
    return prompt_method(name, hyperparameters, COMPARED)
