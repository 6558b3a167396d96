"""A backbone's identity: three digests that say whether a prompt fits it."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig

# Where the files lay, who wrote them and how attention is dispatched do not change what the backbone computes.
_INCIDENTAL = {"_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures", "use_cache"}


@dataclass(frozen=True)
class Fingerprint:
    """sha256 digests (hex) of config, weights and tokenizer, and the name the backbone was loaded by."""

    name: str
    config: str
    weights: str
    tokenizer: str

    def same(self, other: "Fingerprint") -> bool:
        """Whether both name one backbone; the name itself does not count."""
        return (self.config, self.weights, self.tokenizer) == (other.config, other.weights, other.tokenizer)

    def differences(self, other: "Fingerprint") -> list[str]:
        """Which of the three parts differ."""
        return [part for part in ("config", "weights", "tokenizer") if getattr(self, part) != getattr(other, part)]

    def to_json(self) -> dict[str, str]:
        """Plain values for a card."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.name} (weights {self.weights[:12]})"


def hash_config(config: PretrainedConfig) -> str:
    """sha256 of the configuration's canonical JSON."""
    kept = {key: value for key, value in config.to_dict().items() if key not in _INCIDENTAL}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()


def hash_weights(model: nn.Module) -> str:
    """sha256 over every tensor's name, type, shape and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def hash_tokenizer(tokenizer: Any) -> str:
    """sha256 of the fast tokenizer's own serialisation, without the padding and truncation of the moment."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    state.pop("padding", None)
    state.pop("truncation", None)
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
