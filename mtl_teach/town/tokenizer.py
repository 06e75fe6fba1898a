"""The town's tokenizer in Hugging Face format: one token per town word, bytes for everything else.

Nothing is ever unknown: a word outside the vocabulary falls back to its UTF-8 bytes. A token holds the space before
its word, so "Mara" is the same token at the start of a text and inside it. Two texts of a pair are joined by <sep>.
"""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from . import lexicon, parse, texts, words
from .build import TASKS, town_tasks

SPECIAL = ("<pad>", "<eos>", "<sep>")
MAX_LENGTH = 128


def vocabulary() -> list[str]:
    """Every word and mark that the town writes, invented words included; sorted."""
    rows = [row for data in town_tasks(list(TASKS), train=1000, validation=0, test=0).values() for row in data.train]
    written = [row[field] for row in rows for field in ("text", "text_b", "label") if isinstance(row.get(field), str)]
    seen = {token for text in (*texts.corpus(20_000), *written) for token in parse.tokenize(text)}
    return sorted(seen | {*lexicon.INVENTED, *lexicon.PLAIN, *words.POLARITY})


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer whose vocabulary holds whole words; no merges are needed."""
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=True)
    pieces = {piece for word in vocabulary() for piece, _ in byte_level.pre_tokenize_str(word)}
    names = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    names += sorted(piece for piece in pieces if piece not in names)
    raw = Tokenizer(models.BPE({name: i for i, name in enumerate(names)}, [], ignore_merges=True))
    raw.pre_tokenizer, raw.decoder = byte_level, decoders.Sequence(
        [decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    raw.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        processors.TemplateProcessing(single="$A", pair="$A <sep> $B", special_tokens=[("<sep>", SPECIAL.index("<sep>"))])])
    return PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", bos_token="<eos>", eos_token="<eos>",
                                   sep_token="<sep>", model_max_length=MAX_LENGTH, padding_side="right",
                                   model_input_names=["input_ids", "attention_mask"])
