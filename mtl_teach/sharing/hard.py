"""Hard parameter sharing (Caruana 1997): one backbone for all tasks, one head for each.

Every text of a mixed batch passes the backbone once; each head then looks at its own rows. The gradient of the
shared weights is the sum of the tasks' gradients: what the tasks agree on adds up, what they dispute cancels.
"""

from __future__ import annotations

from .base import SharingModel


class HardSharing(SharingModel):
    """One shared backbone, a head per task.

    forward(batch) -> {task: TaskOutput}; the backbone runs once on all (B, T) tokens, whatever the tasks.
    Source: Caruana (1997), Multitask Learning; for Transformers on text Liu et al. (2019), MT-DNN.
    """

    def share(self, batch):
        hidden = self.backbone(batch.input_ids, batch.attention_mask)                 # (B, T, D)
        pooled = self.backbone.pool(hidden, batch.attention_mask)                     # (B, D)
        for task, rows in batch.rows.items():
            tokens = hidden.index_select(0, rows) if self.reads_tokens(task) else None
            yield task, tokens, pooled.index_select(0, rows)                          # (n, T, D), (n, D)
