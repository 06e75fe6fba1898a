"""From files to rows: finds the data sets in a folder and reads JSONL, JSON, CSV and TSV.

Nothing is guessed about meaning here; that is `columns.py`. What this module adds to a plain reader is the place of
every row, so that an error can name the file and the line.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..tasks import SPLITS, TaskError

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
STEMS = {"train": "train", "training": "train", "validation": "validation", "valid": "validation",
         "val": "validation", "dev": "validation", "test": "test"}
FORMATS = "train.jsonl (or .csv, .tsv, .json) and, if you have them, validation and test files beside it"


@dataclass
class Part:
    """The rows of one split, as read.

    rows   dictionaries by column name
    source where they come from, for messages: a file or "hub:owner/name, split test"
    places what `unit` (line, item, row) each row stands at; None: one after the other, from 1
    typed  whether the format knows numbers and lists (JSON does, CSV holds text only)
    """

    rows: list[dict]
    source: str
    places: list[int] | None = None
    unit: str = "row"
    typed: bool = True

    def place(self, number: int) -> int:
        return self.places[number] if self.places else number + 1

    @cached_property
    def columns(self) -> list[str]:
        """Every column that any row has, in the order of first sight."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def values(self, column: str) -> list:
        """The column's values, one per row; None where it is missing or an empty cell."""
        found = [row.get(column) for row in self.rows]
        return found if self.typed else [None if value == "" else value for value in found]

    def refuse(self, numbers: list[int], what: str, then: str):
        """Raise a TaskError about these rows: what the first of them is, where they stand, what to do."""
        first, *more = [self.place(number) for number in numbers]
        others = f" ({len(numbers)} such rows; the next: {', '.join(map(str, more[:3]))})" if more else ""
        raise TaskError(f"{self.source}, {self.unit} {first}: {what}{others}. {then}")


# ---- which files ----------------------------------------------------------------------------------------------


def find_sets(source) -> dict[str, dict[str, Path]]:
    """The data sets at a path, {name: {split: file}}: a file, a folder of split files, or a folder of such folders."""
    path = Path(source).expanduser()
    if path.is_file():
        return {path.stem: {"train": path}}
    if not path.is_dir():
        raise TaskError(_no_folder(source, path))
    if files := split_files(path):
        return {path.resolve().name: files}
    inside = {folder.name: files for folder in sorted(path.iterdir())
              if folder.is_dir() and (files := split_files(folder))}
    if not inside:
        found = ", ".join(sorted(child.name for child in path.iterdir())[:8]) or "nothing"
        mirror = f" Parquet files of a hub data set load as 'hub:{source}'." if any(path.rglob("*.parquet")) else ""
        raise TaskError(f"{source}: no data file in this folder or in the folders inside it (found: {found}). "
                        f"Expected {FORMATS}.{mirror}")
    return inside


def split_files(folder: Path) -> dict[str, Path]:
    """The split files of one data set; {} where the folder holds no data file."""
    files = [path for path in sorted(folder.iterdir())
             if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")]
    named = [path for path in files if path.stem.lower() in STEMS]
    if len(files) == 1 and not named:
        return {"train": files[0]}
    splits = {}
    for path in named:
        split = STEMS[path.stem.lower()]
        if split in splits:
            raise TaskError(f"{folder}: both {splits[split].name} and {path.name} hold the {split} split; keep one.")
        splits[split] = path
    if files and "train" not in splits:
        raise TaskError(f"{folder}: no train file among {', '.join(path.name for path in files)}. Expected {FORMATS}.")
    return {split: splits[split] for split in SPLITS if split in splits}


def _no_folder(source, path: Path) -> str:
    above = next(parent for parent in path.absolute().parents if parent.is_dir())
    try:
        folders = sorted(child.name for child in above.iterdir() if child.is_dir() and not child.name.startswith("."))
    except OSError:
        folders = []
    close = difflib.get_close_matches(path.name, [*folders, "town"], n=3, cutoff=0.5)
    there = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    beside = f" Folders in {above}: {', '.join(folders[:8]) or 'none'}{', ...' if len(folders) > 8 else ''}."
    return (f"there is no file or folder {str(source)!r}.{there}{beside} "
            "The embedded town is 'town', a data set of the hub 'hub:owner/name'.")


# ---- what is in them ------------------------------------------------------------------------------------------


def read_part(path: Path, notes: list[str]) -> Part:
    """Read one file. Raises TaskError with file and line for what cannot be read, and for an empty file."""
    text = _decode(path)
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        part = _read_table(text, path, notes)
    elif suffix == ".json" and text.lstrip().startswith("["):
        part = Part(_parse(text, path), str(path), unit="item")
    else:
        part = _read_lines(text, path)
    if not part.rows:
        raise TaskError(f"{path}: the file is empty: no row of data in {path.stat().st_size} bytes. "
                        "Write it again or remove it.")
    wrong = [number for number, row in enumerate(part.rows) if not isinstance(row, dict)]
    if wrong:
        part.refuse(wrong, "expected an object such as {\"text\": ..., \"label\": ...}, "
                    f"found {str(part.rows[wrong[0]])[:60]!r}", "Write one object per row, with the same fields.")
    return part


def _decode(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise TaskError(f"{path}: cannot be read ({error.strerror}). Check the file's permissions.") from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise TaskError(f"{path}, line {line}: not UTF-8 (byte 0x{raw[error.start]:02x}). Save the file as UTF-8, or "
                        f"convert it: iconv -f {_likely(raw)} -t UTF-8.") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise TaskError(f"{path}, line {line}: holds a zero byte, so this is no text file in UTF-8. Save it as UTF-8.")
    return text


def _likely(raw: bytes) -> str:
    return "UTF-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "WINDOWS-1252"


def _parse(text: str, path: Path, line: int = 1):
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        at = line + getattr(error, "lineno", 1) - 1
        shown = text.split("\n")[at - line].strip()[:60]
        raise TaskError(f"{path}, line {at}: not valid JSON ({getattr(error, 'msg', error)}) in {shown!r}. "
                        "A .jsonl file holds one complete JSON object per line.") from None


def _read_lines(text: str, path: Path) -> Part:
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    rows = [_parse(line, path, number) for number, line in lines]
    return Part(rows, str(path), [number for number, _ in lines], "line")


def _read_table(text: str, path: Path, notes: list[str]) -> Part:
    tabs = path.suffix.lower() == ".tsv"
    header = text.split("\n", 1)[0]
    delimiter = "\t" if tabs else ";" if ";" in header and "," not in header else ","
    try:
        return _parse_table(text, path, delimiter, csv.QUOTE_MINIMAL)
    except TaskError as broken:
        if not tabs:
            raise
        try:                                      # many .tsv files hold single quotation marks as plain characters
            part = _parse_table(text, path, delimiter, csv.QUOTE_NONE)
        except TaskError:
            raise broken from None
        notes.append(f"{path}: read with quotation marks as plain characters, because they do not come in pairs.")
        return part


def _parse_table(text: str, path: Path, delimiter: str, quoting: int) -> Part:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True)
    rows, places, header, before = [], [], None, 0
    try:
        for cells in reader:
            place, before = before + 1, reader.line_num
            if not any(cells):
                continue
            if header is None:
                header = _check_header(cells, path)
            elif len(cells) != len(header):
                raise TaskError(f"{path}, line {place}: {len(cells)} cells, but the header has "
                                f"{len(header)} ({', '.join(header)}). Put texts that hold "
                                f"{delimiter!r} or line breaks in double quotes.")
            else:
                rows.append(dict(zip(header, cells)))
                places.append(place)
    except csv.Error as error:
        raise TaskError(f"{path}, line {before + 1}: broken table ({error}). Put texts in double quotes, and write a "
                        "double quote inside a text twice.") from None
    return Part(rows, str(path), places, "line", typed=False)


def _check_header(cells: list[str], path: Path) -> list[str]:
    names = [cell.strip() for cell in cells]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TaskError(f"{path}, line 1: the header names {twice[0]!r} more than once. Name every column once.")
    return names
