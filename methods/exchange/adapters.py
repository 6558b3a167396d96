"""Prefixes that AdapterHub's `adapters` saved: adapter_config.json beside adapter.safetensors or pytorch_adapter.bin.

Its prefixes stand inside the attention and move no text, as ours do (Poth et al., 2023, "Adapters"). Its soft prompts
go in behind the embedding layer, where we put none, so they are refused.
"""

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor
from torch.nn import functional

from ..forms import Form, Prefix, stack
from ..heads.classifier import Activation, activated
from ..prompt import as_prefix
from ..runtime.backbone import Backbone, Layout
from ..types import Place
from .adapters_head import head_beside
from .errors import Inexact, UnreadableFile
from .foreign import Source, shown
from .imported import Found, Imported, Wanted
from .peft_config import MOST_TOKENS
from .tensors import TensorFile

CONFIG = "adapter_config.json"
WEIGHTS = ("adapter.safetensors", "pytorch_adapter.bin")
_KNOWN = ("albert", "bart", "bert", "distilbert", "electra", "gpt2", "mbart", "roberta", "xlm-roberta")
_KEY = re.compile(r"(?:\w+\.){0,3}prefix_tuning\.prefix_tunings\.(?P<name>[^.]+)\.(?P<place>\w+)\.(?P<inner>[\w.]+)")


class PrefixConfig(BaseModel):
    """What `adapters` says of a prefix."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    architecture: Literal["prefix_tuning"]
    prefix_length: Annotated[int, Field(ge=1, le=MOST_TOKENS)]
    flat: bool
    encoder_prefix: bool = True
    cross_prefix: bool = True
    leave_out: list[int] = []
    bottleneck_size: int | None = None
    non_linearity: Literal["tanh", "gelu", "relu", "silu", "swish"] = "tanh"
    dropout: float = 0.0
    use_gating: Literal[False] = False  # a gate reads the text, so it cannot be folded
    shared_gating: bool = True
    init_weights_seed: int | None = None


class AdaptersImporter:
    """Flat prefixes, and those that still go through their network, which is folded in."""

    name: ClassVar[str] = "adapters"

    def recognises(self, source: Source) -> bool:
        """A configuration within a configuration."""
        return CONFIG in source.files and "config" in source.json(CONFIG)

    def read(self, source: Source, backbone: Backbone, wanted: Wanted) -> Found:
        """One prefix, or one per place of an encoder-decoder, and the head beside them."""
        del wanted
        outer = source.json(CONFIG)
        config = _parse(outer.get("config"))
        weights = source.first(WEIGHTS)
        if weights is None:
            raise UnreadableFile(f"there is no {WEIGHTS[0]} or {WEIGHTS[1]} beside {CONFIG}")
        kind, head, labels = head_beside(source, backbone)
        form = _form(source.tensors(weights), config, backbone)
        if kind is None and backbone.architecture != "encoder":
            kind = "generation"
        prompt = Imported(form, "prefix-tuning", kind, head, labels)
        note = f"these files do not identify their base's weights; only sizes were compared with {backbone.fingerprint}"
        return Found((prompt,), str(outer.get("model_name") or ""), config.model_dump(mode="json"), notes=(note,))


def _parse(values: object) -> PrefixConfig:
    architecture = values.get("architecture") if isinstance(values, dict) else None
    if architecture != "prefix_tuning":
        raise Inexact(
            f"the adapter is of the architecture {shown(architecture)}",
            hint="only prefixes are kept; its soft prompts go in behind the embedding layer, others change the layers",
        )
    try:
        return PrefixConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = shown(".".join(map(str, first["loc"])))
        raise Inexact(f"{CONFIG}: {where}: {first['msg']}") from None


def _form(file: TensorFile, config: PrefixConfig, backbone: Backbone) -> Form:
    model_type = backbone.model.config.model_type
    if model_type not in _KNOWN:
        raise Inexact(f"how adapters puts a prefix into a {model_type} is not known to be as here")
    if config.leave_out and backbone.architecture == "encoder-decoder":
        raise Inexact("which of an encoder-decoder's layers are left out is not known")
    modules: dict[str, dict[str, str]] = {}
    for key in sorted(file.claims):
        match = _KEY.fullmatch(key)
        if match is None:
            raise Inexact(f"{file.name} holds {shown(key)}, which is no part of a prefix")
        modules.setdefault(match["place"], {})[match["inner"]] = key
    return stack(tuple(_prefix(file, name, inner, config, backbone) for name, inner in modules.items()))


def _prefix(file: TensorFile, name: str, inner: Mapping[str, str], config: PrefixConfig, backbone: Backbone) -> Prefix:
    place = _place(name, backbone)
    own = backbone.layout(place)
    layers = tuple(layer for layer in range(own.layers) if layer not in config.leave_out)
    width = len(layers) * 2 * own.heads * own.head_dim
    expected = {"control_trans"} if config.flat else {"wte.weight", *(f"control_trans.{part}" for part in _NETWORK)}
    if set(inner) != expected or not layers:
        raise UnreadableFile(f"{file.name} does not hold the {shown(name)} that {CONFIG} describes")
    if config.flat:
        matrix = file.take(inner["control_trans"], config.prefix_length * width).view(config.prefix_length, width)
    else:
        matrix = _through(file, inner, config, backbone.hidden_size, width)
    prefix = as_prefix(matrix, Layout(len(layers), own.heads, own.head_dim), layers, place)
    return Prefix(prefix.key_values.contiguous(), layers, place)


_NETWORK = ("0.weight", "0.bias", "2.weight", "2.bias")


def _through(file: TensorFile, inner: Mapping[str, str], config: PrefixConfig, hidden: int, width: int) -> Tensor:
    """The rows as the network makes them: linear, activation, linear."""
    rows = file.take(inner["wte.weight"], config.prefix_length, hidden)
    first = file.take(inner["control_trans.0.weight"], config.bottleneck_size, hidden)
    second = file.take(inner["control_trans.2.weight"], width, len(first))
    dense = functional.linear(rows, first, file.take(inner["control_trans.0.bias"], len(first)))
    activation = cast(Activation, "silu" if config.non_linearity == "swish" else config.non_linearity)
    return functional.linear(activated(dense, activation), second, file.take(inner["control_trans.2.bias"], width))


def _place(name: str, backbone: Backbone) -> Place:
    places: dict[str, Place] = {"self_prefix": backbone.place}
    if backbone.architecture == "encoder-decoder":
        places = {"encoder_prefix": "encoder", "self_prefix": "decoder", "cross_prefix": "cross"}
    if name not in places:
        raise Inexact(f"a {backbone.architecture} has no place for {shown(name)}")
    return places[name]
