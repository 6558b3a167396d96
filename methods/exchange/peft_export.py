"""Artifacts as folders that `peft.PeftModel.from_pretrained` loads, byte for byte as peft would save them.

Without `byte_compat` one thing differs: peft 0.21 lists the layers that it saved twice.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
from safetensors.torch import save
from torch import Tensor

from ..artifact import Artifact
from ..forms import Prefix
from ..heads import ClassifierHead, LinearHead, SpanHead, TagHead
from ..prompt import as_matrix
from ..runtime.backbone import Backbone
from .errors import Inexact
from .outgoing import KEEP, TRAIN, Exported, Outgoing, only_part, rows_before_everything, settings_of, speaks, wording
from .peft import COLUMNS, CONFIG, PROMPT, ROWS, UNDER, WEIGHTS, folded, layer_order
from .peft_config import SAVED_LAYERS, TaskType
from .peft_described import described
from .transformers_heads import Layers, layers_of


class PeftExporter:
    """One prompt as it is; several that were made from one shared prompt as multitask prompt tuning."""

    name: ClassVar[str] = "peft"

    def write(self, outgoing: Outgoing) -> Exported:
        """adapter_model.safetensors and adapter_config.json."""
        backbone = outgoing.backbone()
        if len(outgoing.artifacts) > 1:
            return _folder(_multitask(outgoing, backbone), outgoing, backbone)
        artifact = outgoing.one
        part = only_part(artifact)
        tensors = _prefix(artifact, part, backbone) if isinstance(part, Prefix) else _soft(artifact, backbone)
        return _folder(tensors, outgoing, backbone)


class PeftPackExporter:
    """N language-model prompts of one length in one adapter, so that peft's own task_ids serve a mixed batch.

    The shared prompt is one, the columns are the identity and the rows are the prompts: the product is each prompt,
    bit for bit.
    """

    name: ClassVar[str] = "peft-mpt-pack"

    def write(self, outgoing: Outgoing) -> Exported:
        """adapter_model.safetensors and adapter_config.json; the order of the prompts is that of the task ids."""
        backbone = outgoing.backbone()
        for artifact in outgoing.artifacts:
            if not speaks(artifact, backbone):
                raise Inexact(
                    f"{artifact.card.name!r} has a head of its own; a pack has none",
                    hint="pack prompts of a language model, or export each --as peft",
                )
        prompts = [rows_before_everything(artifact, backbone) for artifact in outgoing.artifacts]
        if len(lengths := {len(rows) for rows in prompts}) > 1:
            raise Inexact(f"a pack holds prompts of one length, not of {', '.join(map(str, sorted(lengths)))}")
        rows = torch.stack(prompts)
        columns = torch.eye(rows.shape[1]).expand(len(rows), -1, -1).contiguous()
        return _folder({PROMPT: torch.ones(rows.shape[1:]), COLUMNS: columns, ROWS: rows}, outgoing, backbone)


def _soft(artifact: Artifact, backbone: Backbone) -> Layers:
    if isinstance(artifact.head, SpanHead):
        raise Inexact("peft does not move answers past an input prompt, so its spans would lie beside them", hint=KEEP)
    return {PROMPT: rows_before_everything(artifact, backbone)}


def _prefix(artifact: Artifact, part: Prefix, backbone: Backbone) -> Layers:
    place = "encoder" if backbone.architecture == "encoder" else "decoder"
    layout = backbone.layout(place)
    if not part.shifts or part.place != place or part.layers != tuple(range(layout.layers)):
        layers = ", ".join(map(str, part.layers))
        moved = "moves" if part.shifts else "does not move"
        raise Inexact(
            f"{artifact.card.name!r} is a prefix in {part.place} layers {layers} that {moved} the text; peft's stands"
            f" in all {layout.layers} {place} layers and moves it",
            hint=f"{KEEP}\n{TRAIN}",
        )
    saved = int(settings_of(artifact, "peft").get("num_layers", layout.layers))
    order = layer_order(backbone, saved)
    if order is None or len(set(order)) < len(order):
        saved = layout.layers + 1 - layout.layers % 2  # an odd number, so that peft's order meets every layer
        order = layer_order(backbone, saved) or []
    whole = part.key_values.new_zeros(saved, *part.key_values.shape[1:])
    whole[order] = part.key_values
    return {PROMPT: as_matrix(Prefix(whole, tuple(range(saved)), place))}


def _multitask(outgoing: Outgoing, backbone: Backbone) -> Layers:
    """The shared prompt and each task's factors; their product must still be the task's prompt."""
    shared, names = outgoing.shared, ", ".join(artifact.card.name for artifact in outgoing.artifacts)
    factored = all({"u", "v"} <= set(artifact.factors) for artifact in outgoing.artifacts)
    if shared is None or not factored:
        raise Inexact(
            f"{names} were not made from one shared prompt, which several in one adapter must be",
            hint="export them one by one, or a language model's prompts --as peft-mpt-pack",
        )
    matrix = rows_of_shared(shared)
    for artifact in outgoing.artifacts:
        made = folded(matrix, artifact.factors["u"], artifact.factors["v"])
        if not torch.allclose(made, rows_before_everything(artifact, backbone), rtol=1e-5, atol=1e-7):
            raise Inexact(f"{artifact.card.name!r} is no longer the product of its factors and {shared.card.name!r}")
    columns, rows = (torch.stack([artifact.factors[name] for artifact in outgoing.artifacts]) for name in ("u", "v"))
    return {PROMPT: matrix, COLUMNS: columns, ROWS: rows}


def rows_of_shared(shared: Artifact) -> Tensor:
    """The matrix of a shared soft prompt."""
    tensor = getattr(shared.form, "embeddings", None)
    if tensor is None:
        raise Inexact(f"{shared.card.name!r} is a shared prefix; peft shares soft prompts only", hint=KEEP)
    return tensor


def _folder(tensors: Layers, outgoing: Outgoing, backbone: Backbone) -> Exported:
    task_type = _task_type(outgoing.artifacts, backbone)
    heads = _head(outgoing.artifacts, task_type, backbone)
    config = described(tensors, outgoing, task_type, backbone)
    named = {key: value.contiguous() for key, value in (*tensors.items(), *heads.items())}
    notes = tuple(note for artifact in outgoing.artifacts for note in wording(artifact))
    if len(outgoing.artifacts) > 1 or COLUMNS in tensors:
        numbered = ", ".join(f"{number} {one.card.name}" for number, one in enumerate(outgoing.artifacts))
        notes = (f"peft's task_ids: {numbered}", *notes)
    return Exported({WEIGHTS[0]: save(named, {"format": "pt"}), CONFIG: config.to_bytes()}, notes)


def _task_type(artifacts: Sequence[Artifact], backbone: Backbone) -> TaskType:
    found: set[TaskType] = {_task_type_of(artifact, backbone) for artifact in artifacts}
    if len(found) > 1:
        raise Inexact(f"one adapter cannot do {' and '.join(sorted(found))}", hint="export them one by one")
    return found.pop()


def _task_type_of(artifact: Artifact, backbone: Backbone) -> TaskType:
    match artifact.head:
        case LinearHead() | ClassifierHead():
            return "SEQ_CLS"
        case TagHead():
            return "TOKEN_CLS"
        case SpanHead():
            return "QUESTION_ANS"
        case None:
            return "FEATURE_EXTRACTION"
    if speaks(artifact, backbone):
        return "CAUSAL_LM" if backbone.architecture == "decoder" else "SEQ_2_SEQ_LM"
    raise Inexact(f"peft has no kind of task for the {artifact.head.name} head of {artifact.card.name!r}", hint=KEEP)


def _head(artifacts: Sequence[Artifact], task_type: TaskType, backbone: Backbone) -> Layers:
    if task_type not in SAVED_LAYERS:
        return {}
    first, *others = [layers_of(artifact.head, backbone) for artifact in artifacts if artifact.head is not None]
    for other in others:
        if set(other) != set(first) or not all(torch.equal(other[key], first[key]) for key in first):
            raise Inexact("peft has one classifier for all tasks of an adapter; these have their own")
    return {f"{UNDER}{key}": tensor for key, tensor in first.items()}
