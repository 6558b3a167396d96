"""Gradient checkpointing: activations are computed again in the backward pass instead of being kept."""

from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from ..errors import InvalidSetting


def recompute(model: PreTrainedModel) -> None:
    """Switch it on; only layers that train do it, so they are told that they train, and their dropout is taken out.

    Raises:
        InvalidSetting: a model that has none.
    """
    if not model.supports_gradient_checkpointing:
        raise InvalidSetting(f"{model.config.model_type} has no gradient checkpointing")
    model.activation_checkpointing_enable({"use_reentrant": False})
    for layer in (module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)):
        layer.training = True
        for name in [name for name, value in vars(layer).items() if isinstance(value, float) and "dropout" in name]:
            setattr(layer, name, 0.0)
