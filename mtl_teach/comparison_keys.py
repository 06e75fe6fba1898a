"""What determines the result of a run, as hashes: rows, the backbone's weights, the code."""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import json
import sys
from pathlib import Path

import torch
from torch import nn

from .backbones import load_backbone
from .tasks import TaskError, TaskSet


def digest(facts) -> str:
    """A hash of anything: numbers, texts, lists and dictionaries as JSON, other objects by their content."""
    from joblib import hash as by_content
    text = json.dumps(facts, sort_keys=True, ensure_ascii=False, default=by_content)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def tasks_digest(tasks: TaskSet, split: str) -> str:
    """A hash of the tasks, in their order, with their training rows and the rows of one split."""
    return digest([[data.task.to_dict(), data.train, data.split(split)] for data in tasks.values()])


def backbone_digest(source) -> str:
    """A hash of a backbone's weights, shape and vocabulary; one that is named is read once per process."""
    return _digest(load_backbone(source)) if isinstance(source, nn.Module) else _named_digest(str(source), *_stamp(source))


def _stamp(source):
    """The dates of the files of a folder, so that a changed one is read again."""
    folder = Path(str(source))
    return tuple(sorted((path.name, path.stat().st_mtime_ns) for path in folder.iterdir())) if folder.is_dir() else ()


@functools.cache
def _named_digest(name, *stamp):
    return _digest(load_backbone(name))


def _digest(backbone) -> str:
    made = hashlib.sha256(digest([backbone.model.config.to_dict(), backbone.tokenizer.get_vocab(), backbone.pooling]).encode())
    for name, tensor in backbone.model.state_dict().items():
        made.update(name.encode())
        made.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return made.hexdigest()[:32]


@functools.cache
def source(algorithm: type, run: str) -> str:
    """A hash of the code of an algorithm, of what it is derived from, and of all that these and a run's file import here."""
    files, texts = [Path(run)], []
    for each in algorithm.__mro__:
        module = sys.modules.get(each.__module__)
        if each in nn.Module.__mro__:
            continue
        if each.__module__ != "__main__" and getattr(module, "__file__", None):
            files.append(Path(module.__file__))
        else:
            texts.append(_own_text(each))
    return digest([*texts, *(file.read_text(encoding="utf-8") for file in sorted(with_imports(files)))])


def with_imports(files: list[Path]) -> set[Path]:
    """These files and all that they import with a leading dot, directly or not."""
    found, waiting = set(), [file.resolve() for file in files]
    while waiting:
        file = waiting.pop()
        if file not in found and file.suffix == ".py":
            found.add(file)
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.level:
                    base = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
                    paths = [base.with_suffix(".py"), base / "__init__.py", *(base / f"{a.name}.py" for a in node.names)]
                    waiting += [path for path in paths if path.is_file()]
    return found


def _own_text(cls):
    """The text of a class from a notebook or a script."""
    try:
        return inspect.getsource(cls)
    except (OSError, TypeError):
        raise TaskError(f"the code of {cls.__name__} cannot be read, so nothing tells whether a kept run is still right. "
                        "Define it in a file or a notebook cell, or compare with cache=False.") from None
