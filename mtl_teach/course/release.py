"""From solutions/04_name.ipynb, the one source, to what the learner gets (`mtl-teach release`, `make exercises`).

    exercises/04_name.ipynb                  the same notebook with stubs in place of solutions, without outputs
    mtl_teach/course/released/ch04.json      {id: {"stub": ..., "solution": ...}} for check(), solution()

In a code cell of the solutions, a region is what the learner writes. The lines after `# --- given` are what they get
instead, as comments; without them they get `...`:

    def mixed_loss(losses, task_ids):
        # >>> solution 04.2
        return torch.stack([losses[task_ids == k].mean() for k in task_ids.unique()]).mean()
        # --- given
        # return losses.mean()          # is this right?
        # <<< solution

Whole cells that only the solutions have carry the tag "solution": what was measured, what else is worth trying. They
belong to the region before them. A heading cell that begins with `## 04.2` gets the exercise's title and its facts.
"""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path

from ..notebook_text import NOTEBOOK_METADATA, write
from .registry import RELEASED, CourseError, Exercise, chapter

BEGIN, GIVEN, END = (re.compile(rf"\s*# {mark}\s*") for mark in (r">>> solution (\S+)", "--- given", "<<< solution"))
HEADING = re.compile(r"## (\w+\.\d+)[^\n]*")
TAG, PLACEHOLDER = "solution", "...                             # your code"


def regions(source: str, where: str) -> tuple[list[str], str, str]:
    """(ids, the cell as given, the cell solved). A region that is not closed, or in another one, is a CourseError."""
    ids, given, solved, inside = [], [], [], None
    for line in source.splitlines():
        begin = BEGIN.fullmatch(line)
        if begin and inside is None:
            ids.append(begin[1])
            inside, stub, indent = "solution", [], line[:len(line) - len(line.lstrip())]
        elif inside and END.fullmatch(line):
            given += stub or [indent + PLACEHOLDER]
            inside = None
        elif inside and GIVEN.fullmatch(line):
            inside = "given"
        elif begin or GIVEN.fullmatch(line) or END.fullmatch(line):
            raise CourseError(f"{where}: {line.strip()!r} is out of place.")
        elif inside == "solution":
            solved.append(line)
        elif inside == "given":
            stub.append(line.replace("# ", "", 1) if line.strip() != "#" else "")
        else:
            given.append(line)
            solved.append(line)
    if inside:
        raise CourseError(f"{where}: the solution region is not closed by '# <<< solution'.")
    return list(dict.fromkeys(ids)), "\n".join(given), "\n".join(solved)


def release(path: Path, exercises: dict[str, Exercise]):
    """(the learner's notebook, the facts by id) from a notebook of solutions."""
    import nbformat
    source = nbformat.read(path, as_version=4)
    facts, cells, current = {}, [], None
    for cell in source.cells:
        if TAG in cell.metadata.get("tags", []):
            if current is None:
                continue
            facts[current]["solution"] += "\n\n" + _as_markdown(cell)
            continue
        ids, given, solved = [], cell.source, ""
        if cell.cell_type == "code":
            ids, given, solved = regions(cell.source, f"{path.name}, {cell.id}")
        if len(ids) > 1:
            raise CourseError(f"{path.name}, {cell.id}: one cell holds solutions of {ids}; write a cell for each.")
        if ids:
            current = ids[0]
            facts[current] = {"stub": given, "solution": f"```python\n{solved.strip()}\n```"}
        elif cell.cell_type == "markdown" and HEADING.match(cell.source):
            current = None
        cells.append(_learners_cell(cell, given, exercises))
    _refuse_gaps(path, facts, exercises)
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=NOTEBOOK_METADATA)
    return notebook, facts


def _refuse_gaps(path, facts, exercises):
    missing, unknown = sorted(set(exercises) - set(facts)), sorted(set(facts) - set(exercises))
    if missing or unknown:
        raise CourseError(f"{path.name}: no solution region for {missing}." if missing else
                          f"{path.name}: solution regions without an exercise: {unknown}.")


def _learners_cell(cell, given, exercises):
    from nbformat.v4 import new_code_cell, new_markdown_cell
    if cell.cell_type == "markdown":
        def heading(found):
            exercise = exercises.get(found[1])
            return f"## {exercise.id} · {exercise.title}\n\n{exercise.line}" if exercise else found[0]
        return new_markdown_cell(HEADING.sub(heading, cell.source, count=1), id=cell.id)
    tags = [tag for tag in cell.metadata.get("tags", []) if tag != "nbval-check-output"]
    return new_code_cell(given, id=cell.id, metadata={"tags": tags} if tags else {})


def _as_markdown(cell) -> str:
    """A cell of the solutions with what it printed, for solution(id)."""
    if cell.cell_type == "markdown":
        return cell.source
    printed = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    shown = textwrap.dedent("\n".join(part.rstrip() for part in printed if part))
    return f"```python\n{cell.source}\n```" + (f"\n\n```\n{shown}\n```" if shown else "")


def _refuse_to_overwrite_work(target: Path):
    """A released notebook has no outputs; one that has is somebody's work: CourseError."""
    if not target.exists():
        return
    cells = json.loads(target.read_text(encoding="utf-8"))["cells"]
    if any(cell.get("outputs") or cell.get("execution_count") for cell in cells):
        raise CourseError(f"{target.name} in {target.parent.name} has been worked in, and would be overwritten. Keep it under "
                          "another name first.")


def release_chapter(path: Path, folder: Path, released: Path = RELEASED) -> list[Path]:
    """Write both files for one notebook of solutions; gives their paths."""
    notebook, facts = release(path, chapter(path.stem.split("_")[0]).exercises)
    folder.mkdir(parents=True, exist_ok=True)
    _refuse_to_overwrite_work(folder / path.name)
    target, table = folder / path.name, released / f"ch{path.stem.split('_')[0]}.json"
    write(notebook, target)
    table.parent.mkdir(exist_ok=True)
    table.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return [target, table]
