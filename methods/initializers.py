"""How a prompt starts: from vectors of real words, never from large noise.

Lester et al. (2021), section 3.2, sample the 5,000 most common tokens without replacement; a vocabulary built by
frequency lists its words in about that order, so we take the first 5,000 whole words.
"""

import torch
from torch import Tensor

from .backbone import Backbone
from .errors import InvalidSetting

COMMON = 5_000


def common_words(backbone: Backbone, count: int, generator: torch.Generator) -> Tensor:
    """Ids [P] of words drawn without replacement from the most common ones."""
    special = set(backbone.tokenizer.all_special_ids)
    ordered = sorted(backbone.tokenizer.get_vocab().items(), key=lambda item: item[1])
    words = [index for token, index in ordered if token.lstrip("Ġ▁").isalpha() and index not in special][:COMMON]
    if not 1 <= count <= len(words):
        raise InvalidSetting(f"a prompt of length {count} cannot start from {len(words)} words; give 1 to {len(words)}")
    return torch.tensor(words)[torch.randperm(len(words), generator=generator)[:count]].to(backbone.device)


def soft_from_words(backbone: Backbone, length: int, generator: torch.Generator) -> Tensor:
    """Embeddings [P, H] of sampled words."""
    return backbone.embed(common_words(backbone, length, generator)).detach().clone()


def prefix_from_words(backbone: Backbone, length: int, generator: torch.Generator) -> Tensor:
    """The frozen backbone's own keys and values [P, W] of sampled words.

    Li and Liang (2021), section 7.4, start a prefix from the activations of real words; so do we, on encoders too.
    """
    key_values = backbone.keys_and_values(common_words(backbone, length, generator))  # [L, 2, N, P, D]
    return key_values.permute(3, 0, 1, 2, 4).reshape(length, -1).clone()
