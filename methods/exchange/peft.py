"""Prompts that peft saved: adapter_config.json beside adapter_model.safetensors.

peft puts input prompts before everything, counts them as positions and lets the classifier read whatever comes first;
a prefix moves the text by its length. Both are kept as properties of the imported version. What the files say was
compared with peft 0.21.0 and transformers 5.23.
"""

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from ..forms import Prefix, SoftPrompt
from ..heads import Head
from ..prompt import as_prefix
from ..runtime.backbone import Backbone, Layout
from . import peft_config
from .errors import Inexact, UnreadableFile
from .foreign import Source, shown
from .imported import Found, Imported, Wanted
from .peft_config import CartridgeConfig, Config, MultitaskConfig, PrefixTuningConfig
from .tensors import TensorFile
from .transformers_heads import head_of

CONFIG = "adapter_config.json"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
PROMPT, COLUMNS, ROWS = "prompt_embeddings", "prefix_task_cols", "prefix_task_rows"
UNDER = "base_model."
METHODS = {
    "PROMPT_TUNING": "prompt-tuning",
    "P_TUNING": "p-tuning",
    "PREFIX_TUNING": "prefix-tuning",
    "MULTITASK_PROMPT_TUNING": "mpt",
    "CARTRIDGE": "cartridge",
    "CPT": "cpt",
}
_NEEDS: Mapping[str, tuple[str, ...]] = {"CAUSAL_LM": ("decoder",), "SEQ_2_SEQ_LM": ("encoder-decoder",)}
UNIDENTIFIED = "peft's files do not identify their base's weights; only its sizes could be compared with {backbone}"
DEAD_HALF = "peft keeps a second set of rows for the decoder and never uses it; only the first is kept"
LAYER_ORDER = "peft gives decoder layer i the keys and values it saved for layer 2i; they are kept where peft used them"


class PeftImporter:
    """Prompt tuning, P-tuning, prefix tuning, multitask prompt tuning, Cartridges and CPT."""

    name: ClassVar[str] = "peft"

    def recognises(self, source: Source) -> bool:
        """A configuration with a peft_type."""
        return CONFIG in source.files and "peft_type" in source.json(CONFIG)

    def read(self, source: Source, backbone: Backbone, wanted: Wanted) -> Found:
        """One prompt, or one per task of multitask prompt tuning."""
        config = peft_config.parse(source.json(CONFIG))
        weights = source.first(WEIGHTS)
        if weights is None:
            raise UnreadableFile(f"there is no {WEIGHTS[0]} beside {CONFIG}")
        file = source.tensors(weights)
        _check(config, file, backbone)
        kind = peft_config.KIND[config.task_type]
        head = None if kind in (None, "generation") else head_of(kind, file, UNDER, backbone)
        base = config.base_model_name_or_path or ""
        notes = (UNIDENTIFIED.format(backbone=backbone.fingerprint),)
        if isinstance(config, MultitaskConfig):
            shared, prompts = _multitask(config, file, head, backbone, wanted)
            return Found(prompts, base, config.kept(), shared, notes)
        if wanted.task_id is not None:
            raise Inexact("the adapter holds one prompt, not one per task", hint="leave out --task-id")
        if isinstance(config, PrefixTuningConfig | CartridgeConfig):
            form = _prefix(config, file, backbone)
            notes += (LAYER_ORDER,) if backbone.architecture == "encoder-decoder" else ()
        else:
            form = _soft(config, file, backbone)
            notes += (DEAD_HALF,) if config.submodules == 2 else ()
        return Found((Imported(form, METHODS[config.peft_type], kind, head),), base, config.kept(), None, notes)


def _check(config: Config, file: TensorFile, backbone: Backbone) -> None:
    """What the whole adapter must be, whichever kind it is."""
    needs = _NEEDS.get(config.task_type, ("encoder", "decoder"))
    if backbone.architecture not in needs:
        raise Inexact(
            f"a {config.task_type} adapter is for {' or '.join(needs)} models, and {backbone.fingerprint.name} is of"
            f" the kind {backbone.architecture}",
            hint="give the backbone that it was trained on: --backbone NAME|FOLDER",
        )
    known = peft_config.SAVED_LAYERS.get(config.task_type, [])
    if strangers := sorted(set(config.modules_to_save or ()) - set(known)):
        raise Inexact(f"the adapter trained the backbone's own layer {shown(strangers[0])} as well")
    expected = {PROMPT, COLUMNS, ROWS} if isinstance(config, MultitaskConfig) else {PROMPT}
    strangers = sorted(key for key in file.claims if key not in expected and not (known and key.startswith(UNDER)))
    if strangers:
        raise Inexact(f"{file.name} holds {shown(strangers[0])}, which is no part of a {config.peft_type} adapter")
    prefix = isinstance(config, PrefixTuningConfig | CartridgeConfig)
    if config.task_type == "QUESTION_ANS" and not prefix:
        raise Inexact(
            "peft trains an input prompt for QUESTION_ANS on answers it does not move past the prompt, so its spans lie"
            " beside the answers",
            hint="train the task again: promptctl train --method prompt-tuning",
        )


def _soft(config: Config, file: TensorFile, backbone: Backbone) -> SoftPrompt:
    """[P, E], before everything; the rows of a second submodule are never used."""
    if config.submodules == 2 and backbone.architecture != "encoder-decoder":
        raise Inexact("the adapter has rows for a decoder that the backbone has not")
    rows = file.take(PROMPT, config.submodules * config.num_virtual_tokens, backbone.embedding_size)
    return SoftPrompt(rows[: config.num_virtual_tokens].clone(), "first", shifts=True)


def _multitask(
    config: MultitaskConfig, file: TensorFile, head: Head | None, backbone: Backbone, wanted: Wanted
) -> tuple[SoftPrompt, tuple[Imported, ...]]:
    """The shared prompt, and every task's: the shared one times the task's columns and rows."""
    if config.submodules == 2:
        raise Inexact("peft trains a second prompt for the decoder here, which its own generate leaves out")
    tasks, ranks, length = config.num_tasks, config.num_ranks, config.num_virtual_tokens
    shared = _soft(config, file, backbone)
    columns = file.take(COLUMNS, tasks, length, ranks)
    rows = file.take(ROWS, tasks, ranks, backbone.embedding_size)
    if wanted.task_id is not None and not 0 <= wanted.task_id < tasks:
        raise Inexact(
            f"the adapter has the tasks 0 to {tasks - 1}, not {wanted.task_id}", hint="give another --task-id"
        )
    chosen = range(tasks) if wanted.task_id is None else (wanted.task_id,)
    kind = peft_config.KIND[config.task_type]

    def one(task: int) -> Imported:
        form = replace(shared, embeddings=folded(shared.embeddings, columns[task], rows[task]))
        factors = {"u": columns[task].clone(), "v": rows[task].clone()}
        return Imported(form, METHODS[config.peft_type], kind, head, factors=factors, task_id=task)

    return shared, tuple(one(task) for task in chosen)


def folded(shared: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
    """[P, E] from the shared prompt [P, E], columns [P, R] and rows [R, E], by the operations that peft uses."""
    return shared * torch.matmul(columns[None], rows[None])[0]


def _prefix(config: PrefixTuningConfig | CartridgeConfig, file: TensorFile, backbone: Backbone) -> Prefix:
    """Before the text's own keys and values in every layer; of an encoder-decoder, in its decoder."""
    place = "decoder" if backbone.architecture == "encoder-decoder" else backbone.place
    layout = backbone.layout(place)
    if "past_key_values" not in inspect.signature(type(backbone.model).forward).parameters:
        raise Inexact(f"peft hands a prefix over as past_key_values, which {type(backbone.model).__name__} never reads")
    layers, heads = config.num_layers or 0, config.num_attention_heads or 0
    order = layer_order(backbone, layers)
    if (heads, heads * layout.head_dim) != (layout.heads, config.token_dim) or order is None:
        raise UnreadableFile(
            f"the adapter has {layers} layers of {heads} heads, {config.token_dim} numbers wide;"
            f" {backbone.fingerprint.name} has {layout.layers} {place} layers of {layout.heads} heads of"
            f" {layout.head_dim}",
            hint="give the backbone that it was trained on: --backbone NAME|FOLDER",
        )
    matrix = file.take(PROMPT, config.num_virtual_tokens, layers * 2 * config.token_dim)
    whole = as_prefix(matrix, Layout(layers, layout.heads, layout.head_dim), range(layers), place)
    chosen = whole.key_values[order].contiguous()
    return Prefix(chosen, tuple(range(layout.layers)), place, shifts=True)


def layer_order(backbone: Backbone, saved: int) -> list[int] | None:
    """Which of the saved layers each layer of the backbone gets from peft; none where there are too few or too many.

    For an encoder-decoder peft doubles the list of keys and values and cuts it into fours, so decoder layer i gets
    what was saved for layer 2i modulo their number. A number that differs from the decoder's is the encoder's.
    """
    if backbone.architecture != "encoder-decoder":
        layers = backbone.layout(backbone.place).layers
        return list(range(layers)) if saved == layers else None
    layers = backbone.layout("decoder").layers
    return [2 * layer % saved for layer in range(layers)] if saved >= layers else None
