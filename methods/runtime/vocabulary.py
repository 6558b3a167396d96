"""A language model's head by itself: logits over the vocabulary from hidden states."""

import copy
from collections.abc import Callable

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions


class _Given(nn.Module):
    """Stands where the backbone was and returns the states that it is given."""

    def forward(self, *_: object, inputs_embeds: Tensor, **__: object) -> BaseModelOutputWithPastAndCrossAttentions:
        return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=inputs_embeds)


def vocabulary_head(lm: PreTrainedModel) -> Callable[[Tensor], Tensor]:
    """From states [B, T, H] to logits [B, T, V], by the model's own head, whatever it is made of."""
    shell = copy.copy(lm)
    shell._modules = {**lm._modules, lm.base_model_prefix: _Given()}
    return lambda states: shell(inputs_embeds=states).logits
