"""A small language model for your own texts, where no pretrained one can be had: a tokenizer trained on them, new weights.

It has read nothing before training begins. On a few hundred labels expect it below a plain baseline (TF-IDF with
logistic regression); with some thousands it may pass it. Where there is a network, a pretrained model is the better choice.
"""

from __future__ import annotations

from .backbones import Backbone, fresh, load_backbone
from .tasks import TaskError, TaskSet, nearest

SPECIAL = ("<pad>", "<unk>", "<s>", "</s>")
ARCHITECTURES = ("bert", "gpt2", "llama")


def new_backbone(tasks: TaskSet, architecture: str = "bert", *, width: int = 64, depth: int = 2, heads: int = 4,
                 vocabulary: int = 4000, max_length: int = 256, lowercase: bool = True, dropout: float = 0.0,
                 seed: int = 0) -> Backbone:
    """A Backbone with new weights, and a tokenizer that was trained on the training texts of the tasks.

    architecture  "bert" (an encoder, pooled by the mean), "gpt2" or "llama" (decoders, pooled at the last token)
    width         D, the size of the hidden states; `heads` must divide it
    vocabulary    at most so many pieces; a piece must occur twice (byte-pair encoding, Sennrich et al. 2016)
    max_length    tokens it can read
    lowercase     read capitals as small letters; False where they tell something, as in names
    dropout       the part of every hidden state that is set to 0 in training (Srivastava et al. 2014): for models that
                  know their training rows by heart

    Each layer's keys begin as its queries, so that a token finds its like, in the other text of a pair too. With keys of
    their own so small a model hardly learned to compare two texts (after Trockman & Kolter 2023, "Mimetic initialization
    of self-attention layers", whose layers begin with this and more).

    Validation and test texts are not looked at. Unknown architectures and sizes that do not fit are a TaskError.
    """
    if architecture not in ARCHITECTURES:
        raise TaskError(f"unknown architecture {architecture!r}.{nearest(architecture, ARCHITECTURES)}")
    if min(width, depth, heads, max_length) < 1 or width % heads:
        raise TaskError(f"width={width}, depth={depth}, heads={heads}, max_length={max_length}: give numbers of at least 1, "
                        "and heads that divide the width.")
    if dropout and architecture == "llama":
        raise TaskError("the Llama architecture has no dropout on hidden states; leave it at 0, or take 'bert' or 'gpt2'.")
    if not 0 <= dropout < 1:
        raise TaskError(f"dropout={dropout}: give a part of at least 0 and less than 1.")
    if not any(data.train for data in tasks.values()):
        raise TaskError("the tasks have no training texts to learn a tokenizer from.")
    tokenizer = _tokenizer(tasks, vocabulary, max_length, lowercase)
    config = _config(architecture, len(tokenizer), width, depth, heads, max_length, dropout)
    config.keys_begin_as_queries = True                          # read by `fresh`, so that every later redraw does so too
    return load_backbone(fresh(config, seed), tokenizer=tokenizer)


def texts(tasks: TaskSet):
    """Every training text of every task, the second ones of pairs and what is to be written included."""
    for data in tasks.values():
        for row in data.train:
            yield row["text"] if "text" in row else " ".join(row["tokens"])
            if "text_b" in row:
                yield row["text_b"]
            if data.task.kind == "generate":
                yield row["label"]


def _tokenizer(tasks, vocabulary, max_length, lowercase):
    """Byte-pair encoding; <s> before a text, </s> after it and between the texts of a pair."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast
    raw = Tokenizer(models.BPE(unk_token="<unk>"))
    raw.normalizer = normalizers.Sequence([normalizers.NFC(), *[normalizers.Lowercase()] * lowercase])
    raw.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(),
                                                 pre_tokenizers.Punctuation()])
    raw.decoder = decoders.Metaspace()
    raw.train_from_iterator(texts(tasks), trainers.BpeTrainer(vocab_size=vocabulary, min_frequency=2, show_progress=False,
                                                              special_tokens=list(SPECIAL)))
    start, end = SPECIAL.index("<s>"), SPECIAL.index("</s>")
    raw.post_processor = processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> $B:1 </s>:1",
                                                       special_tokens=[("<s>", start), ("</s>", end)])
    return PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", unk_token="<unk>", bos_token="<s>",
                                   eos_token="</s>", sep_token="</s>", cls_token="<s>", model_max_length=max_length,
                                   model_input_names=["input_ids", "attention_mask"])


def _config(architecture, pieces, width, depth, heads, max_length, dropout):
    """A configuration whose first weights have a spread that suits small models trained for some hundred steps.

    Dropout falls on hidden states alone, not on the weights of attention.
    """
    from transformers import BertConfig, GPT2Config, LlamaConfig
    pad, start, end = (SPECIAL.index(name) for name in ("<pad>", "<s>", "</s>"))
    if architecture == "gpt2":
        return GPT2Config(vocab_size=pieces, n_embd=width, n_layer=depth, n_head=heads, n_positions=max_length,
                          resid_pdrop=dropout, embd_pdrop=dropout, attn_pdrop=0, initializer_range=0.1, pad_token_id=pad,
                          bos_token_id=start, eos_token_id=end)
    sizes = dict(vocab_size=pieces, hidden_size=width, num_hidden_layers=depth, num_attention_heads=heads,
                 intermediate_size=4 * width, max_position_embeddings=max_length, initializer_range=0.1, pad_token_id=pad)
    if architecture == "llama":
        return LlamaConfig(**sizes, num_key_value_heads=heads, bos_token_id=start, eos_token_id=end)
    return BertConfig(**sizes, hidden_dropout_prob=dropout, attention_probs_dropout_prob=0)
