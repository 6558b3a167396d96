"""A batch without its padding: the tokens of all rows as one line, laid out as rows again for attention alone.

All other parts of a layer see one token at a time, so they need not compute what only fills up a rectangle. Among
texts of mixed lengths that is a third to a half of the work (Zhai et al., 2023, "ByteTransformer").
"""

from dataclasses import dataclass, field

from torch import Tensor

WORTH = 0.9  # real tokens over padded ones, above which it does not pay


@dataclass(frozen=True)
class Packing:
    """Which M of the B * T places of a rectangle hold tokens."""

    mask: Tensor  # [B, T]
    tokens: Tensor  # [M], their places in the flat rectangle
    masks: dict[tuple[int, bool], tuple[Tensor | None, Tensor]] = field(default_factory=dict)  # by what they come from

    @classmethod
    def of(cls, mask: Tensor) -> "Packing":
        """For rows whose tokens are where the mask [B, T] is not zero."""
        return cls(mask.bool(), mask.flatten().nonzero().flatten())

    def line(self, rows: Tensor) -> Tensor:
        """[B, T, ...] to [1, M, ...]."""
        return rows.flatten(0, 1).index_select(0, self.tokens)[None]

    def rows(self, line: Tensor) -> Tensor:
        """[1, M, ...] to [B, T, ...], zero where there is no token."""
        flat = line.new_zeros(self.mask.numel(), *line.shape[2:]).index_copy_(0, self.tokens, line[0])
        return flat.view(*self.mask.shape, *line.shape[2:])

    def text_mask(self, given: Tensor | None, causal: bool) -> Tensor:
        """[B, 1, T, T], which tokens see which: those of their row, as far as the mask [1, 1, M, M] over the line lets.

        Made once for the layers that share a mask; without one, every token of the row, or those up to itself.
        """
        key = id(given), causal
        if key not in self.masks:
            self.masks[key] = given, self._text_mask(given, causal)
        return self.masks[key][1]

    def _text_mask(self, given: Tensor | None, causal: bool) -> Tensor:
        tokens = self.mask.shape[1]
        seen = self.mask[:, None, None, :].expand(-1, 1, tokens, -1)
        if given is None:
            return seen.tril() if causal else seen
        at = (self.mask.flatten().cumsum(0) - 1).clamp(min=0).view_as(self.mask)
        return given[0, 0][at[:, :, None], at[:, None, :]][:, None] & seen
