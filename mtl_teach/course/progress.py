"""What a learner has earned, in a file they own: progress.json in the folder MTL_HOME (or the user's data folder).

    {"version": 1, "exercises": {"04.2": {"solved": true, "points": 2, "tries": 3, "hints": 1, "opened": false}}}

Every write reads the file anew under a lock, joins the two and replaces the file in one step, so that two notebooks
at once lose nothing. Joining takes the larger number and "yes" before "no"; what this version does not know is kept.
The last good file stays beside it as progress.json.bak; a damaged file is set aside under another name and said so.

On Google Drive: mount it, then `mt.progress(folder="/content/drive/MyDrive/mtl")`, or set MTL_HOME.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from ..display import shell, someone_answers
from ..doctor import progress_folder
from ..i18n import _

NAME, VERSION = "progress.json", 1
NEW = {"solved": False, "points": 0, "tries": 0, "hints": 0, "opened": False}


@dataclass
class Book:
    """The progress of one learner. path=None keeps it in memory (runs that nobody watches). said: what to tell."""

    path: Path | None
    facts: dict = field(default_factory=lambda: {"version": VERSION, "exercises": {}})
    said: list[str] = field(default_factory=list)

    def of(self, id: str) -> dict:
        return NEW | self.facts["exercises"].get(id, {})

    def record(self, id: str, **changes) -> dict:
        """Add to the counts (tries=1, hints=1) and set the rest, then save; gives the new facts of the exercise."""
        with self._alone():
            self.refresh()
            now = self.of(id)
            for name, value in changes.items():
                now[name] = now[name] + value if name in ("tries", "hints") else max(now[name], value)
            self.facts["exercises"][id] = now
            self._save()
        return now

    def refresh(self) -> None:
        """Take in what stands in the file."""
        if self.path is None:
            return
        found = self._read(self.path)
        if found is None and self.path.exists():
            self._set_aside()
            found = self._read(self.path.with_name(NAME + ".bak"))
        if found:
            self.facts = join(self.facts, found)

    def _read(self, path) -> dict | None:
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return facts if is_progress(facts) else None

    def _set_aside(self):
        number = 1
        while (aside := self.path.with_name(f"progress.damaged-{number}.json")).exists():
            number += 1
        with contextlib.suppress(OSError):
            os.replace(self.path, aside)
            self.said.append(_("Your progress file was damaged. It is kept as {name}; the last good copy was taken instead, "
                               "and nothing in it is lost.").format(name=aside.name))

    def _save(self):
        if self.path is None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            beside = self.path.with_name(f"{NAME}.{os.getpid()}.new")
            beside.write_text(json.dumps(self.facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            if self._read(self.path):
                os.replace(self.path, self.path.with_name(NAME + ".bak"))
            os.replace(beside, self.path)
        except OSError as error:
            self._complain(error)

    def _complain(self, error):
        text = _("Your progress could not be saved ({reason}). It lasts until you restart the kernel; set MTL_HOME to a "
                 "folder that can be written.").format(reason=error.strerror or type(error).__name__)
        if text not in self.said:
            self.said.append(text)

    @contextlib.contextmanager
    def _alone(self):
        """Hold the lock of the file, if it can be had: some network drives know no locks. The write is atomic anyway."""
        lock = None
        if self.path is not None:
            from filelock import FileLock, Timeout
            with contextlib.suppress(OSError, NotImplementedError, Timeout):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                lock = FileLock(str(self.path) + ".lock").acquire(timeout=5)
        try:
            yield
        finally:
            if lock is not None:
                lock.lock.release()


def is_progress(facts) -> bool:
    """Whether this looks like a progress file of this version or a later one."""
    def good(entry):
        return isinstance(entry, dict) and all(
            type(entry[name]) in (bool, int) and entry[name] >= 0 for name in NEW if name in entry)
    return (isinstance(facts, dict) and isinstance(facts.get("version"), int) and isinstance(facts.get("exercises"), dict)
            and all(map(good, facts["exercises"].values())))


def join(a: dict, b: dict) -> dict:
    """Both together: nothing earned is lost, and what is not known is kept."""
    entries = {key: _join_entries(a["exercises"].get(key, {}), b["exercises"].get(key, {}))
               for key in [*a["exercises"], *(key for key in b["exercises"] if key not in a["exercises"])]}
    return a | b | {"version": max(a["version"], b["version"]), "exercises": entries}


def _join_entries(a, b):
    return a | b | {name: max(a[name], b[name]) for name in NEW if name in a and name in b}


_BOOKS: dict[Path | None, Book] = {}


def move_to(folder) -> None:
    """Keep progress in this folder from now on; what was earned so far goes along."""
    before = book()
    os.environ["MTL_HOME"] = str(Path(folder).expanduser())
    now = book()
    if now is not before:
        now.facts = join(now.facts, before.facts)
        with now._alone():
            now.refresh()
            now._save()


def book() -> Book:
    """The learner's book. A notebook that runs without anybody watching (nbval, `mtl-teach run`) keeps it in memory,
    so that the run neither changes the learner's file nor depends on it."""
    watched = shell() is None or someone_answers()
    path = progress_folder() / NAME if watched else None
    if path not in _BOOKS:
        _BOOKS[path] = Book(path)
    _BOOKS[path].refresh()
    return _BOOKS[path]
