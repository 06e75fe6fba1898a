"""Small models of three architectures, made from their configurations and saved as real Hugging Face folders."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaModel, PreTrainedTokenizerFast

import mtl_teach as mtl
from mtl_teach.tasks import Task, TaskData, TaskSet

WORDS = ("the a bakery cafe bread soup tea was is not very good bad great awful cold warm today Mara Ivo sold likes "
         "who what when where . , ?").split()
ARCHITECTURES = ("gpt2", "bert", "llama")


def tokenizer(style: str) -> PreTrainedTokenizerFast:
    """Word-level; BERT's adds [CLS] and [SEP], GPT-2's adds nothing and has no pad token, as the real ones."""
    special = {"bert": ["[PAD]", "[CLS]", "[SEP]", "[UNK]"], "gpt2": ["<|endoftext|>"], "llama": ["<unk>", "<s>", "</s>"]}[style]
    vocab = {word: i for i, word in enumerate(special + WORDS)}
    unknown = {"bert": "[UNK]", "gpt2": "<|endoftext|>", "llama": "<unk>"}[style]
    raw = Tokenizer(models.WordLevel(vocab, unk_token=unknown))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    if style == "bert":
        raw.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
                                                           special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
        named = dict(pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]")
    elif style == "llama":
        raw.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)])
        named = dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    else:
        named = dict(bos_token="<|endoftext|>", eos_token="<|endoftext|>", unk_token="<|endoftext|>")
    return PreTrainedTokenizerFast(tokenizer_object=raw, model_max_length=32, **named)


def model(style: str, seed: int = 0):
    """An untrained model with 2 layers, D = 16."""
    torch.manual_seed(seed)
    size = len(WORDS) + 4
    if style == "gpt2":
        return GPT2LMHeadModel(GPT2Config(vocab_size=size, n_embd=16, n_layer=2, n_head=2, n_positions=32, bos_token_id=0,
                                          eos_token_id=0, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, initializer_range=0.2))
    if style == "bert":
        return BertModel(BertConfig(vocab_size=size, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                                    intermediate_size=32, max_position_embeddings=32, hidden_dropout_prob=0,
                                    attention_probs_dropout_prob=0, initializer_range=0.2), add_pooling_layer=False)
    return LlamaModel(LlamaConfig(vocab_size=size, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                                  num_key_value_heads=1, intermediate_size=32, max_position_embeddings=32,
                                  bos_token_id=1, eos_token_id=2, initializer_range=0.2))


def folder(style: str, path):
    """The model saved as a folder that AutoModel and AutoTokenizer load."""
    model(style).save_pretrained(path)
    tokenizer(style).save_pretrained(path)
    return str(path)


def backbone(style: str, **options):
    return mtl.load_backbone(model(style), tokenizer=tokenizer(style), **options)


def rows(count: int, seed: int = 0) -> list[tuple[str, bool]]:
    """Sentences of 4 to 9 words, and whether they hold more praise than blame."""
    generator = torch.Generator().manual_seed(seed)
    pick = lambda words: words[int(torch.randint(len(words), (1,), generator=generator))]              # noqa: E731
    made = []
    for _ in range(count):
        good = bool(torch.randint(2, (1,), generator=generator))
        place, word = pick(("bakery", "cafe")), pick(("good", "great", "warm") if good else ("bad", "awful", "cold"))
        tail = " ".join(pick(("today", "the tea is not sold", "Mara likes bread", "")).split())
        made.append((f"the {place} was {pick(('', 'very '))}{word} {tail}".strip().replace("  ", " "), good))
    return made


def task_set(count: int = 24, kinds=("classify", "regress", "tag", "pair", "multilabel")) -> TaskSet:
    """A task of each kind over the same sort of sentences."""
    made = {}
    for number, kind in enumerate(kinds):
        train, test = rows(count, seed=number), rows(8, seed=100 + number)
        spec, shape = _SHAPES[kind]
        made[spec.name] = TaskData(spec, [shape(*r) for r in train], [shape(*r) for r in test], [shape(*r) for r in test])
    return TaskSet(made)


def _tags(text, good):
    words = text.split()
    return {"tokens": words, "label": ["B-PLACE" if word in ("bakery", "cafe") else "O" for word in words]}


def _span(text, good):
    word = text.split()[1]
    start = text.index(word)
    return {"text": "what was good ?", "text_b": text, "label": [start, start + len(word)]}


_SHAPES = {
    "classify": (Task("mood", "classify", ("bad", "good")), lambda t, g: {"text": t, "label": "good" if g else "bad"}),
    "regress": (Task("stars", "regress"), lambda t, g: {"text": t, "label": 4.5 if g else 1.5}),
    "tag": (Task("places", "tag", ("B-PLACE", "I-PLACE", "O")), _tags),
    "pair": (Task("same", "classify", ("no", "yes"), pair=True),
             lambda t, g: {"text": t, "text_b": "the tea was good", "label": "yes" if g else "no"}),
    "multilabel": (Task("about", "multilabel", ("bakery", "tea")),
                   lambda t, g: {"text": t, "label": [w for w in ("bakery", "tea") if w in t.split()]}),
    "span": (Task("where", "span", pair=True), _span),
    "generate": (Task("reply", "generate"), lambda t, g: {"text": t, "label": "the tea is good" if g else "Mara likes bread"}),
}
