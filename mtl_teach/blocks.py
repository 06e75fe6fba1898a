"""A language model block by block, for algorithms that do something between its layers.

    blocks = Blocks(backbone)
    hidden, context = blocks.embed(input_ids, attention_mask)
    for i in range(len(blocks)):
        hidden = blocks.block(i, hidden, context)          # here an algorithm mixes, adds, replaces
    hidden = blocks.finish(hidden)                         # equal to backbone(input_ids, attention_mask)

Architectures differ in what a block is given besides the hidden states: masks, positions, rotary embeddings. The
model itself makes these, so we let it: `embed` runs the model with its blocks put to sleep, and notes what each
block is handed. That fits every transformers model whose blocks stand in one list, e.g. GPT-2, BERT and Llama.
"""

from __future__ import annotations

from contextlib import contextmanager

import torch
from torch import nn

from .backbones import Backbone
from .tasks import TaskError

FINAL_NORMS = ("ln_f", "norm", "final_layer_norm", "final_norm")


class Blocks:
    """The blocks of a backbone. It owns no weights and holds no state: all of that stays in the backbone.

    Raises TaskError where running the blocks one by one does not give what the backbone gives.
    """

    def __init__(self, backbone: Backbone):
        self.backbone = backbone
        self.blocks = _find_blocks(backbone)
        norms = [getattr(backbone.model, name) for name in FINAL_NORMS if hasattr(backbone.model, name)]
        self.norm = norms[0] if norms else nn.Identity()                # BERT's blocks end with their own norm
        self._try()

    def __len__(self) -> int:
        return len(self.blocks)

    def embed(self, input_ids, attention_mask):
        """(B, T) ids and mask -> what enters the first block (B, T, D), and what each block needs beside it.

        The context depends on ids, mask and architecture, never on weights. It fits these B texts in this order.
        """
        entering, context = [], []

        def asleep(hidden_states, *args, **kwargs):
            entering.append(hidden_states)
            context.append((args, kwargs))
            return hidden_states

        with _replaced(self.blocks, asleep):
            self.backbone(input_ids, attention_mask)
        return entering[0], context

    def block(self, i: int, hidden, context):
        """Hidden states (B, T, D) through block i: (B, T, D)."""
        args, kwargs = context[i]
        out = self.blocks[i](hidden, *args, **kwargs)
        return out[0] if isinstance(out, tuple) else out                # a tuple in older architectures

    def finish(self, hidden):
        """What leaves the last block (B, T, D) -> the backbone's output (B, T, D): the final norm, if there is one."""
        return self.norm(hidden)

    def layers_of_parameters(self) -> list[int]:
        """The layer of each of the backbone's parameters, in their order: 0 embeddings, i + 1 block i, depth the final norm."""
        layer = {id(p): len(self) for p in self.norm.parameters()}
        layer |= {id(p): i + 1 for i, block in enumerate(self.blocks) for p in block.parameters()}
        return [layer.get(id(p), 0) for p in self.backbone.parameters()]

    @torch.no_grad()
    def _try(self):
        """Run both ways on a padded text: an unusual architecture must fail here, not silently later."""
        model = self.backbone.model
        training, device = model.training, next(model.parameters()).device
        ids = torch.tensor([[1, 2, 3], [1, 2, 0]], device=device)
        mask = torch.tensor([[1, 1, 1], [1, 1, 0]], device=device)
        model.eval()
        hidden, context = self.embed(ids, mask)
        for i in range(len(self)):
            hidden = self.block(i, hidden, context)
        same = torch.allclose(self.finish(hidden)[mask.bool()], self.backbone(ids, mask)[mask.bool()], rtol=1e-4, atol=1e-4)
        model.train(training)
        if not same:
            raise TaskError(f"{type(model).__name__} cannot be run block by block: its blocks one after the other give "
                            "another result than the model. Use a GPT-2, BERT or Llama architecture.")


def _find_blocks(backbone):
    lists = [m for m in backbone.model.modules() if isinstance(m, nn.ModuleList) and len(m) == backbone.depth]
    if not lists:
        raise TaskError(f"{type(backbone.model).__name__} keeps no list of its {backbone.depth} blocks, so it cannot be run "
                        "block by block. Use a GPT-2, BERT or Llama architecture.")
    return lists[0]


@contextmanager
def _replaced(modules, forward):
    """Let `forward` stand in for the forward of every module."""
    for module in modules:
        module.forward = forward
    try:
        yield
    finally:
        for module in modules:
            del module.forward                                          # the class's own forward is seen again
