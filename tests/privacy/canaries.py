"""Words that nobody else on this disk has, and the rows, requests and files that hold them."""

import json
import random
from dataclasses import dataclass
from pathlib import Path

from methods import Backbone
from tests.privacy.contents import Patterns
from tests.privacy.forms import forms

TRAIN, VALIDATION, TEST = 37, 11, 13  # good rows; no tensor of the backbone or a prompt has such a dimension
CORRECTIONS = 7  # that are learned; no dimension of a tensor either
LATIN, GREEK = "bcdfghjklmnpqrstvwxz", "βγδζθκλμνξπρτφχψ"


@dataclass(frozen=True)
class Canaries:
    """One word in letters of ASCII and one without any."""

    words: tuple[str, str]

    @classmethod
    def new(cls) -> "Canaries":
        """Words that were never used before."""
        choose = random.SystemRandom().choices
        return cls(("".join(choose(LATIN, k=14)), "".join(choose(GREEK, k=12))))

    def text(self, place: str) -> str:
        """A text that holds both, and says where it was used."""
        return f'the {place} was "{self.words[0]} {self.words[1]}" {self.words[0]} and good'

    def ids(self) -> list[list[int]]:
        """Each word as the default backbone's tokenizer has it."""
        tokenizer = Backbone.load().tokenizer
        found = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in self.words]
        assert all(len(ids) >= 4 for ids in found)
        return found

    def patterns(self) -> Patterns:
        """What to look for."""
        both = zip(self.words, self.ids(), strict=True)
        return {pattern: name for word, ids in both for name, pattern in forms(word, ids).items()}

    def write_rows(self, folder: Path) -> Path:
        """Files of rows, good and bad ones, and the TOML of two tasks; of `refused` most rows are bad."""
        bad = [
            b'{"text": "' + self.text("line that is no JSON").replace('"', "").encode(),
            json.dumps({"text": self.text("row without a label")}).encode(),
            json.dumps({"text": {"is": self.text("text that is none")}, "label": "good"}).encode(),
            json.dumps({"text": self.text("label"), "label": [self.text("label")]}).encode(),
            self.text("line of UTF-16").encode("utf-16-le").replace(b"\n", b""),
        ]
        unknown = json.dumps({"text": "a film", "label": self.text("unknown label")}).encode()
        self._write(folder / "train.jsonl", TRAIN, bad)
        self._write(folder / "validation.jsonl", VALIDATION, [unknown])
        self._write(folder / "test.jsonl", TEST, [unknown])
        self._write(folder / "refused.jsonl", 2, bad * 3)
        held_out = 'validation = "validation.jsonl"\ntest = "test.jsonl"\nmax_bad_fraction = 0.3\n'
        loud = f'train = "loud://{folder}/train.jsonl"\n'
        (folder / "tasks.toml").write_text(
            f"# {self.text('comment')}\n"
            f'[tasks.mood]\nkind = "classification"\ntrain = "train.jsonl"\n{held_out}'
            f'[tasks.loud]\nkind = "classification"\n{loud}{held_out}'
            f'[tasks.refused]\nkind = "classification"\ntrain = "refused.jsonl"\n{held_out}'
        )
        (folder / "described.toml").write_text(
            f'[tasks.mood]\nkind = "classification"\ntrain = "train.jsonl"\n{held_out}'
            f"description = '{self.text('description')}'\n"
        )
        return folder

    def _write(self, file: Path, count: int, bad: list[bytes]) -> None:
        labels = ("good", "bad")
        rows = [
            {"text": self.text(f"{file.stem} row {k}"), "label": labels[k % 2], "note": self.text("column unread")}
            for k in range(count)
        ]
        good = [json.dumps(row, ensure_ascii=k % 3 == 0).encode() for k, row in enumerate(rows)]
        file.write_bytes(b"\n".join([*good[: count // 2], *bad, *good[count // 2 :]]) + b"\n")
