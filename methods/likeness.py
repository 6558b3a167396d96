"""How alike prompts are: those of one geometry are compared as long vectors."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from .beginnings.geometry import Geometry, taken_apart
from .forms import Form


def geometries(form: Form) -> list[tuple[Geometry, int]]:
    """The geometry and the length of every part; forms that agree in them can be compared, and mixed."""
    return [(geometry, len(rows)) for geometry, rows in taken_apart(form)]


def similarities(forms: Sequence[Form]) -> Tensor:
    """The cosine of each form with each, all of one geometry: [K, K]; a form of zeros is like nothing."""
    vectors = torch.stack([torch.cat([rows.flatten() for _, rows in taken_apart(form)]).double() for form in forms])
    unit = functional.normalize(vectors)
    return (unit @ unit.T).clamp(-1, 1)
