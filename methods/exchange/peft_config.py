"""peft's adapter_config.json, as version 0.21 writes it for its prompts.

Only sizes, the kind of task and the names of saved layers change what a saved prompt computes; how its training began
(texts, tokenizers, paths of other files) is read past and never followed.
"""

import json
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ..rows.task import Kind
from .errors import Inexact, UnreadableFile
from .foreign import shown

PEFT_VERSION = "0.21.0"
MOST_TOKENS = 10_000

TaskType: TypeAlias = Literal["SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS", "CAUSAL_LM", "SEQ_2_SEQ_LM", "FEATURE_EXTRACTION"]
Count: TypeAlias = Annotated[int, Field(ge=1, le=1_000_000)]

KIND: dict[TaskType, Kind | None] = {
    "SEQ_CLS": "classification",
    "TOKEN_CLS": "tagging",
    "QUESTION_ANS": "span-qa",
    "CAUSAL_LM": "generation",
    "SEQ_2_SEQ_LM": "generation",
    "FEATURE_EXTRACTION": None,
}
SAVED_LAYERS: dict[TaskType, list[str]] = {
    "SEQ_CLS": ["classifier", "score"],
    "TOKEN_CLS": ["classifier", "score"],
    "QUESTION_ANS": ["qa_outputs"],
}


class PeftConfig(BaseModel):
    """What every kind of prompt says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task_type: TaskType
    num_virtual_tokens: Annotated[int, Field(ge=1, le=MOST_TOKENS)]
    token_dim: Count
    num_layers: Count | None = None
    num_attention_heads: Count | None = None
    num_transformer_submodules: Literal[1, 2] | None = None
    modules_to_save: list[str] | None = None
    base_model_name_or_path: str | None = None
    auto_mapping: dict[str, Any] | None = None
    inference_mode: bool = True
    revision: str | None = None
    peft_version: str | None = None

    @property
    def submodules(self) -> int:
        """2 where peft has a second set of rows, for the decoder of an encoder-decoder."""
        return self.num_transformer_submodules or (2 if self.task_type == "SEQ_2_SEQ_LM" else 1)

    def kept(self) -> dict[str, Any]:
        """What an exported file repeats: numbers and choices, no text and no path."""
        dropped = {"base_model_name_or_path", "auto_mapping", "revision", "peft_version", "modules_to_save"}
        unsafe = {"prompt_tuning_init", "prompt_tuning_init_text", "tokenizer_name_or_path", "tokenizer_kwargs"}
        unsafe |= {"prompt_tuning_init_state_dict_path", "cpt_token_ids"}
        return self.model_dump(mode="json", exclude=dropped | unsafe)

    def to_bytes(self) -> bytes:
        """The bytes that peft writes."""
        return json.dumps(self.model_dump(mode="json"), indent=2, sort_keys=True).encode()


class PromptTuningConfig(PeftConfig):
    """Rows among the input embeddings, and how they began."""

    peft_type: Literal["PROMPT_TUNING"] = "PROMPT_TUNING"
    prompt_tuning_init: str | None = "RANDOM"
    prompt_tuning_init_text: str | None = None
    tokenizer_name_or_path: str | None = None
    tokenizer_kwargs: dict[str, Any] | None = None


class MultitaskConfig(PeftConfig):
    """A shared prompt and the factors of several tasks."""

    peft_type: Literal["MULTITASK_PROMPT_TUNING"] = "MULTITASK_PROMPT_TUNING"
    prompt_tuning_init: str | None = "RANDOM"
    prompt_tuning_init_text: str | None = None
    prompt_tuning_init_state_dict_path: str | None = None
    prompt_tuning_init_task: int | None = 0
    tokenizer_name_or_path: str | None = None
    tokenizer_kwargs: dict[str, Any] | None = None
    num_ranks: Count = 1
    num_tasks: Count = 1


class PTuningConfig(PeftConfig):
    """Rows that an encoder made; peft saves them folded, without it."""

    peft_type: Literal["P_TUNING"] = "P_TUNING"
    encoder_dropout: float = 0.0
    encoder_hidden_size: int | None = None
    encoder_num_layers: int = 2
    encoder_reparameterization_type: Literal["MLP", "LSTM"] = "MLP"


class PrefixTuningConfig(PeftConfig):
    """Keys and values of every layer; peft saves them folded, without the projection."""

    peft_type: Literal["PREFIX_TUNING"] = "PREFIX_TUNING"
    encoder_hidden_size: int | None = None
    init_weights: Literal["zero"] | None = None
    prefix_projection: bool = False


class CartridgeConfig(PeftConfig):
    """Keys and values of every layer, some of which did not train."""

    peft_type: Literal["CARTRIDGE"] = "CARTRIDGE"
    num_frozen_tokens: int = 1


class CptConfig(PeftConfig):
    """Rows that stayed near those of a text; peft saves the sum."""

    peft_type: Literal["CPT"] = "CPT"
    cpt_mask: list[int] | None = None
    cpt_token_ids: list[int] | None = None
    cpt_tokens_type_mask: list[int] | None = None
    opt_loss_decay_factor: float | None = 1.0
    opt_projection_epsilon: float | None = 0.1
    opt_projection_format_epsilon: float | None = 0.1
    opt_weighted_loss_type: Literal["none", "decay"] | None = "none"
    tokenizer_name_or_path: str | None = None


Config: TypeAlias = (
    PromptTuningConfig | MultitaskConfig | PTuningConfig | PrefixTuningConfig | CartridgeConfig | CptConfig
)
CONFIGS: dict[str, type[Config]] = {
    "PROMPT_TUNING": PromptTuningConfig,
    "MULTITASK_PROMPT_TUNING": MultitaskConfig,
    "P_TUNING": PTuningConfig,
    "PREFIX_TUNING": PrefixTuningConfig,
    "CARTRIDGE": CartridgeConfig,
    "CPT": CptConfig,
}


def parse(values: dict[str, Any]) -> Config:
    """Read a configuration; a field that this version of peft does not have is refused unless it is null.

    Raises:
        Inexact: another kind of adapter, or a field that may change what it computes.
        UnreadableFile: a field is missing or of another type.
    """
    kind = CONFIGS.get(str(values.get("peft_type")))
    if kind is None:
        raise Inexact(
            f"the adapter is of peft's type {shown(values.get('peft_type'))}",
            hint=f"prompts are {', '.join(CONFIGS)}; others change the backbone's own layers",
        )
    strangers = sorted(key for key, value in values.items() if key not in kind.model_fields and value is not None)
    if strangers:
        raise Inexact(f"adapter_config.json has the field {shown(strangers[0])}, unknown to peft {PEFT_VERSION}")
    try:
        return TypeAdapter(kind).validate_python({key: values[key] for key in values if key in kind.model_fields})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UnreadableFile(f"adapter_config.json: {where}: {first['msg']}") from None
