"""The head that `adapters` saves beside an adapter: head_config.json and model_head.safetensors or its pickle.

Its heads are stacks of linear layers, each behind a dropout, with an activation after all but the last: with two
layers their weights are numbered 1 and 4, with one 1.
"""

from typing import Annotated, Literal, TypeAlias

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from ..heads import ClassifierHead, Head, LinearHead, SpanHead, TagHead
from ..rows.task import Kind
from ..runtime.backbone import Backbone
from .errors import Inexact, UnreadableFile
from .foreign import Source, shown
from .tensors import TensorFile

CONFIG = "head_config.json"
WEIGHTS = ("model_head.safetensors", "pytorch_model_head.bin")
_KINDS: dict[str, Kind] = {"classification": "classification", "tagging": "tagging", "question_answering": "span-qa"}

Beside: TypeAlias = tuple[Kind | None, Head | None, tuple[str, ...]]


class HeadConfig(BaseModel):
    """What `adapters` says of a head."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    head_type: Literal["classification", "tagging", "question_answering"]
    num_labels: Annotated[int, Field(ge=1, le=100_000)]
    layers: Literal[1, 2]
    activation_function: Literal["tanh", "gelu", "relu"] | None = None
    label2id: dict[str, int] | None = None
    use_pooler: bool = False
    bias: bool = True
    dropout_prob: float | None = None


def head_beside(source: Source, backbone: Backbone) -> Beside:
    """What the head answers, the head, and the labels it names; nothing where there is none.

    Raises:
        Inexact: a head that no head of ours computes like.
        UnreadableFile: its files are damaged, or of other sizes than the backbone.
    """
    if CONFIG not in source.files:
        return None, None, ()
    outer = source.json(CONFIG)
    try:
        config = HeadConfig.model_validate(outer.get("config"))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = shown(".".join(map(str, first["loc"])))
        raise Inexact(
            f"{CONFIG}: {where}: {first['msg']}", hint="without head_config.json it is no task's prompt"
        ) from None
    weights = source.first(WEIGHTS)
    if weights is None:
        raise UnreadableFile(f"there is no {WEIGHTS[0]} or {WEIGHTS[1]} beside {CONFIG}")
    under = f"heads.{outer.get('name')}."
    return _KINDS[config.head_type], _head(source.tensors(weights), under, config, backbone), _labels(config)


def _head(file: TensorFile, under: str, config: HeadConfig, backbone: Backbone) -> Head:
    width, last = backbone.hidden_size, 1 if config.layers == 1 else 4
    names = {f"{under}{index}.{part}" for index in {1, last} for part in ("weight", "bias")}
    if not config.bias:
        names.discard(f"{under}{last}.bias")
    if set(file.claims) != names:
        raise Inexact(f"{file.name} does not hold the head that {CONFIG} describes")

    def linear(index: int, outputs: int) -> tuple[Tensor, Tensor]:
        weight, bias = f"{under}{index}.weight", f"{under}{index}.bias"
        zeros = torch.zeros(outputs)
        return file.take(weight, outputs, width), file.take(bias, outputs) if bias in names else zeros

    out = linear(last, config.num_labels)
    match config:
        case HeadConfig(head_type="tagging", layers=1):
            return TagHead(*out)
        case HeadConfig(head_type="question_answering", layers=1, num_labels=2):
            return SpanHead(*out)
        case HeadConfig(head_type="classification", layers=1):
            if config.use_pooler and getattr(backbone.model, "pooler", None) is None:
                raise Inexact("the head reads a pooler that is not in the backbone's files")
            return LinearHead(*out, pooling="opening", pooler=config.use_pooler)
        case HeadConfig(head_type="classification", use_pooler=False, activation_function=str(activation)):
            return ClassifierHead(*linear(1, width), *out, activation=activation)
    raise Inexact(f"no head of promptctl computes like this {config.head_type} head of {config.layers} layers")


def _labels(config: HeadConfig) -> tuple[str, ...]:
    named = sorted((config.label2id or {}).items(), key=lambda item: item[1])
    if [index for _, index in named] != list(range(config.num_labels)):
        return ()
    return tuple(label[:200] for label, _ in named)
