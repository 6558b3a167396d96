"""Where the rows of a prompt stand: among the input embeddings, or before the keys and values of some layers.

Whatever a method trains ends as a matrix [P, W]; its geometry makes a form of it, and the other way round.
"""

from dataclasses import dataclass, replace
from typing import TypeAlias

from torch import Tensor

from ..errors import InvalidSetting
from ..forms import Form, Part, Prefix, PromptPool, SoftPrompt, parts
from ..prompt import as_matrix, as_prefix
from ..runtime.backbone import Backbone, Layout
from ..types import Place, Placement
from .layers import chosen_layers


@dataclass(frozen=True)
class SoftGeometry:
    """Rows of width E among the input embeddings."""

    width: int
    placement: Placement
    shifts: bool = False

    def part(self, rows: Tensor) -> Part:
        """Rows [P, E] as a soft prompt."""
        return SoftPrompt(rows, self.placement, self.shifts)

    def described(self, length: int) -> str:
        """For messages."""
        return f"a soft prompt of length {length} and width {self.width}, placed {self.placement}" + _moving(
            self.shifts
        )


@dataclass(frozen=True)
class PrefixGeometry:
    """Rows of width L * 2 * N * D before the keys and values of some layers of a place."""

    heads: int
    head_dim: int
    layers: tuple[int, ...]
    place: Place
    shifts: bool = False

    @classmethod
    def of(cls, backbone: Backbone, place: Place, layers: int | str) -> "PrefixGeometry":
        """The layers that a setting names in a place of a backbone.

        Raises:
            InvalidSetting: the backbone takes no prefix there, or has no such layers.
        """
        layout = backbone.layout(place)
        return cls(layout.heads, layout.head_dim, chosen_layers(layers, layout.layers, place), place)

    @property
    def width(self) -> int:
        """W, the numbers of one position."""
        return len(self.layers) * 2 * self.heads * self.head_dim

    def part(self, rows: Tensor) -> Part:
        """Rows [P, W] as a prefix."""
        layout = Layout(len(self.layers), self.heads, self.head_dim)
        return replace(as_prefix(rows, layout, self.layers, self.place), shifts=self.shifts)

    def described(self, length: int) -> str:
        """For messages."""
        layers = ", ".join(map(str, self.layers))
        heads = f"{self.heads} heads of {self.head_dim}"
        return f"a prefix of length {length} in {self.place} layers {layers} of {heads}" + _moving(self.shifts)


Geometry: TypeAlias = SoftGeometry | PrefixGeometry


def taken_apart(form: Form) -> list[tuple[Geometry, Tensor]]:
    """The geometry and the rows [P, W] of every part of a form."""
    return [_taken_apart(part) for part in parts(form)]


def _taken_apart(part: Part) -> tuple[Geometry, Tensor]:
    match part:
        case SoftPrompt(embeddings, placement, shifts):
            return SoftGeometry(embeddings.shape[1], placement, shifts), embeddings
        case Prefix(key_values, layers, place, shifts):
            _, _, heads, _, head_dim = key_values.shape
            return PrefixGeometry(heads, head_dim, layers, place, shifts), as_matrix(part)
        case PromptPool():
            raise InvalidSetting(
                "a pool has no vectors of its own to start from, mix or compare: a row's prefix depends on the row",
                hint="--method coda goes on with it; promptctl continual report says how it does",
            )


def described(several: list[tuple[Geometry, int]]) -> str:
    """Parts of these geometries and lengths, in words."""
    return " and ".join(geometry.described(length) for geometry, length in several) or "no prompt at all"


def _moving(shifts: bool) -> str:
    return ", which moves the text's positions" if shifts else ""
