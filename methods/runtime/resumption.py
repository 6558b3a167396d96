"""Layers that a forward can begin or end at."""

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from .attention import Call

if TYPE_CHECKING:
    from .backbone import Backbone


def make_resumable(backbone: "Backbone") -> None:
    """Let a forward begin, end or be watched between two layers, where a call asks for it."""
    wanted = [(backbone.place, layer) for layer in range(backbone.layout(backbone.place).layers)]
    for modules in (module for module in backbone.reader.modules() if isinstance(module, nn.ModuleList)):
        served = [[vars(part).get("prompt_layers") for part in layer.modules()] for layer in modules]
        if len(modules) == len(wanted) and all((one,) in found for one, found in zip(wanted, served, strict=True)):
            for index, layer in enumerate(modules):
                _make_resumable(layer, index)


def _make_resumable(layer: nn.Module, index: int) -> None:
    """Make a layer let states through that a call knows already, or no longer needs; else it does its work."""
    original = type(layer)
    if hasattr(original, "resumes"):
        return

    class Resumable(original):
        resumes = True

        def forward(self, hidden_states: Tensor, *args: Any, prompt_call: Call | None = None, **options: Any) -> Any:
            if prompt_call is None:
                return super().forward(hidden_states, *args, **options)
            below, keep = prompt_call.below, prompt_call.keep
            if below is not None and index < below.layer:
                return self.seen(below.states, prompt_call) if index == below.layer - 1 else hidden_states
            if keep is not None and index >= keep:
                return hidden_states
            states = super().forward(hidden_states, *args, prompt_call=prompt_call, **options)
            if keep == index + 1:
                prompt_call.kept = states
            return self.seen(states, prompt_call)

        @staticmethod
        def seen(states: Tensor, call: Call) -> Tensor:
            """The states that come out of the layer, kept where the call watches them."""
            if call.watched is not None and index + 1 in call.watched:
                call.watched[index + 1] = states
            return states

    layer.__class__ = Resumable
