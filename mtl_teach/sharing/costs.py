"""What a sharing model costs: parameters, memory and arithmetic, shared and per task.

One function for all algorithms. It asks the model only what every sharing model answers: which parameters a task has
for itself, and a forward pass.
"""

from __future__ import annotations

import torch

from ..batching import Batch
from ..tasks import TaskError


def cost(model, batch: Batch):
    """A pandas DataFrame with a row for what is shared, one for each task, and one for all together.

    parameters      numbers in the weights. A task's row is what adding that task adds; "shared" is what is there
                    whatever the tasks. The rows sum to "all"
    trained         those of them that training changes (the rest is frozen)
    state_bytes     memory of the weights (in "all" with buffers)
    training_bytes  memory of weights, gradients and AdamW's two moments (without activations)
    flops_per_text  floating-point operations of a forward pass per text; multiplication and addition count one each.
                    A task's row: its own rows of the batch passed alone; "all": the whole batch. Matrix products and
                    attention are counted, as torch.utils.flop_counter does; the rest is small beside them

    batch: texts of every task of the model; what is measured holds for texts of its length, padding included.
    """
    import pandas as pd
    missing = [name for name in model.tasks if not len(batch.rows.get(name, ()))]
    if missing:
        raise TaskError(f"the batch holds no text of the task {missing[0]!r}; "
                        "cost needs texts of every task of the model.")
    own = {name: model.task_parameters(name) for name in model.tasks}
    claimed = {id(p) for parameters in own.values() for p in parameters}
    shared = [p for p in model.parameters() if id(p) not in claimed]
    rows = {"shared": _weights(shared)} | {name: _weights(parameters) for name, parameters in own.items()}
    for name in own:
        alone = batch.only(name)
        rows[name]["flops_per_text"] = flops(model, alone) / len(alone)
    rows["all"] = _weights(model.parameters()) | {"flops_per_text": flops(model, batch) / len(batch)}
    buffers = sum(b.numel() * b.element_size() for b in model.buffers())
    rows["all"]["state_bytes"] += buffers
    rows["all"]["training_bytes"] += buffers
    return pd.DataFrame(rows).T.rename_axis("part").astype({column: "Int64" for column in _weights([])})


def _weights(parameters) -> dict:
    parameters = list({id(p): p for p in parameters}.values())
    trained = [p for p in parameters if p.requires_grad]
    state = sum(p.numel() * p.element_size() for p in parameters)
    return {"parameters": sum(p.numel() for p in parameters), "trained": sum(p.numel() for p in trained),
            "state_bytes": state, "training_bytes": state + 3 * sum(p.numel() * p.element_size() for p in trained)}


@torch.no_grad()
def flops(model, batch: Batch) -> int:
    """Floating-point operations of one forward pass over the batch."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode
    training = model.training
    model.eval()
    try:
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:   # fused kernels may go uncounted
            model(batch.to(model.device))
    finally:
        model.train(training)
    return counter.get_total_flops()
