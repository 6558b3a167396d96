"""The frozen model, and the one place where prompts meet it."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..errors import InvalidSetting
from ..forms import Form, Prefix, PromptPool, SoftPrompt, parts
from ..types import Architecture, Batch, Place, Pooling
from . import positions
from .attention import ATTENTION, Below, Call
from .bank import PromptRows
from .fingerprint import Fingerprint, hash_config, hash_tokenizer, hash_weights
from .forward import Forward
from .inputs import Sequence, States, first_position, last_column, max_length, special_tokens
from .layouts import Layout, survey
from .loading import DEFAULT_BACKBONE, Loaded, load
from .recomputation import recompute
from .resumption import make_resumable
from .vocabulary import vocabulary_head


class Backbone:
    """A Hugging Face model whose weights never change, its tokenizer and its fingerprint."""

    def __init__(self, name: str, loaded: Loaded) -> None:
        whole = loaded.lm if loaded.lm is not None else loaded.model
        whole.eval().requires_grad_(False)
        self.model, self.lm = loaded.model, loaded.lm
        self.tokenizer = loaded.tokenizer
        self.pooling: Pooling = loaded.pooling
        self.architecture: Architecture = loaded.architecture
        self.fingerprint = Fingerprint(
            name, hash_config(self.model.config), hash_weights(whole), hash_tokenizer(self.tokenizer)
        )
        config = self.model.config.get_text_config()
        self.hidden_size: int = config.hidden_size
        self.embedding_size: int = int(self.model.get_input_embeddings().embedding_dim)  # pyright: ignore[reportArgumentType] - a plain attribute
        self._opening, self._closing = special_tokens(self.tokenizer)
        start = first_position(self.model)
        self._forward = Forward(self.reader, self.architecture, start)
        # GPT-2 would add the word embedding of a type's number
        self._typed = "token_type_ids" in self._forward.accepts and getattr(config, "type_vocab_size", 0) > 0
        self.max_length: int = max_length(config, self.tokenizer, start)
        for stack in (
            (self.model.get_encoder(), self.model.get_decoder()) if self.architecture == "encoder-decoder" else ()
        ):
            if isinstance(table := getattr(stack, "embed_positions", None), nn.Embedding):
                positions.tell(table)
        told = self.architecture == "encoder-decoder" and hasattr(self.model.get_decoder(), "embed_positions")
        self.target_length: int | None = config.max_position_embeddings if told else None  # of a decoder that counts
        self.layouts: Mapping[Place, Layout] = {}
        if self.model.config._attn_implementation == ATTENTION:
            self.layouts = survey(self._both, self.architecture)
            if self.architecture != "encoder-decoder":
                self._forward.survey()

    @classmethod
    def load(cls, name: str = DEFAULT_BACKBONE, device: str = "cpu", *, checkpointing: bool = False) -> "Backbone":
        """Load by the name of a bundled backbone, a folder, or a name on the hub.

        `checkpointing` computes every layer's activations again in the backward pass instead of keeping them.

        Raises:
            BackboneNotFound: nothing loadable goes by that name.
        """
        backbone = cls(name, load(name))
        whole: Any = backbone.model if backbone.lm is None else backbone.lm
        whole.to(device)
        if checkpointing:
            recompute(backbone.model)
        return backbone

    @property
    def place(self) -> Place:
        """Where a prefix goes unless it is said: before the text that the backbone reads."""
        return "decoder" if self.architecture == "decoder" else "encoder"

    @property
    def packs(self) -> bool:
        """Whether a batch runs without its padding."""
        return self._forward.packs

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.model.device

    def layout(self, place: Place) -> Layout:
        """The attention layers of a place.

        Raises:
            InvalidSetting: this backbone cannot take a prefix there.
        """
        if place in self.layouts:
            return self.layouts[place]
        kind = self.model.config.model_type
        if not self.layouts:
            raise InvalidSetting(
                f"{kind} computes its attention by itself, so it cannot take a prefix",
                hint="use a soft prompt: --method prompt-tuning",
            )
        raise InvalidSetting(f"{kind} has no {place} attention; its places: {', '.join(self.layouts)}")

    def check_form(self, form: Form) -> None:
        """Refuse a form that does not fit this backbone's sizes.

        Raises:
            InvalidSetting: naming both sizes.
        """
        for part in parts(form):
            match part:
                case SoftPrompt(embeddings) if embeddings.dim() != 2 or embeddings.shape[1] != self.embedding_size:
                    raise InvalidSetting(
                        f"a soft prompt of shape {tuple(embeddings.shape)} does not fit word embeddings"
                        f" of width {self.embedding_size}"
                    )
                case Prefix(key_values, layers, place):
                    own = self.layout(place)
                    expected = (len(layers), 2, own.heads, own.head_dim)
                    shape = tuple(key_values.shape)
                    if key_values.dim() != 5 or (*shape[:3], shape[4]) != expected or max(layers) >= own.layers:
                        raise InvalidSetting(
                            f"a prefix of shape {shape} in layers {layers} does not fit {own.layers} {place} layers"
                            f" of {own.heads} heads of {own.head_dim}"
                        )
                    if place == "cross" and part.shifts:
                        raise InvalidSetting("a cross prefix stands before no text, so it moves no text")
                case PromptPool():
                    self._check_pool(part)
                case SoftPrompt():
                    pass

    def _check_pool(self, pool: PromptPool) -> None:
        own, shape = self.layout(pool.place), tuple(pool.components.shape)
        several, seen = len(pool.layers), (len(pool.layers), sum(pool.blocks), self.hidden_size)
        fits = (
            pool.components.dim() == 6
            and (shape[0], shape[1], shape[3], shape[5]) == (several, 2, own.heads, own.head_dim)
            and shape[2] == seen[1] >= pool.top >= 0
            and tuple(pool.keys.shape) == tuple(pool.attentions.shape) == seen
            and max(pool.layers) < own.layers
        )
        if not fits:
            raise InvalidSetting(
                f"a pool of shape {shape} in layers {pool.layers} with keys {tuple(pool.keys.shape)} does not fit"
                f" {own.layers} {pool.place} layers of {own.heads} heads of {own.head_dim}, H {self.hidden_size}"
            )

    @property
    def opens(self) -> int:
        """How many special tokens open an input."""
        return len(self._opening)

    @property
    def closes(self) -> int:
        """How many special tokens close an input."""
        return len(self._closing)

    def enclosed(self, inner: list[int]) -> list[int]:
        """Token ids between the special tokens of an input."""
        return [*self._opening, *inner, *self._closing]

    def embed(self, input_ids: Tensor) -> Tensor:
        """Word embeddings [.., E] of token ids [..], before positions."""
        words: Any = self.model.get_input_embeddings()
        return words(input_ids)

    def hidden(self, batch: Batch, prompts: PromptRows | None = None) -> Tensor:
        """The last hidden states [B, T, H] of the text alone, seen through each row's prompt."""
        return self.states(batch, prompts).text

    def states(
        self,
        batch: Batch,
        prompts: PromptRows | None = None,
        below: Below | None = None,
        lower: Iterable[int] = (),
    ) -> States:
        """The last hidden states seen through each row's prompt, and those below the layers `lower`.

        Of an encoder-decoder, its encoder's. The text's states have the input's length, text keeps its positions
        0..T-1 unless a form says that it shifts them, and a row does not depend on the others.

        Raises:
            InvalidSetting: the model gives no access to the states between its layers.
        """
        sequence = self.sequence(batch, prompts)
        watched = {layer: torch.empty(0) for layer in lower}
        if watched:
            make_resumable(self)
        states = self.run(sequence, prompts, below, watched)
        if any(not one.numel() for one in watched.values()):
            raise InvalidSetting(f"{self.fingerprint.name} gives no access to the states between its layers")
        every = torch.arange(len(states), device=states.device)
        opening, closing = sequence.mask.argmax(1), last_column(sequence.mask)
        between = {layer: self.text(sequence, one) for layer, one in watched.items()}
        return States(self.text(sequence, states), states[every, opening], states[every, closing], between)

    def text(self, sequence: Sequence, states: Tensor) -> Tensor:
        """The states [B, T, H] of the text among those of the whole sequence."""
        if sequence.back is None:
            return states
        return states.gather(1, sequence.back[:, :, None].expand(-1, -1, states.shape[2]))

    def sequence(self, batch: Batch, prompts: PromptRows | None) -> Sequence:
        """Put each row's soft prompt among its text."""
        shift = prompts.shifts.get(self.place) if prompts is not None else None
        types = {"token_type_ids": batch.token_type_ids} if self._typed else {}
        if prompts is None or prompts.soft is None:
            mask = batch.attention_mask
            return Sequence({"input_ids": batch.input_ids} | types, mask, mask, shift, None)
        soft = prompts.soft
        order = positions.order(batch, soft, self.opens, self.closes, left=self.architecture == "decoder")
        embeds = order.merge(soft.embeddings, self.embed(batch.input_ids))
        if types:
            types["token_type_ids"] = order.merge(torch.zeros_like(soft.placement), batch.token_type_ids)
        mask = order.merge(soft.mask.to(batch.attention_mask.dtype), batch.attention_mask)
        counted = order.merge((soft.mask & soft.shifts).to(mask.dtype), batch.attention_mask)
        return Sequence({"inputs_embeds": embeds} | types, mask, counted, shift, order.back)

    def run(
        self,
        sequence: Sequence,
        prompts: PromptRows | None,
        below: Below | None = None,
        watched: dict[int, Tensor] | None = None,
        **options: Any,
    ) -> Tensor:
        """The last hidden states [B, P + T, H] of a sequence; `watched` gets some below them, the model `options`."""
        return self._forward.run(sequence, prompts, below, watched, **options)

    def vocabulary(self, states: Tensor) -> Tensor:
        """Logits [B, T, V] of an encoder's or decoder's language-model head over states [B, T, H].

        Raises:
            InvalidSetting: its files have no such head.
        """
        return vocabulary_head(self.language_model())(states)

    def language_model(self) -> PreTrainedModel:
        """The model under its language-model head.

        Raises:
            InvalidSetting: its files have none.
        """
        if self.lm is None:
            raise InvalidSetting(
                f"{self.fingerprint.name} has no language-model head, which verbalizers and generation read",
                hint="give a backbone with one: --backbone NAME|FOLDER",
            )
        return self.lm

    def keys_and_values(self, input_ids: Tensor, place: Place = "encoder") -> Tensor:
        """A place's own keys and values [L, 2, N, P, D] of one sequence of tokens [P]."""
        call = Call(captured={})
        layout = self.layout(place)
        with torch.no_grad():
            self._both(input_ids[None], input_ids[None], call)
        found = call.captured or {}
        return torch.stack([torch.cat(found[place, layer]) for layer in range(layout.layers)])

    @property
    def reader(self) -> Any:
        """What reads the text: the model, or the encoder of an encoder-decoder."""
        return self.model.get_encoder() if self.architecture == "encoder-decoder" else self.model

    def _both(self, text: Tensor, target: Tensor, call: Call) -> None:
        decoder = {"decoder_input_ids": target} if self.architecture == "encoder-decoder" else {}
        self.model(input_ids=text, prompt_call=call, **decoder)
