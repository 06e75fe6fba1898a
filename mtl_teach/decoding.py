"""Writing text with a sharing model: greedy decoding for tasks of the kind "generate"."""

from __future__ import annotations

import torch

from .batching import Batch, collate
from .encoding import Encoded


@torch.no_grad()
def write(model, name: str, batch: Batch, max_new_tokens: int = 40) -> list[str]:
    """Continue each prompt of the batch with the likeliest token until the end token; returns the texts.

    The whole prefix is read again at every step: plain, and right for any sharing model.
    """
    tokenizer, tasks = model.backbone.tokenizer, model.tasks
    prompts = [ids[mask.bool()].tolist() for ids, mask in zip(batch.input_ids[batch.rows[name]],
                                                              batch.attention_mask[batch.rows[name]])]
    texts, open_rows = list(prompts), set(range(len(prompts)))
    room = model.backbone.max_length - max(map(len, prompts))
    for _ in range(min(max_new_tokens, room)):
        rows = sorted(open_rows)
        step = collate([(name, Encoded(texts[i])) for i in rows], tasks, tokenizer.pad_token_id).to(model.device)
        logits = model(step)[name].logits                                             # (n, T, V)
        last = step.attention_mask[step.rows[name]].sum(1) - 1
        for i, token in zip(rows, logits[range(len(rows)), last].argmax(-1).tolist()):
            if token == tokenizer.eos_token_id:
                open_rows.discard(i)
            else:
                texts[i] = [*texts[i], token]
        if not open_rows:
            break
    return [tokenizer.decode(text[len(prompt):], skip_special_tokens=True).strip() for text, prompt in zip(texts, prompts)]
