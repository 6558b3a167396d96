"""K forms stacked and padded, so that each row of a batch can pick its own by index."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..forms import Form, Prefix, SoftPrompt, parts
from ..types import PLACEMENTS, PLACES, Place
from .attention import Layer, LayerPrefix, PrefixRows
from .pool import pools, resolved


@dataclass(frozen=True)
class SoftRows:
    """The soft prompts of a batch's rows, padded to one length."""

    embeddings: Tensor  # [B, P, E]
    mask: Tensor  # [B, P]
    placement: Tensor  # [B, P], index into PLACEMENTS
    shifts: Tensor  # [B, P], true where the virtual token counts as a position

    def rows(self, index: Tensor) -> "SoftRows":
        """Those of the rows index [b]."""
        return SoftRows(self.embeddings[index], self.mask[index], self.placement[index], self.shifts[index])


@dataclass(frozen=True)
class PromptRows:
    """Everything the prompts add to one batch."""

    soft: SoftRows | None
    prefix: PrefixRows
    shifts: Mapping[Place, Tensor] = field(default_factory=dict)  # [B], by how many positions prefixes move a text


@dataclass(frozen=True)
class PlaceBank:
    """The prefixes of one place."""

    key_values: Mapping[int, Sequence[Tensor]]  # of a layer: K of [2, N, P, D], zero where a form has no prefix
    mask: Tensor  # [K, L, P], true where it has one
    moving: Tensor | None  # [K, P], true where a prefix position moves the text
    even: bool  # whether every layer has the same mask


class PlacedRows(Mapping[Layer, LayerPrefix]):
    """Every layer's prefix for rows that use the forms index [b]; put together when its layer is reached.

    So they are read from memory once, right before they are used.
    """

    def __init__(self, banks: Mapping[Place, PlaceBank], index: Tensor) -> None:
        self._banks = banks
        self._index = index.tolist()
        self._masks = {place: self._of_layers(bank, bank.mask[index]) for place, bank in banks.items()}
        self._moving = {place: None if bank.moving is None else bank.moving[index] for place, bank in banks.items()}

    def __getitem__(self, at: Layer) -> LayerPrefix:
        place, layer = at
        several = self._banks[place].key_values[layer]
        if len(set(self._index)) == 1:
            rows = several[self._index[0]][None].expand(len(self._index), -1, -1, -1, -1)
        else:
            rows = torch.stack([several[k] for k in self._index])
        keys, values = rows.unbind(1)
        return LayerPrefix(keys, values, self._masks[place][layer], self._moving[place])

    def __iter__(self) -> Iterator[Layer]:
        return ((place, layer) for place, bank in self._banks.items() for layer in bank.key_values)

    def __len__(self) -> int:
        return sum(len(bank.key_values) for bank in self._banks.values())

    @staticmethod
    def _of_layers(bank: PlaceBank, mask: Tensor) -> dict[int, Tensor]:
        """Each layer's mask [b, P]; the same tensor where they are the same."""
        several = [mask[:, 0]] * mask.shape[1] if bank.even else list(mask.unbind(1))
        return dict(zip(bank.key_values, several, strict=True))


@dataclass(frozen=True)
class Bank:
    """Forms of any kinds, lengths, placements, places and layers."""

    soft: SoftRows | None  # over the K forms
    prefixes: Mapping[Place, PlaceBank]
    forms: tuple[Form, ...]

    @classmethod
    def of(cls, forms: Sequence[Form]) -> "Bank":
        """Stack forms; what is in a pool stays there until a row asks."""
        several = [parts(form) for form in forms]
        soft = [[part for part in of_form if isinstance(part, SoftPrompt)] for of_form in several]
        prefixes: dict[Place, list[list[Prefix]]] = {
            place: [
                [part for part in of_form if isinstance(part, Prefix) and part.place == place] for of_form in several
            ]
            for place in PLACES
        }
        return cls(
            _stack_soft(soft) if any(soft) else None,
            {place: _stack_prefix(found) for place, found in prefixes.items() if any(found)},
            tuple(forms),
        )

    def asks(self, index: Sequence[int]) -> list[int]:
        """The rows b whose form index[b] has a pool, which needs the row's query."""
        pooled = {k for k in set(index) if pools(self.forms[k])}
        return [row for row, k in enumerate(index) if k in pooled] if pooled else []

    def rows(self, index: Tensor, query: Tensor | None = None) -> PromptRows:
        """The prompts of a batch whose row b uses form index[b], and asks pools with query[b] of [B, H]."""
        if query is not None:
            own = Bank.of(resolved(self.forms, index.tolist(), query))
            return own.rows(torch.arange(len(index), device=index.device))
        shifts: dict[Place, Tensor] = {}
        for place, bank in self.prefixes.items():
            if bank.moving is not None:
                shifts[place] = bank.moving[index].sum(1)
        return PromptRows(self.soft and self.soft.rows(index), PlacedRows(self.prefixes, index), shifts)


def _stack_soft(forms: Sequence[Sequence[SoftPrompt]]) -> SoftRows:
    some = next(part.embeddings for of_form in forms for part in of_form)
    embeddings = [torch.cat([part.embeddings for part in of_form] or [some[:0]]) for of_form in forms]
    lengths = torch.tensor([len(tensor) for tensor in embeddings], device=some.device)
    codes, shifts = (
        pad_sequence([torch.tensor(values(of_form), dtype=torch.long) for of_form in forms], batch_first=True)
        for values in (_placements, _shifts)
    )
    return SoftRows(
        pad_sequence(embeddings, batch_first=True),
        torch.arange(int(lengths.max()), device=some.device) < lengths[:, None],
        codes.to(some.device),
        shifts.bool().to(some.device),
    )


def _placements(of_form: Sequence[SoftPrompt]) -> list[int]:
    return [PLACEMENTS.index(part.placement) for part in of_form for _ in part.embeddings]


def _shifts(of_form: Sequence[SoftPrompt]) -> list[int]:
    return [int(part.shifts) for part in of_form for _ in part.embeddings]


def _stack_prefix(forms: Sequence[Sequence[Prefix]]) -> PlaceBank:
    """The prefixes of a place; several of one form stand one after the other."""
    present = [part for of_form in forms for part in of_form]
    layers = tuple(sorted({layer for part in present for layer in part.layers}))
    lengths = [sum(part.key_values.shape[3] for part in of_form) for of_form in forms]
    most, even = max(lengths), all(part.layers == layers for part in present)
    whole = [_padded(of_form, layers, most, present[0].key_values).unbind(0) for of_form in forms]

    def columns(says: Callable[[Prefix], bool]) -> Tensor:
        """[K, P], what is said of the prefix that each column belongs to; false where there is none."""
        lines = [[says(part) for part in of_form for _ in range(part.key_values.shape[3])] for of_form in forms]
        return torch.tensor(
            [line + [False] * (most - len(line)) for line in lines], device=present[0].key_values.device
        )

    of_layer = [columns(lambda part, at=layer: at in part.layers) for layer in layers[: 1 if even else None]]
    mask = torch.stack(of_layer, dim=1).expand(-1, len(layers), -1)
    moving = columns(lambda part: part.shifts) if any(part.shifts for part in present) else None
    return PlaceBank(dict(zip(layers, zip(*whole, strict=True), strict=True)), mask, moving, even)


def _padded(of_form: Sequence[Prefix], layers: tuple[int, ...], length: int, like: Tensor) -> Tensor:
    """One form's keys and values in all of a place's layers [L, 2, N, P, D]; itself, where nothing is missing."""
    if len(of_form) == 1 and of_form[0].layers == layers and of_form[0].key_values.shape[3] == length:
        return of_form[0].key_values
    whole = like.new_zeros(len(layers), *like.shape[1:3], length, like.shape[4])
    first = 0
    for part in of_form:
        last = first + part.key_values.shape[3]
        whole[[layers.index(layer) for layer in part.layers], :, :, first:last] = part.key_values
        first = last
    return whole
