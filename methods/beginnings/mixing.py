"""A weighted mean of prompts: the average of several versions, or a little of one in another.

Prompts trained from one start on one backbone can be averaged like models (Wortsman et al., 2022, "Model soups").
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..errors import InvalidSetting
from ..forms import Form, stack
from .geometry import described, taken_apart


def mixed_tensors(several: Sequence[Mapping[str, Tensor]], weights: Sequence[float]) -> dict[str, Tensor]:
    """The weighted mean of each named tensor; nothing where the names or the shapes are not the same."""
    shapes = [{name: tensor.shape for name, tensor in factors.items()} for factors in several]
    if any(one != shapes[0] for one in shapes):
        return {}
    shares = [weight / math.fsum(weights) for weight in weights]
    return {
        name: torch.stack([share * factors[name] for share, factors in zip(shares, several, strict=True)]).sum(0)
        for name in several[0]
    }


def mixed(forms: Sequence[Form], weights: Sequence[float]) -> Form:
    """The sum of the forms' tensors, each times its share of the weights.

    Raises:
        InvalidSetting: forms that differ in kind, place, placement, layers or size; weights that are no shares.
    """
    if not forms or len(forms) != len(weights) or not all(math.isfinite(one) and one > 0 for one in weights):
        raise InvalidSetting(f"{len(forms)} prompts cannot be mixed by the weights {list(weights)}; give one > 0 each")
    several = [taken_apart(form) for form in forms]
    kinds = [[(geometry, len(rows)) for geometry, rows in one] for one in several]
    other = next((kind for kind in kinds[1:] if kind != kinds[0]), kinds[0])
    if not other or other != kinds[0]:
        raise InvalidSetting(
            f"{described(kinds[0])} cannot be mixed with {described(other)}", hint="mix prompts of one method"
        )
    shares = [weight / math.fsum(weights) for weight in weights]
    made = []
    for same in zip(*several, strict=True):
        rows = torch.stack([share * rows for share, (_, rows) in zip(shares, same, strict=True)]).sum(0)
        made.append(same[0][0].part(rows))
    return stack(tuple(made))
