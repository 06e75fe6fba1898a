"""Execute notebooks without a browser: a fresh kernel for each, and a table of what it took (`mtl-teach run`).

With `inplace`, a notebook that ran well and left clean outputs is stored; authors commit chapters that way.
"""

from __future__ import annotations

import ast
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from .notebook_rules import figures, order_problems, output_problems, path_problems
from .tasks import nearest

CLAIM_HELD, CLAIM_FAILED = "✓", "✗"            # how the output of `claim` begins
PEAK_CELL = "from mtl_teach.runner import peak_memory; print(peak_memory())"


class NotebookFailed(RuntimeError):
    """A cell raised an error or took too long, or the kernel died; the message begins with the id of the cell."""


@dataclass
class Run:
    """What one execution of a notebook took and gave. memory: peak MiB of the kernel's process."""

    name: str
    seconds: float = 0.0
    memory: float = float("nan")
    held: int = 0
    claims: int = 0
    figures: int = 0
    alt_texts: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.problems and self.held == self.claims and self.figures == self.alt_texts

    def __str__(self):
        return (f"{self.name:24} {self.seconds:6.1f} s {self.memory:6.0f} MiB   claims {self.held}/{self.claims}   "
                f"figures {self.figures}, alt text {self.alt_texts}/{self.figures}   "
                f"{'ok' if self.passed else 'FAILED'}")


def find_notebooks(names=(), folder="notebooks") -> list[Path]:
    """The notebooks meant: all of the folder, or those named by path, name or number ("04" is 04_hard_sharing).

    A name may bring its folder: "solutions/04"; "solutions" alone means all of them.
    """
    if names:
        return [path for name in names for path in _find(name, folder)]
    known = sorted(Path(folder).glob("*.ipynb"))
    if not known:
        raise FileNotFoundError(f"no notebooks in {str(folder)!r}; call this in the folder of the course.")
    return known


def _find(name, folder):
    if Path(name).is_dir():
        return find_notebooks(folder=name)
    name, folder = name_and_folder(name, folder)
    return [find_notebook(name, sorted(Path(folder).glob("*.ipynb")))]


def name_and_folder(name: str, folder) -> tuple[str, str]:
    """"solutions/04" -> ("04", "solutions"); a name alone, or the path of a notebook, stays in `folder`."""
    path = Path(name)
    return (path.name, str(path.parent)) if path.parent != Path() and not path.is_file() else (name, folder)


def find_notebook(name: str, known: list[Path]) -> Path:
    path = Path(name)
    if path.suffix == ".ipynb" and path.is_file():
        return path
    matches = [each for each in known if each.stem == path.stem or each.stem.split("_")[0] == name]
    if len(matches) == 1:
        return matches[0]
    raise FileNotFoundError(f"no notebook {name!r}.{nearest(name, [each.stem for each in known])}")


def peak_memory() -> float:
    """Peak resident memory of this process in MiB (on Linux of this program alone, not of what started it)."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 2**20 if sys.platform == "darwin" else peak / 1024
    except ImportError:
        import psutil
        return psutil.Process().memory_info().peak_wset / 2**20


def execute(nb, folder, timeout: int = 600, progress=None) -> tuple[float, float]:
    """Run the cells in a new kernel that starts in `folder`; outputs go into `nb`. Gives (seconds, peak MiB).

    progress    called with (cells done, cells in all)
    Raises NotebookFailed at the first cell that does not come to its end.
    """
    from nbclient import NotebookClient
    from nbformat.v4 import new_code_cell
    client = NotebookClient(nb, timeout=timeout, kernel_name="python3", record_timing=False, coalesce_streams=True,
                            extra_arguments=["--log-level=ERROR"],
                            resources={"metadata": {"path": str(folder)}})
    start, count = time.perf_counter(), len(nb.cells)
    with client.setup_kernel():
        for number in range(count):
            execute_cell(client, nb.cells[number], number)
            if progress:
                progress(number + 1, count)
        seconds = time.perf_counter() - start
        nb.cells.append(new_code_cell(PEAK_CELL))
        peak = client.execute_cell(nb.cells[-1], count, store_history=False).outputs[0].text
        nb.cells.pop()
        client.set_widgets_metadata()
    return seconds, float(peak)


def execute_cell(client, cell, number: int):
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    try:
        client.execute_cell(cell, number)
    except CellExecutionError as error:
        raise NotebookFailed(f"{cell.id}: {error.ename}: {error.evalue}") from error
    except CellTimeoutError as error:
        raise NotebookFailed(f"{cell.id}: timed out after {client.timeout} s") from error
    except DeadKernelError as error:
        raise NotebookFailed(f"{cell.id}: the kernel died (out of memory?)") from error


def calls_claim(source: str) -> bool:
    """Whether a cell calls `claim`; cells with shell lines or magics are read as text."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return "claim(" in source
    return any(isinstance(node, ast.Call) and "claim" in (getattr(node.func, "id", ""), getattr(node.func, "attr", ""))
               for node in ast.walk(tree))


def count_claims(nb) -> tuple[int, int]:
    """(claims held, claims made), read off the outputs of the cells that call `claim`."""
    lines = []
    for cell in nb.cells:
        if cell.cell_type == "code" and calls_claim(cell.source):
            for output in cell.outputs:
                text = output.get("text") or output.get("data", {}).get("text/plain", "")
                lines += [line.strip() for line in text.splitlines()]
    held = sum(line.startswith(CLAIM_HELD) for line in lines)
    return held, held + sum(line.startswith(CLAIM_FAILED) for line in lines)


def run_notebook(path: Path, timeout: int = 600, inplace: bool = False, progress=None) -> Run:
    """Execute one notebook and measure it; with `inplace`, store it if nothing is wrong."""
    import nbformat

    from .notebook_text import clean, write
    nb, run, start = nbformat.read(path, as_version=4), Run(path.stem), time.perf_counter()
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    try:
        run.seconds, run.memory = execute(nb, path.parent, timeout, progress)
    except NotebookFailed as error:
        run.seconds = time.perf_counter() - start
        run.problems.append(str(error))
    clean(nb)
    run.held, run.claims = count_claims(nb)
    shown = figures(nb)
    run.figures, run.alt_texts = len(shown), sum(alt for _, alt in shown)
    if inplace and not run.problems:
        run.problems += order_problems(nb) + output_problems(nb) + path_problems(nb)
        if run.passed:
            write(nb, path)
    return run


def show_progress(name: str):
    """A counter of cells on one line of a terminal; nothing where output goes to a file."""
    if not sys.stdout.isatty():
        return None
    return lambda done, total: print(f"\r{name:24} cell {done}/{total}", end="\r", flush=True)


def table(runs: list[Run]) -> str:
    """The runs as a Markdown table, with what they were run on."""
    import platform
    from importlib.metadata import version
    head = "| chapter | seconds | peak MiB | claims held | figures | with alt text | |\n|---|--:|--:|--:|--:|--:|---|\n"
    rows = [f"| {r.name} | {r.seconds:.1f} | {r.memory:.0f} | {r.held}/{r.claims} | {r.figures} | {r.alt_texts} | "
            f"{'ok' if r.passed else 'failed'} |" for r in runs]
    total = (f"| all | {sum(r.seconds for r in runs):.1f} | {max(r.memory for r in runs):.0f} | "
             f"{sum(r.held for r in runs)}/{sum(r.claims for r in runs)} | {sum(r.figures for r in runs)} | "
             f"{sum(r.alt_texts for r in runs)} | {'ok' if all(r.passed for r in runs) else 'failed'} |")
    facts = (f"\n\nPython {platform.python_version()}, torch {version('torch')}, transformers "
             f"{version('transformers')}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}.\n")
    return head + "\n".join([*rows, total]) + facts


def run_all(paths: list[Path], timeout: int = 600, inplace: bool = False, report="build/run.md") -> bool:
    """Execute notebooks one after the other; one that fails does not stop the rest. Gives whether all passed."""
    runs = []
    try:
        for path in paths:
            runs.append(run_notebook(path, timeout, inplace, show_progress(path.stem)))
            print(runs[-1], *[f"    {problem}" for problem in runs[-1].problems], sep="\n", flush=True)
    finally:
        if runs:
            Path(report).parent.mkdir(parents=True, exist_ok=True)
            Path(report).write_text(table(runs), encoding="utf-8")
    print("\n" + table(runs))
    return all(run.passed for run in runs)
