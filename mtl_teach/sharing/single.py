"""Single-task training: a backbone and a head for each task, and nothing shared.

The control of every multi-task experiment. All tasks' models live in one object, so that they see the same
batches and the same number of steps as the sharing algorithms they are compared with.
"""

from __future__ import annotations

from torch import nn

from .base import SharingModel, as_key


class SingleTask(SharingModel):
    """A backbone per task, all starting from the same weights; a batch of one task trains only that task's."""

    def build(self, backbone, seed):
        self.backbones = nn.ModuleDict({as_key(name): backbone.clone() for name in self.tasks})

    @property
    def backbone(self):
        """The first task's backbone: all of them have the same shape, tokenizer and pooling."""
        return next(iter(self.backbones.values()))

    def backbone_of(self, name):
        return self.backbones[as_key(name)]

    def share(self, batch):
        for task, rows in batch.rows.items():
            backbone = self.backbone_of(task)
            mask = batch.attention_mask[rows]                                         # (n, T)
            hidden = backbone(batch.input_ids[rows], mask)                            # (n, T, D)
            yield task, hidden, backbone.pool(hidden, mask)

    def shared_parameters(self):
        return []

    def task_parameters(self, name):
        return super().task_parameters(name) + list(self.backbone_of(name).parameters())
