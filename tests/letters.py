"""A tiny GPT-2 that reads bytes, so that its token ids give a text back exactly."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast


def letter_gpt2(folder: Path, *, positions: int = 512) -> Path:
    """A GPT-2 of 3 layers, 4 heads of dimension 10, over the 256 bytes, saved with its tokenizer."""
    words = ["<pad>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    backend = Tokenizer(models.BPE({word: index for index, word in enumerate(words)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(words), n_positions=positions, n_embd=40, n_layer=3, n_head=4, initializer_range=0.3,
        pad_token_id=0, bos_token_id=1, eos_token_id=1,
    )  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, model_max_length=positions, pad_token="<pad>", eos_token="</s>"
    )
    tokenizer.save_pretrained(folder)
    return folder
