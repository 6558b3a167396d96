"""Free text in two steps: what the language model thinks, then its answer (Kojima et al., 2022, section 3.1)."""

from dataclasses import dataclass
from typing import ClassVar

from .generation import LONGEST, GenerationHead


@dataclass(frozen=True)
class ReasoningHead(GenerationHead):
    """`limit` is that of the thoughts; the trigger's tokens stand behind them and ask for the answer."""

    name: ClassVar[str] = "reasoning"
    trigger: tuple[int, ...] = ()
    answer_limit: int = LONGEST  # tokens
