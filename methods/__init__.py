"""Prompts for one frozen backbone: rows to batches, training, folding, artifacts and answers.

`METHODS` is the one place where a method is named: a new one is a file, its import and its line here.
"""

from collections.abc import Mapping

from .artifact import Artifact, Card
from .beginnings.mixing import mixed, mixed_tensors
from .errors import (
    BackboneMismatch,
    BackboneNotFound,
    CorruptArtifact,
    InvalidRow,
    InvalidSetting,
    MethodError,
)
from .evaluation import answers, main_metric, means, totals
from .forms import Form, Prefix, SoftPrompt, Stack, detached, parts, positions_taken, stack
from .head_only import HeadOnly
from .heads import HEADS, GenerationHead, Head, LinearHead, SpanHead, TagHead, VerbalizerHead
from .hyperparameters import configured
from .learner import Learner
from .multitask_prompt_tuning import MultitaskPromptTuning
from .p_tuning import PTuning
from .p_tuning_v2 import PTuningV2
from .prediction import Answer, Chosen, Classified, Generated, Output, Span, Tagged, answer, predict
from .prefix_tuning import PrefixTuning
from .prompt import Method, PromptModule, Start
from .prompt_tuning import PromptTuning
from .rows.collation import collate
from .rows.encoding import Example, encode
from .rows.task import KINDS, LABELLED, Kind, Row, Task
from .rows.text_prompt import TextPrompt
from .runtime.backbone import Backbone
from .runtime.bank import Bank
from .runtime.fingerprint import Fingerprint
from .runtime.loading import DEFAULT_BACKBONE
from .training import Plan, Progress, Step, train

METHODS: Mapping[str, type[Method]] = {
    method.name: method for method in (MultitaskPromptTuning, PromptTuning, PrefixTuning, PTuning, PTuningV2, HeadOnly)
}


def method(name: str, hyperparameters: Mapping[str, object], among: Mapping[str, type[Method]] = METHODS) -> Method:
    """A method by name with checked hyperparameters.

    Raises:
        InvalidSetting: the name, a hyperparameter or its value is not known.
    """
    return configured(among, name, hyperparameters)
