"""What a training run stands on: devices and processes (accelerate's), the module that DDP wraps, the progress bar."""

from __future__ import annotations

import os
import warnings

import torch


def accelerate_for(precision: str):
    """An Accelerator for "fp32", "bf16" or "fp16"."""
    from accelerate import Accelerator, DistributedDataParallelKwargs
    from accelerate.state import AcceleratorState
    wanted = {"fp32": "no"}.get(precision, precision)
    if AcceleratorState._shared_state and AcceleratorState().mixed_precision != wanted:
        AcceleratorState._reset_state()                 # one run's precision must not bind the next one's
    cpu = torch.accelerator.current_accelerator() is None         # without a hint accelerate starts no processes on a CPU
    return Accelerator(mixed_precision=wanted, cpu=cpu,
                       kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)])


class Forward(torch.nn.Module):
    """A model's outputs and its penalty in one call. DDP watches only weights that are used inside the call it wraps:
    with the penalty outside, it would count a backbone whose task is absent twice, and stop."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, batch):
        return self.model(batch), self.model.penalty()


def bar_of(run, progress: bool | None):
    """A progress bar over the run's steps; None: on a terminal only."""
    from tqdm.auto import tqdm
    if progress is None:
        progress = os.isatty(2)
    show = progress and run.accelerator.is_main_process
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")                         # tqdm's hint about ipywidgets
        return tqdm(total=run.steps, initial=len(run.history), disable=not show, leave=False, desc="training")
