"""Tiny random backbones whose dimensions are pairwise distinct, so that a swapped axis cannot go unseen."""

from pathlib import Path

import torch
from transformers import BertConfig, BertModel, BertTokenizer

WORDS = """
the a an of in on to and was is not very good bad great awful film book hotel train phone dull bright slow quick
warm cold who what when where which how many old new red blue green river city mayor bridge tower opened built sold
left right north south one two three four five day night year month quiet loud happy
"""
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def tiny_bert(folder: Path, *, seed: int = 0, positions: int = 64) -> Path:
    """A BERT of 3 layers, 4 heads of dimension 10 (hidden size 40), saved with its tokenizer."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = list(dict.fromkeys([*special, *WORDS.split(), *LETTERS, *(f"##{c}" for c in LETTERS)]))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    tokenizer = BertTokenizer(vocab=str(folder / "vocab.txt"), model_max_length=positions)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=40,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=56,
        max_position_embeddings=positions,
        initializer_range=0.3,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
