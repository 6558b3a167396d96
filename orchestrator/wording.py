"""How a task is worded in its TOML table: templates, and the words that stand for its labels."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

WORDED = ("classification", "pair", "generation")  # kinds of task that a template can hold
VERBALIZED = ("classification", "pair")


class Wording(BaseModel):
    """Templates around a row's text, and for each label the words that a language model says for it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    templates: tuple[str, ...] = Field(min_length=1)
    verbalizer: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _one_template(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or "template" not in value:
            return value
        if "templates" in value:
            raise ValueError("template or templates, not both")
        rest = {key: one for key, one in value.items() if key != "template"}
        return rest | {"templates": [value["template"]]}

    @field_validator("verbalizer")
    @classmethod
    def _each_label_has_words(cls, verbalizer: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        if not all(words and all(word.strip() for word in words) for words in verbalizer.values()):
            raise ValueError("each label needs a word, and no word is empty")
        return verbalizer

    def check(self, kind: str) -> None:
        """Refuse what a task of this kind cannot have, with a ValueError."""
        if kind not in WORDED:
            raise ValueError(f"text_prompt: a {kind} task has none; {', '.join(WORDED)} tasks may")
        if self.verbalizer and kind not in VERBALIZED:
            raise ValueError(f"text_prompt: a {kind} task has no verbalizer")

    def words(self, labels: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        """Each label's words, in the order of the labels; a ValueError where a label has none, or words no label."""
        if not self.verbalizer:
            return ()
        if lacking := sum(label not in self.verbalizer for label in labels):
            raise ValueError(f"text_prompt: the verbalizer has no words for {lacking} of {len(labels)} labels")
        if strangers := sorted(set(self.verbalizer) - set(labels)):
            raise ValueError(f"text_prompt: the verbalizer has words for {strangers[0]!r}, which is no label")
        return tuple(self.verbalizer[label] for label in labels)
