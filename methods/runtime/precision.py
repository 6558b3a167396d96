"""A frozen backbone in fewer bits; prompts and heads stay as they are, and its fingerprint's name says so.

`bfloat16` keeps the weights of linear layers in 16 bits and multiplies in them; sums over layers, norms and what comes
out stay in 32 bits. `int8` keeps those weights in 8 bits and multiplies in them, with torch's dynamic quantisation, on
a CPU alone. That has one scale for a whole batch; so that no row's numbers depend on the rows beside it, every token is
scaled to 1 first, and a token that reaches from -1 to 1 is laid beside them, which keeps the batch's scale where it is.
"""

import threading
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Literal, TypeAlias, TypeVar

import torch
from torch import Tensor, nn
from torch.ao.quantization import quantize_dynamic
from torch.ao.quantization.qconfig import per_channel_dynamic_qconfig
from transformers.pytorch_utils import Conv1D

from ..errors import InvalidSetting
from .backbone import Backbone

Precision: TypeAlias = Literal["bfloat16", "int8"]
Old = TypeVar("Old", bound=nn.Module)

SMALLEST = 1e-12  # what the scale of a token of zeros is


def lower(backbone: Backbone, precision: Precision) -> None:
    """Change the backbone in place; artifacts of its 32 bits still fit it.

    Raises:
        InvalidSetting: int8 elsewhere than on a CPU.
    """
    whole = backbone.lm if backbone.lm is not None else backbone.model
    match precision:
        case "bfloat16":
            _multiply_in_16_bits(backbone, whole)
        case "int8":
            if backbone.device.type != "cpu":
                raise InvalidSetting(f"int8 runs on a CPU, and {backbone.fingerprint.name} is on {backbone.device}")
            _exchange(whole, Conv1D, _upright)
            with warnings.catch_warnings():  # torch announces that it will move to a package of its own
                warnings.simplefilter("ignore")
                _exchange(whole, nn.Linear, _Tokenwise)
    backbone.fingerprint = replace(backbone.fingerprint, name=f"{backbone.fingerprint.name} ({precision})")


def _exchange(whole: nn.Module, kind: type[Old], made: Callable[[Old], nn.Module]) -> None:
    for parent in list(whole.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, kind):
                setattr(parent, name, made(child))


def _upright(lying: Conv1D) -> nn.Linear:
    """GPT-2's layers are linear ones lying on their side."""
    linear = nn.Linear(lying.weight.shape[0], lying.weight.shape[1], device="meta")
    linear.weight, linear.bias = nn.Parameter(lying.weight.T.contiguous(), requires_grad=False), lying.bias
    return linear


class _Tokenwise(nn.Module):
    """A linear layer in 8 bits, with a scale for every token and for every row of its weights."""

    anchor: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        bare = nn.Linear(linear.in_features, linear.out_features, bias=False, device="meta")
        bare.weight, self.bias = linear.weight, linear.bias
        self._quantized = quantize_dynamic(nn.Sequential(bare), {nn.Linear: per_channel_dynamic_qconfig})[0]
        anchor = torch.zeros(1, linear.in_features)
        anchor[0, :2] = torch.tensor([1.0, -1.0])
        self.register_buffer("anchor", anchor, persistent=False)

    def forward(self, states: Tensor) -> Tensor:
        """[..., in] to [..., out]."""
        tokens = states.flatten(0, -2)
        scale = tokens.abs().amax(1, keepdim=True).clamp(min=SMALLEST)
        out = self._quantized(torch.cat([tokens / scale, self.anchor]))[:-1] * scale
        return (out if self.bias is None else out + self.bias).unflatten(0, states.shape[:-1])

    def weight(self) -> Tensor:
        """What it multiplies with; a method, as of torch's quantised layers, which some models tell by that."""
        return self._quantized.weight()


def _multiply_in_16_bits(backbone: Backbone, whole: nn.Module) -> None:
    for module in whole.modules():
        if isinstance(module, nn.Linear | Conv1D):
            weight = module.weight.detach().to(torch.bfloat16)  # not in place: embeddings may share it
            module.weight = nn.Parameter(weight, requires_grad=False)
    device = backbone.device.type
    for module in {id(one): one for one in (whole, backbone.model, backbone.reader)}.values():
        mixed = _Mixed(device)
        module.register_forward_pre_hook(mixed.enter)
        module.register_forward_hook(mixed.leave, always_call=True)


class _Mixed(threading.local):
    """Autocast around a module's forward, in every thread by itself."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._entered: list[ExitStack] = []

    def enter(self, *_: Any) -> None:
        stack = ExitStack()
        stack.enter_context(torch.autocast(self._device, torch.bfloat16))
        self._entered.append(stack)

    def leave(self, *_: Any) -> None:
        self._entered.pop().close()
