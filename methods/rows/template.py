"""A row in the template of its task, as token ids: demonstrations in front of it, its texts cut where there is no room.

Only the row's texts are ever shortened, the longer one first, and only once every demonstration is left out; what a
row says can add no slot and no special token (Schick and Schütze, 2021, section 3.1; P-tuning: Liu et al., 2021,
figure 2). An encoder fills in the mask; any other backbone goes on where `{mask}` stands and reads nothing behind it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING

from ..errors import InvalidRow, InvalidSetting
from ..runtime.backbone import Backbone
from ..words.demonstrations import DIVIDER, one_line, shown
from ..words.reasoning import tokens_behind
from .slots import Segment, check_order, segments
from .text_prompt import TextPrompt

if TYPE_CHECKING:
    from .task import Row, Task


@dataclass(frozen=True)
class Templated:
    """Token ids, the tokens before which virtual tokens go, and the column of the mask (-1 without one)."""

    input_ids: list[int]
    slots: tuple[int, ...]
    masked: int
    infix: int
    shown: int = 0  # demonstrations that there was room for


@dataclass
class _Piece:
    ids: list[int]
    kind: str  # a segment's, or demonstration


def templated(backbone: Backbone, template: str, task: "Task", row: "Row", room: int) -> Templated:
    """The row in the template, at most `room` tokens long.

    Raises:
        InvalidRow: the template alone does not fit.
    """
    pieces = _read(backbone, template, task, row, room)
    inner: list[int] = []
    slots: list[int] = []
    masked, infix = -1, None
    for piece in pieces:
        column = backbone.opens + len(inner)
        if piece.kind == "mask":
            masked = column
        if piece.kind == "pair":
            infix = column
        slots += [column] * (len(piece.ids) if piece.kind == "prompt" else 0)
        inner += [] if piece.kind == "prompt" else piece.ids
    ids = backbone.enclosed(inner)
    infix = len(ids) - backbone.closes if infix is None else infix
    return Templated(ids, tuple(slots), masked, infix, sum(piece.kind == "demonstration" for piece in pieces))


def _read(backbone: Backbone, template: str, task: "Task", row: "Row", room: int) -> list[_Piece]:
    """The instruction, as many demonstrations as there is room for, and the row in its template, cut to the room."""
    prompt = task.text_prompt or TextPrompt((template,))
    room = min(room, backbone.max_length - tokens_behind(backbone, task)) - backbone.opens - backbone.closes
    values = {"text": row.text, "pair": row.pair or ""}
    if prompt.demonstrations:
        values = {name: one_line(value) for name, value in values.items()}
    asked = _asked(backbone, prompt, template)
    before = _in_front(backbone, prompt, shown(prompt, task, template, row))
    divided = [replace(asked[0], words=DIVIDER + asked[0].words), *asked[1:]]
    own = _pieces(backbone, divided if before else asked, values)
    while before and before[-1].kind == "demonstration" and _tokens(before) + _tokens(own) > room:
        before.pop()
        own = own if before else _pieces(backbone, asked, values)
    pieces = [*before, *own]
    _shorten(pieces, room, task.name)
    return pieces


def _in_front(backbone: Backbone, prompt: TextPrompt, demonstrations: Sequence[str]) -> list[_Piece]:
    parts = [("literal", prompt.instruction)] if prompt.instruction else []
    parts += [("demonstration", words) for words in demonstrations]
    if not parts:
        return []
    ids = _ids(backbone, [DIVIDER * (place > 0) + words for place, (_, words) in enumerate(parts)])
    return [_Piece(own, kind) for own, (kind, _) in zip(ids, parts, strict=True)]


def _asked(backbone: Backbone, prompt: TextPrompt, template: str) -> list[Segment]:
    """The template as far as the backbone reads it, and what is to make it think."""
    parts = segments(template)
    if backbone.architecture != "encoder":
        check_order(template)
        parts = list(takewhile(lambda part: part.kind != "mask", parts))
    if prompt.reasoning is not None and prompt.reasoning.trigger:
        parts[-1] = replace(parts[-1], words=f"{parts[-1].words.rstrip()} {prompt.reasoning.trigger}")
    return parts


def _pieces(backbone: Backbone, asked: Sequence[Segment], values: Mapping[str, str]) -> list[_Piece]:
    """Spaces at the end of a piece go over to the next one, as subword vocabularies want them."""
    pieces: list[_Piece] = []
    space = ""
    for part in asked:
        match part.kind:
            case "mask":
                pieces.append(_Piece([_mask(backbone)], "mask"))
                space = ""
            case "prompt":
                pieces.append(_Piece([0] * part.count, "prompt"))
            case kind:
                words = part.words if kind == "literal" else values[kind]
                if kept := words.rstrip(" "):
                    (ids,) = _ids(backbone, [space + kept], plain=kind != "literal")
                    pieces.append(_Piece(ids, kind))
                    space = ""
                space = " " if space or kept != words else ""
    return pieces


def _ids(backbone: Backbone, words: Sequence[str], *, plain: bool = False) -> list[list[int]]:
    """Token ids of each; in plain texts nothing is a special token."""
    encoded = backbone.tokenizer(list(words), add_special_tokens=False, split_special_tokens=plain, verbose=False)
    return encoded["input_ids"]


def _mask(backbone: Backbone) -> int:
    if backbone.tokenizer.mask_token_id is None:
        raise InvalidSetting(f"{backbone.fingerprint.name} has no mask token; leave {{mask}} out of the template")
    return backbone.tokenizer.mask_token_id


def _tokens(pieces: Sequence[_Piece]) -> int:
    return sum(len(piece.ids) for piece in pieces if piece.kind != "prompt")


def _shorten(pieces: Sequence[_Piece], room: int, name: str) -> None:
    texts = [piece for piece in pieces if piece.kind in ("text", "pair")]
    for _ in range(_tokens(pieces) - room):
        longest = max(texts, key=lambda piece: len(piece.ids))
        if len(longest.ids) <= 1:
            raise InvalidRow(f"the template of task {name!r} leaves no room for a row's text")
        longest.ids.pop()
