"""Checkpoints that survive `kill -9` at any moment: written aside, flushed, then renamed into place."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import torch

from .history import TrainingError
from .tasks import TaskError

FACTS = "run.json"
KEPT = 2


class CheckpointStore:
    """The checkpoints of one run in a folder: `step-000100/`, the newest KEPT of them.

    A checkpoint holds weights, optimizer, schedule, the place in the stream of batches, the losses so far, what the
    weighting and the gradient method remember, and the states of all random generators. Each also says which tasks and
    settings it belongs to.
    """

    def __init__(self, folder, run, settings: dict):
        self.folder, self.run, self.settings = Path(folder), run, settings
        self.main = run.accelerator.is_main_process

    def newest(self) -> Path | None:
        """The newest whole checkpoint; half-written ones have another name and do not count."""
        found = sorted(path.parent for path in self.folder.glob(f"step-*/{FACTS}"))
        return found[-1] if found else None

    def facts(self) -> dict:
        model = self.run.plain
        return {"algorithm": type(model).__name__, "knobs": model.knobs, "trained": sorted(self.run.names),
                "tasks": [task.to_dict() for task in model.tasks.values()], "settings": self.settings}

    def resume(self) -> bool:
        """Continue from the newest checkpoint, if there is one; TaskError if it belongs to another run."""
        self._sweep()
        path = self.newest()
        if path is None:
            return False
        facts, mine = json.loads((path / FACTS).read_text(encoding="utf-8")), json.loads(json.dumps(self.facts()))
        other = [key for key in mine if facts.get(key) != mine[key]]
        if other:
            shown = "; ".join(f"{key}: {_short(facts.get(key))} there, {_short(mine[key])} here" for key in other)
            raise TaskError(f"the checkpoint {str(path)!r} belongs to another run ({shown}). "
                            "Choose another folder, or the same model, tasks and settings.")
        state = torch.load(path / "state.pt", map_location="cpu", weights_only=True)
        self.run.plain.load_state_dict(state["model"])
        self.run.optimizer.load_state_dict(state["optimizer"])
        self.run.schedule.load_state_dict(state["schedule"])
        self.run.batches.load_state_dict(state["batches"])
        self.run.weighting.load_state_dict(state["weighting"])
        if self.run.method:
            self.run.method.load_state_dict(state["method"])
        self.run.passes.layer = state["layer"]
        self.run.history.steps, self.run.history.seconds = state["history"], state["seconds"]
        torch.set_rng_state(state["cpu_rng"])
        if state["cuda_rng"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["cuda_rng"])
        return True

    def save(self) -> None:
        """Write a checkpoint of this moment. A failure (a full disk) leaves the earlier ones untouched."""
        if not self.main:
            return
        run, step = self.run, len(self.run.history)
        state = {"model": run.plain.state_dict(), "optimizer": run.optimizer.state_dict(), "schedule": run.schedule.state_dict(),
                 "batches": run.batches.state_dict(), "weighting": run.weighting.state_dict(), "layer": run.passes.layer,
                 "method": run.method.state_dict() if run.method else None,
                 "history": run.history.steps, "seconds": run.history.seconds,
                 "cpu_rng": torch.get_rng_state(),
                 "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []}
        aside, final = self.folder / f".writing-{step:06d}", self.folder / f"step-{step:06d}"
        try:
            aside.mkdir(parents=True, exist_ok=True)
            with open(aside / "state.pt", "wb") as file:
                torch.save(state, file)
                _to_disk(file)
            with open(aside / FACTS, "w", encoding="utf-8") as file:
                json.dump(self.facts(), file, indent=1)
                _to_disk(file)
            shutil.rmtree(final, ignore_errors=True)
            aside.rename(final)
        except (OSError, RuntimeError) as error:              # torch.save reports a full disk as RuntimeError
            shutil.rmtree(aside, ignore_errors=True)
            raise TrainingError(
                f"step {step}: the checkpoint could not be written to {str(self.folder)!r} ({error}). Is the disk full? "
                f"The last good checkpoint is {self.newest() or 'none'}; free space and call fit again.") from error
        for old in sorted(self.folder.glob("step-*"))[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)

    def _sweep(self):
        """Remove what an interrupted save left behind."""
        if self.main:
            for rest in self.folder.glob(".writing-*"):
                shutil.rmtree(rest, ignore_errors=True)


def _to_disk(file):
    file.flush()
    os.fsync(file.fileno())


def _short(value):
    text = json.dumps(value)
    return text if len(text) < 120 else text[:117] + "..."
