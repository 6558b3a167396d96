"""Prompts for one frozen backbone: rows to batches, training, folding, artifacts and answers.

`METHODS` is the one place where a method is named: a new one is a file, its import and its line here.
"""

from collections.abc import Mapping
from dataclasses import fields

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from .artifact import Artifact, Card
from .backbone import DEFAULT_BACKBONE, Backbone
from .encoding import Example, collate, encode
from .errors import (
    BackboneMismatch,
    BackboneNotFound,
    CorruptArtifact,
    InvalidRow,
    InvalidSetting,
    MethodError,
)
from .evaluation import answers, main_metric, means, totals
from .fingerprint import Fingerprint
from .forms import Bank, Form, Prefix, SoftPrompt
from .head_only import HeadOnly
from .heads import Head, LinearHead, SpanHead
from .learner import Learner
from .multitask_prompt_tuning import MultitaskPromptTuning
from .prediction import Answer, Classified, Output, Span, answer, predict
from .prefix_tuning import PrefixTuning
from .prompt import Method, PromptModule, detached
from .prompt_tuning import PromptTuning
from .task import KINDS, Kind, Row, Task
from .training import Plan, Progress, Step, train

METHODS: Mapping[str, type[Method]] = {
    method.name: method for method in (MultitaskPromptTuning, PromptTuning, PrefixTuning, HeadOnly)
}


def method(name: str, hyperparameters: Mapping[str, object]) -> Method:
    """A method by name with checked hyperparameters.

    Raises:
        InvalidSetting: the name, a hyperparameter or its value is not known.
    """
    if name not in METHODS:
        raise InvalidSetting(f"unknown method {name!r}; known methods: {', '.join(sorted(METHODS))}")
    known = [field.name for field in fields(METHODS[name])]
    unknown = sorted(set(hyperparameters) - set(known))
    if unknown:
        raise InvalidSetting(f"{name} has no hyperparameter {unknown[0]!r}; it has {', '.join(known)}")
    try:
        return TypeAdapter(METHODS[name]).validate_python(dict(hyperparameters))
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidSetting(f"{name}.{first['loc'][0]}: {first['msg']}") from error
