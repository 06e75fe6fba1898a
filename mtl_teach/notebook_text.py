"""Notebooks as text, and clean notebooks on disk.

A chapter is kept once, as an executed .ipynb. To edit it, take it out as text and put it back:

    mtl-teach text 04          writes build/text/04_hard_sharing.py (jupytext's percent format)
    mtl-teach notebook 04      puts the text back; run it with `mtl-teach run 04 --inplace` before you commit

Solutions go the same way, `mtl-teach text solutions/04`, by build/text/solutions/04_hard_sharing.py. Exercises are made
from them (`mtl-teach release 04`) and not edited.

In the text every cell carries its id as its title: `# %% claim-gain` for code, `# %% idea [markdown]` for prose.
Cells that did not change keep their outputs.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from .notebook_rules import WIDGET_STATE, WIDGET_VIEW

KEPT = ("tags", "jupyter")                    # of a cell's metadata
NOTEBOOK_METADATA = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
                     "language_info": {"name": "python"}}
BAR = re.compile(r"\d+%\|[^\n]*\||\b(it/s|s/it)\b")
TEXT_FOLDER = Path("build/text")


def to_text(nb) -> str:
    """The cells in jupytext's percent format, each with its id as its title; outputs are left out."""
    import jupytext
    from nbformat import from_dict
    copy = from_dict(json.loads(json.dumps(nb)))
    copy.metadata = from_dict({"kernelspec": NOTEBOOK_METADATA["kernelspec"],
                               "jupytext": {"notebook_metadata_filter": "-all",
                                            "cell_metadata_filter": "title,tags,-all"}})
    for cell in copy.cells:
        cell.metadata["title"] = cell.id
    return jupytext.writes(copy, "py:percent")


def from_text(text: str, old=None):
    """A notebook from such text; a cell whose id and source are those of `old` keeps its outputs.

    Raises ValueError for a cell without an id.
    """
    import jupytext
    from nbformat import from_dict
    nb = jupytext.reads(text, "py:percent")
    before = {cell.id: cell for cell in old.cells} if old else {}
    nb.cells = [cell for cell in nb.cells if cell.source or "title" in cell.metadata]      # lines before the first mark
    for cell in nb.cells:
        title = cell.metadata.pop("title", "")
        if not title:
            raise ValueError(f"a cell has no id; write it as the cell's title, '# %% claim-gain':\n{cell.source[:200]}")
        cell.id = title
        cell.metadata = kept_metadata(cell)
        same = before.get(title)
        if same and same.cell_type == cell.cell_type == "code" and same.source == cell.source:
            cell.outputs, cell.execution_count = same.outputs, same.execution_count
    nb.metadata = from_dict(NOTEBOOK_METADATA | ({"widgets": old.metadata.widgets} if has_widgets(old) else {}))
    nb.nbformat, nb.nbformat_minor = 4, 5
    return nb


def kept_metadata(cell):
    return type(cell.metadata)({key: cell.metadata[key] for key in KEPT if key in cell.metadata})


def has_widgets(nb) -> bool:
    return bool(nb and "widgets" in nb.metadata)


def clean(nb):
    """Take out what one run leaves behind: progress bars, tracebacks' frames, metadata of the machine. In place."""
    state = nb.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    for cell in nb.cells:
        cell.metadata = kept_metadata(cell)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not is_progress(output, state)]
            for output in cell.outputs:
                if output.output_type == "error":           # its frames name files of this machine
                    output.traceback = [f"{output.ename}: {output.evalue}"]
    nb.metadata = type(nb.metadata)(NOTEBOOK_METADATA | kept_widgets(nb, state))


def is_progress(output, state) -> bool:
    """Whether an output is a progress bar: tqdm's text on stderr, or a widget with a bar in it."""
    if output.output_type == "stream":
        lines = [line for line in re.split(r"[\r\n]", output.text) if line.strip()]
        return output.name == "stderr" and all(map(BAR.search, lines))
    view = output.get("data", {}).get(WIDGET_VIEW)
    if not view:
        return False
    models = reachable(view["model_id"], state)
    closed = not models and BAR.search(output.data.get("text/plain", ""))
    return bool(closed) or any(state[name]["model_name"] == "FloatProgressModel" for name in models)


def reachable(root: str, state) -> list[str]:
    """The ids of the widgets that a widget shows, itself first."""
    found, ahead = [], [root]
    while ahead:
        name = ahead.pop()
        if name in state and name not in found:
            found.append(name)
            ahead += re.findall(r"IPY_MODEL_(\w+)", json.dumps(state[name]))
    return found


def kept_widgets(nb, state) -> dict:
    """The stored state of the widgets that are still shown, or nothing."""
    views = [output.data[WIDGET_VIEW]["model_id"] for cell in nb.cells for output in cell.get("outputs", [])
             if WIDGET_VIEW in output.get("data", {})]
    names = [name for view in views for name in reachable(view, state)]
    if not names:
        return {}
    facts = nb.metadata["widgets"][WIDGET_STATE]
    shown = {name: without_nulls(state[name]) for name in dict.fromkeys(names)}
    return {"widgets": {WIDGET_STATE: facts | {"state": shown}}}


def without_nulls(model):
    """A layout has some forty fields, most of them null, which is what a missing one means."""
    if model["model_name"] == "LayoutModel":
        model["state"] = {key: value for key, value in model["state"].items() if value is not None}
    return model


def stable_widget_ids(nb):
    """The notebook with its widgets numbered; a run gives them random names, other ones each time."""
    from nbformat import from_dict
    text = json.dumps(nb)
    for number, name in enumerate(nb.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {}), 1):
        text = text.replace(name, f"widget{number}")
    return from_dict(json.loads(text))


def write(nb, path: Path):
    """Store a notebook in one step: a power cut leaves the old file or the new one."""
    import nbformat
    nb = stable_widget_ids(nb)
    nbformat.validate(nb)
    beside = path.with_suffix(".ipynb.new")
    beside.write_text(nbformat.writes(nb) + "\n", encoding="utf-8")
    os.replace(beside, path)


def text_of(path: Path, folder: Path = TEXT_FOLDER) -> Path:
    """Where the text of a notebook is; an exercise has none: ValueError."""
    if path.parent.name == "exercises":
        raise ValueError(f"{path} is made from solutions/{path.name}: edit that, then `mtl-teach release {path.stem}`.")
    return (folder / "solutions" if path.parent.name == "solutions" else folder) / f"{path.stem}.py"


def take_out(path: Path, folder: Path = TEXT_FOLDER) -> Path:
    """Write a notebook's text; refuse to overwrite text that is newer than the notebook."""
    import nbformat
    text = text_of(path, folder)
    if text.exists() and text.stat().st_mtime > path.stat().st_mtime:
        raise FileExistsError(f"{text} is newer than {path}: put it back with `mtl-teach notebook`, or remove it.")
    text.parent.mkdir(parents=True, exist_ok=True)
    text.write_text(to_text(nbformat.read(path, as_version=4)), encoding="utf-8")
    return text


def put_back(path: Path, folder: Path = TEXT_FOLDER) -> Path:
    """Make the notebook `path` from its text; outputs of unchanged cells stay."""
    import nbformat
    text = text_of(path, folder)
    if not text.exists():
        raise FileNotFoundError(f"{text} does not exist: write it with `mtl-teach text {path.stem}`.")
    old = nbformat.read(path, as_version=4) if path.exists() else None
    path.parent.mkdir(parents=True, exist_ok=True)
    write(from_text(text.read_text(encoding="utf-8"), old), path)
    return path
