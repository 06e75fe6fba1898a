"""Is this machine ready for the course? `mtl-teach doctor`, or `doctor.check()` in a notebook.

Every line says what was found and, where something is amiss, what to do about it. No connection is opened, unless
you ask for the hub with `check(hub=True)`.
"""

from __future__ import annotations

import html
import os
import platform
import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

PACKAGE = "mtl-teach"
TINY = Path(__file__).parent / "assets" / "tiny"
TINY_FILES = ("config.json", "tokenizer.json", "model.safetensors")
MIN_MEMORY_GIB, MIN_DISK_GIB = 2.0, 1.0          # a chapter takes at most 2 GiB; checkpoints are small
SHOWN = ("torch", "transformers", "datasets")    # packages whose version is printed even when all is well
MARKS = {"ok": "✓", "note": "·", "missing": "✗"}


@dataclass(frozen=True)
class Line:
    """One thing looked at. state: "ok", "note" (works, but worth knowing) or "missing" (mend it first)."""

    what: str
    state: str
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Report:
    """The lines of a check; shows itself as text and, in a notebook, as a table."""

    lines: tuple[Line, ...]

    @property
    def ready(self) -> bool:
        return all(line.state != "missing" for line in self.lines)

    @property
    def verdict(self) -> str:
        missing = [line.what for line in self.lines if line.state == "missing"]
        return "Ready." if not missing else f"Not ready yet: {', '.join(missing)}. Follow the arrows, then check again."

    def __str__(self):
        width = max(len(line.what) for line in self.lines)
        rows = [f"{MARKS[line.state]} {line.what:{width}}  {line.found}{'  → ' * bool(line.advice)}{line.advice}"
                for line in self.lines]
        return "\n".join([*rows, self.verdict])

    __repr__ = __str__

    def _repr_html_(self):
        rows = "".join(
            f"<tr><td>{MARKS[line.state]} {line.state}</td><th scope='row'>{html.escape(line.what)}</th>"
            f"<td style='text-align:left'>{html.escape(line.found)}</td>"
            f"<td style='text-align:left'>{html.escape(line.advice)}</td></tr>" for line in self.lines)
        head = "".join(f"<th style='text-align:left'>{name}</th>" for name in ("state", "what", "found", "what to do"))
        return (f"<table><thead><tr>{head}</tr></thead>"
                f"<tbody>{rows}</tbody></table><p>{html.escape(self.verdict)}</p>")


def python_line(version=None) -> Line:
    version = tuple(version or sys.version_info)[:3]
    found = ".".join(map(str, version))
    if (3, 11) <= version[:2] <= (3, 13):
        return Line("Python", "ok", found)
    return Line("Python", "missing", found, "the course needs 3.11 to 3.13: make setup PYTHON=python3.13")


def wanted_packages() -> list[tuple[str, object, bool]]:
    """(name, range of versions, needed by the library itself) for each package that the project names."""
    from packaging.requirements import Requirement
    wanted = []
    for text in metadata.requires(PACKAGE) or []:
        need = Requirement(text)
        core = need.marker is None
        lab = not core and need.marker.evaluate({"extra": "lab"})
        if core or lab:
            wanted.append((need.name, need.specifier, core))
    return wanted


def package_line(name: str, allowed, core: bool = True) -> Line:
    """Whether a package is there, in a version that pyproject.toml allows."""
    advice = f"in the folder of the course: make setup (or: pip install '{name}{allowed}')"
    absent = "missing" if core else "note"
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Line(name, absent, "not installed", advice)
    if allowed.contains(version, prereleases=True):
        return Line(name, "ok", version)
    return Line(name, absent, f"{version}, wanted {allowed}", advice)


def package_lines() -> list[Line]:
    try:
        lines = [package_line(*wanted) for wanted in wanted_packages()]
    except metadata.PackageNotFoundError:
        return [Line("packages", "missing", f"{PACKAGE} is not installed", "in the folder of the course: make setup")]
    good = [line for line in lines if line.state == "ok"]
    brief = ", ".join(f"{line.what} {line.found}" for line in good if line.what in SHOWN)
    return [Line("packages", "ok", f"{len(good)} of {len(lines)} as wanted ({brief})"),
            *[line for line in lines if line.state != "ok"]]


def device_line() -> Line:
    try:
        import torch
    except (ImportError, OSError) as error:
        return Line("device", "missing", f"torch does not load: {error}", "make setup; see README, 'CPU-only torch'")
    cores = f"{os.cpu_count()} cores"
    if torch.cuda.is_available():
        return Line("device", "ok", f"cuda: {torch.cuda.get_device_name(0)}, {cores}")
    if torch.backends.mps.is_available():
        return Line("device", "ok", f"mps (Apple), {cores}")
    return Line("device", "ok", f"cpu, {cores}: all the tiny profile needs")


def memory_line(free_gib: float | None = None) -> Line:
    if free_gib is None:
        import psutil
        free_gib = psutil.virtual_memory().available / 2**30
    found = f"{free_gib:.1f} GiB free"
    if free_gib >= MIN_MEMORY_GIB:
        return Line("memory", "ok", found)
    return Line("memory", "note", found, f"a chapter may take {MIN_MEMORY_GIB:.0f} GiB: close programs and kernels")


def disk_line(free_gib: float | None = None) -> Line:
    if free_gib is None:
        free_gib = shutil.disk_usage(Path.cwd()).free / 2**30
    found = f"{free_gib:.1f} GiB free here"
    if free_gib >= MIN_DISK_GIB:
        return Line("disk", "ok", found)
    return Line("disk", "missing", found, f"checkpoints need room: free {MIN_DISK_GIB:.0f} GiB")


def progress_folder() -> Path:
    """Where your progress is kept: MTL_HOME where that is set, or the folder for data of programs in your home.

    It lies outside of the course's own folder, so that a new clone or an upgrade leaves it alone.
    """
    if os.environ.get("MTL_HOME"):
        return Path(os.environ["MTL_HOME"]).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "mtl_teach"


def progress_line(folder: Path | None = None) -> Line:
    folder = folder or progress_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Line("progress", "missing", f"{folder.name} cannot be written: {error.strerror}",
                    "make the folder writable, or set MTL_HOME to one that is")
    return Line("progress", "ok", f"kept in the folder {folder.name}")


def model_line(folder: Path = TINY) -> Line:
    absent = [name for name in TINY_FILES if not (folder / name).is_file()]
    if absent:
        return Line("tiny model", "missing", f"{', '.join(absent)} not found in the package",
                    "your copy is not whole: clone or install the course again")
    size = sum((folder / name).stat().st_size for name in TINY_FILES) / 2**20
    return Line("tiny model", "ok", f"{size:.1f} MiB, embedded")


def hub_line(seconds: float = 5.0) -> Line:
    """Only on request: whether the hub answers."""
    import urllib.request
    address = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        with urllib.request.urlopen(address, timeout=seconds):
            return Line("hub", "ok", f"{address} answers")
    except (OSError, ValueError) as error:
        return Line("hub", "note", f"{address} does not answer: {error}",
                    "the tiny profile needs none; for MTL_PROFILE=hub check your connection")


def check(hub: bool = False) -> Report:
    """Look at Python, packages, device, memory, disk, the progress folder and the embedded model."""
    profile = os.environ.get("MTL_PROFILE", "tiny")
    lines = [python_line(), Line("system", "ok", f"{platform.system()} {platform.machine()}, profile {profile}"),
             *package_lines(), device_line(), memory_line(), disk_line(), progress_line(), model_line()]
    return Report(tuple([*lines, hub_line()] if hub else lines))
