"""The language model that the tasks share: "tiny" (embedded), any AutoModel by name or folder, or a module.

A `Backbone` is the model without its own output layer, its tokenizer, and the right way to turn the hidden
states of a text into one vector:

    last   the last real token. In a decoder only that position has read the whole text.
    mean   the mean over the real tokens. The usual choice for encoders.
    cls    the first token. Only for encoders that were trained to use it; in a decoder it has read nothing.
"""

from __future__ import annotations

import copy
import inspect
import os
from pathlib import Path

import torch
from torch import nn

from .tasks import TaskError, nearest

TINY = Path(__file__).parent / "assets" / "tiny"
POOLINGS = ("last", "mean", "cls")
WELL_KNOWN = ("tiny", "gpt2", "distilgpt2", "bert-base-uncased", "distilbert-base-uncased", "roberta-base",
              "HuggingFaceTB/SmolLM2-135M")


class Backbone(nn.Module):
    """A language model body, its tokenizer and its pooling.

    model      a transformers model that returns `last_hidden_state` (B, T, D)
    tokenizer  its tokenizer; must have a pad token (see `load_backbone`, which gives it one)
    pooling    "last", "mean" or "cls"; None chooses "last" for decoders and "mean" for encoders
    """

    def __init__(self, model: nn.Module, tokenizer, pooling: str | None = None):
        super().__init__()
        self.model, self.tokenizer = model, tokenizer
        self.causal = reads_left_to_right(model)
        self.pooling = pooling or ("last" if self.causal else "mean")
        if self.pooling not in POOLINGS:
            raise TaskError(f"unknown pooling {self.pooling!r}.{nearest(self.pooling, POOLINGS)}")
        if self.pooling == "cls" and self.causal:
            raise TaskError("pooling='cls' on a decoder: its first position has read nothing of the text. Use 'last'.")
        known = inspect.signature(model.forward).parameters
        self._wants_positions = self.causal and "position_ids" in known
        self._wants_types = ("token_type_ids" in known and getattr(model.config, "type_vocab_size", 0) > 1
                             and tokenizer.sep_token_id is not None)

    @property
    def width(self) -> int:
        """D, the size of the hidden states."""
        return self.model.config.hidden_size

    @property
    def depth(self) -> int:
        return self.model.config.num_hidden_layers

    @property
    def max_length(self) -> int:
        """How many tokens the model can read."""
        return min(getattr(self.model.config, "max_position_embeddings", 10**9) or 10**9, self.tokenizer.model_max_length)

    def forward(self, input_ids, attention_mask, all_layers: bool = False):
        """(B, T) ids and mask -> hidden states (B, T, D); with all_layers a tuple of depth + 1 of them."""
        more = {}
        if self._wants_positions and not attention_mask[:, 0].all():    # count real tokens, or left padding would shift texts
            more["position_ids"] = (attention_mask.cumsum(1) - 1).clamp(min=0)
        if self._wants_types:
            more["token_type_ids"] = second_text(input_ids, attention_mask, self.tokenizer.sep_token_id)
        if self.causal:
            more["use_cache"] = False
        out = self.model(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=all_layers, **more)
        if all_layers and out.hidden_states is None:      # transformers records layers only for classes that were built once in
            with torch.device("meta"):                    # this process; a model that came from another one was not built here
                type(self.model)(self.model.config)
            out = self.model(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True, **more)
        return out.hidden_states if all_layers else out.last_hidden_state

    def pool(self, hidden, attention_mask):
        """Hidden states (B, T, D) and mask (B, T) -> one vector per text (B, D). Padding never counts."""
        return pool(hidden, attention_mask, self.pooling)

    def embedding(self) -> torch.Tensor:
        """The token embeddings (V, D), which a generating head shares."""
        return self.model.get_input_embeddings().weight

    def clone(self, pretrained: bool = True, seed: int = 0) -> Backbone:
        """A copy of its own; with pretrained=False freshly initialised from the same configuration."""
        model = copy.deepcopy(self.model) if pretrained else fresh(self.model.config, seed)
        return Backbone(model, self.tokenizer, self.pooling)


def second_text(input_ids, attention_mask, separator: int):
    """(B, T) ids and mask -> (B, T) token types: 1 on the second text of a pair and the separator after it, else 0.

    BERT (Devlin et al. 2019, section 3.2) tells the two texts apart by an embedding of these types. They follow from the
    ids, so a batch need not carry them: a token is of the second text if a separator stands before it.
    """
    separators = (input_ids == separator).long()
    return (separators.cumsum(1) > separators).long() * attention_mask


def pool(hidden, attention_mask, how: str = "mean"):
    """hidden (B, T, D), attention_mask (B, T) -> (B, D). Right for left and for right padding."""
    if how == "mean":
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)                          # (B, T, 1)
        return (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
    places = torch.arange(attention_mask.size(1), device=hidden.device)
    if how == "last":
        where = (attention_mask * places).argmax(1)                                   # (B,) last real token
    else:
        where = attention_mask.argmax(1)                                              # (B,) first real token
    return hidden[torch.arange(hidden.size(0), device=hidden.device), where]


@torch.no_grad()
def reads_left_to_right(model: nn.Module) -> bool:
    """Whether the model is a decoder, found out by trying: does a later token change an earlier hidden state?"""
    training, device = model.training, next(model.parameters()).device
    model.eval()
    first = model(input_ids=torch.tensor([[1, 2, 3]], device=device)).last_hidden_state
    other = model(input_ids=torch.tensor([[1, 2, 4]], device=device)).last_hidden_state
    model.train(training)
    return bool(torch.equal(first[:, :2], other[:, :2]))


def load_backbone(source="tiny", *, tokenizer=None, pooling: str | None = None, pretrained: bool = True,
                  seed: int = 0) -> Backbone:
    """A Backbone from "tiny", a Hugging Face name, a folder, a module with its tokenizer, or a Backbone.

    pretrained=False keeps the architecture and draws new weights from `seed`. An unknown name, or one that is not
    on this machine while there is no network, is a TaskError that says what to do.
    """
    if isinstance(source, Backbone):
        return source if pretrained else source.clone(pretrained=False, seed=seed)
    if isinstance(source, nn.Module):
        if tokenizer is None:
            raise TaskError("a model object needs its tokenizer: load_backbone(model, tokenizer=tokenizer).")
        return Backbone(_body(source), ready(tokenizer), pooling)
    model, found = _load(str(TINY) if source == "tiny" else str(source))
    body = _body(model)
    return Backbone(body if pretrained else fresh(body.config, seed), ready(tokenizer or found), pooling)


def _load(name):
    from transformers import AutoConfig, AutoModel, AutoTokenizer
    from transformers.utils import logging
    logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(name)
        if getattr(config, "is_encoder_decoder", False):
            raise TaskError(f"{name!r} is an encoder-decoder; this course shares encoders or decoders. "
                            "Use its encoder: load_backbone(model.get_encoder(), tokenizer=tokenizer).")
        model = AutoModel.from_pretrained(name, dtype="float32")       # the default would be the checkpoint's own dtype
        return model, AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        if isinstance(error, TaskError):
            raise
        raise TaskError(_not_found(name)) from error


def _not_found(name):
    if Path(name).is_dir():
        return (f"the folder {name!r} holds no model and tokenizer that transformers can load "
                "(config.json, model.safetensors, tokenizer.json).")
    offline = " The Hugging Face libraries are set to offline (HF_HUB_OFFLINE)." if os.environ.get("HF_HUB_OFFLINE") else ""
    return (f"the language model {name!r} is not on this machine and could not be fetched.{offline}{nearest(name, WELL_KNOWN)} "
            "Three ways out: (1) connect to a network, and unset HF_HUB_OFFLINE if it is set; (2) give a folder that "
            "holds the model, e.g. one copied from another machine's cache; (3) use the embedded model, 'tiny'.")


def _body(model):
    """The model without its output layer, which would be computed for nothing and whose tied weights break saving.

    BERT's pooler goes too: our pooling replaces it, and a layer without gradient only looks trained.
    """
    body = getattr(model, "base_model", model)
    if getattr(body, "pooler", None) is not None:
        body.pooler = None
    return body


def fresh(config, seed: int = 0) -> nn.Module:
    """A model of this configuration with new weights that depend on nothing but the seed (see small_backbone for the keys)."""
    from transformers import AutoModel
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _body(AutoModel.from_config(copy.deepcopy(config)))
    if getattr(config, "keys_begin_as_queries", False):
        with torch.no_grad():
            for query, key in queries_and_keys(model):
                key.copy_(query)
    return model


def queries_and_keys(model: nn.Module):
    """The (D, D) weights of queries and keys in every layer of GPT-2, BERT or Llama; views, so writing to them counts."""
    for module in model.modules():
        if hasattr(module, "c_attn"):                                     # GPT-2 keeps them in one matrix, transposed
            query, key, _ = module.c_attn.weight.chunk(3, dim=1)
            yield query, key
        elif hasattr(module, "q_proj"):
            yield module.q_proj.weight, module.k_proj.weight
        elif hasattr(module, "query"):
            yield module.query.weight, module.key.weight


def ready(tokenizer):
    """See to a pad token and to a separator between the texts of a pair; GPT-2's tokenizer comes without both."""
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token_id is None:
        raise TaskError("the tokenizer has no pad, end or unknown token to pad with; set tokenizer.pad_token.")
    separates = tokenizer.num_special_tokens_to_add(pair=True) > tokenizer.num_special_tokens_to_add(pair=False)
    if not separates and tokenizer.is_fast:
        _add_separator(tokenizer)
    return tokenizer


def _add_separator(tokenizer):
    from tokenizers import processors
    token = tokenizer.sep_token or tokenizer.eos_token or tokenizer.pad_token
    template = processors.TemplateProcessing(single="$A:0", pair=f"$A:0 {token}:0 $B:1",
                                             special_tokens=[(token, tokenizer.convert_tokens_to_ids(token))])
    backend, before = tokenizer.backend_tokenizer, tokenizer.backend_tokenizer.post_processor
    backend.post_processor = processors.Sequence([before, template]) if before else template
