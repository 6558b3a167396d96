"""Tiny random backbones of every architecture; their dimensions are pairwise distinct, so that a swapped axis shows."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, BertTokenizer, PreTrainedTokenizerFast

WORDS = """
the a an of in on to and was is it not very good bad great awful film book hotel train phone dull bright slow quick
warm cold who what when where which how many old new red blue green river city mayor bridge tower opened built sold
left right north south one two three four five day night year month quiet loud happy
"""
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def vocabulary(special: list[str]) -> list[str]:
    """Special tokens, words, letters, and letters that go on a word."""
    return list(dict.fromkeys([*special, *WORDS.split(), *LETTERS, *(f"##{letter}" for letter in LETTERS)]))


def tiny_bert(folder: Path, *, seed: int = 0, positions: int = 64) -> Path:
    """A BERT of 3 layers, 4 heads of dimension 10 (hidden size 40), saved with its tokenizer."""
    words = vocabulary(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = BertTokenizer(vocab=str(folder / "vocab.txt"), model_max_length=positions)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(words),
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


@dataclass(frozen=True)
class Family:
    """How one architecture is made tiny: its classes, its sizes, and the special tokens around a text."""

    model: str  # class with the language-model head
    config: Callable[[int, int], Any]  # from vocabulary size and positions
    special: tuple[str, ...]
    one: str
    two: str


_BERT = (("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"), "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")
_ROBERTA = (("<s>", "<pad>", "</s>", "<unk>", "<mask>"), "<s> $A </s>", "<s> $A </s> </s> $B </s>")
_PLAIN = (("<pad>", "<unk>", "</s>", "<s>"), "$A", "$A $B")
_LLAMA = (("<pad>", "<unk>", "</s>", "<s>"), "<s> $A", "<s> $A $B")
_T5 = (("<pad>", "</s>", "<unk>", "<mask>"), "$A </s>", "$A </s> $B </s>")
_IDS_BERT = {"pad_token_id": 0}
_IDS_ROBERTA = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
_IDS_DECODER = {"pad_token_id": 0, "bos_token_id": 3, "eos_token_id": 2}


def _encoder(name: str, **more: Any) -> Callable[[int, int], Any]:
    def build(words: int, positions: int) -> Any:
        sizes: dict[str, Any] = {
            "vocab_size": words,
            "hidden_size": 40,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "intermediate_size": 56,
            "max_position_embeddings": positions,
            "initializer_range": 0.3,
        }
        return getattr(transformers, name)(**sizes | more)

    return build


def _config(name: str, positions_key: str | None = None, **sizes: Any) -> Callable[[int, int], Any]:
    def build(words: int, positions: int) -> Any:
        more = {positions_key: positions} if positions_key else {}
        return getattr(transformers, name)(vocab_size=words, **sizes, **more)

    return build


FAMILIES = {
    "bert": Family("BertForMaskedLM", _encoder("BertConfig"), *_BERT),
    "roberta": Family(
        "RobertaForMaskedLM", lambda v, p: _encoder("RobertaConfig", **_IDS_ROBERTA)(v, p + 2), *_ROBERTA
    ),
    "distilbert": Family(
        "DistilBertForMaskedLM",
        _config(
            "DistilBertConfig",
            "max_position_embeddings",
            dim=40,
            n_layers=3,
            n_heads=4,
            hidden_dim=56,
            initializer_range=0.3,
        ),
        *_BERT,
    ),
    "albert": Family("AlbertForMaskedLM", _encoder("AlbertConfig", embedding_size=24, **_IDS_BERT), *_BERT),
    "electra": Family("ElectraForMaskedLM", _encoder("ElectraConfig", embedding_size=24), *_BERT),
    "mpnet": Family("MPNetForMaskedLM", lambda v, p: _encoder("MPNetConfig", **_IDS_ROBERTA)(v, p + 2), *_ROBERTA),
    "deberta-v2": Family(
        "DebertaV2ForMaskedLM",
        _encoder("DebertaV2Config", relative_attention=True, pos_att_type=["p2c", "c2p"], **_IDS_BERT),
        *_BERT,
    ),
    "modernbert": Family(
        "ModernBertForMaskedLM",
        _encoder(
            "ModernBertConfig",
            pad_token_id=0,
            cls_token_id=2,
            sep_token_id=3,
            bos_token_id=2,
            eos_token_id=3,
            local_attention=16,
            global_attn_every_n_layers=2,
        ),
        *_BERT,
    ),
    "gpt2": Family(
        "GPT2LMHeadModel",
        _config("GPT2Config", "n_positions", n_embd=40, n_layer=3, n_head=4, initializer_range=0.3, **_IDS_DECODER),
        *_PLAIN,
    ),
    "llama": Family("LlamaForCausalLM", _encoder("LlamaConfig", num_key_value_heads=2, **_IDS_DECODER), *_LLAMA),
    "qwen3": Family(
        "Qwen3ForCausalLM", _encoder("Qwen3Config", num_key_value_heads=2, head_dim=12, **_IDS_DECODER), *_PLAIN
    ),
    "t5": Family(
        "T5ForConditionalGeneration",
        _config(
            "T5Config",
            "n_positions",
            d_model=40,
            d_kv=12,
            d_ff=56,
            num_layers=3,
            num_decoder_layers=2,
            num_heads=4,
            initializer_factor=1.0,
            pad_token_id=0,
            eos_token_id=1,
            decoder_start_token_id=0,
        ),
        *_T5,
    ),
    "bart": Family(
        "BartForConditionalGeneration",
        _config(
            "BartConfig",
            "max_position_embeddings",
            d_model=40,
            encoder_layers=3,
            decoder_layers=2,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=56,
            decoder_ffn_dim=48,
            init_std=0.2,
            decoder_start_token_id=2,
            forced_eos_token_id=None,
            **_IDS_ROBERTA,
        ),
        *_ROBERTA,
    ),
}


def tiny(name: str, folder: Path, *, seed: int = 0, positions: int = 64) -> Path:
    """A saved tiny model of a family, with its language-model head and its tokenizer."""
    family = FAMILIES[name]
    words = vocabulary(list(family.special))
    torch.manual_seed(seed)
    getattr(transformers, family.model)(family.config(len(words), positions)).save_pretrained(folder)
    _tokenizer(family, words, positions).save_pretrained(folder)
    return folder


def _tokenizer(family: Family, words: list[str], positions: int) -> PreTrainedTokenizerFast:
    ids = {word: index for index, word in enumerate(words)}
    names = {word.strip("[]<>"): word for word in family.special}
    unknown = names.get("UNK") or names["unk"]
    backend = Tokenizer(models.WordPiece(ids, unk_token=unknown))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    used = [(word, ids[word]) for word in family.special if word in family.one]
    backend.post_processor = processors.TemplateProcessing(single=family.one, pair=family.two, special_tokens=used)
    end = names.get("/s") or names["SEP"]
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=positions,
        unk_token=unknown,
        pad_token=names.get("PAD") or names["pad"],
        mask_token=names.get("MASK") or names.get("mask"),
        eos_token=end,
    )
