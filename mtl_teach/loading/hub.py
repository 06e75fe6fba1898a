"""Data sets of the Hugging Face hub, read through `datasets` into the same parts as local files."""

from __future__ import annotations

from pathlib import Path

from ..tasks import TaskError, nearest
from .files import STEMS, Part

PLAIN_CONFIGS = ("default", "plain_text")           # configurations that say nothing: the task's name leaves them out


def read_hub(source: str, path: str, config: str | None, notes: list[str]):
    """Read what `address` found; `source` is for messages.

    Returns the parts by split, and the class names by column, in the hub's order.
    """
    data = _load(source, path, config)
    orders = {column: names for column, feature in next(iter(data.values())).features.items()
              if (names := _class_names(feature))}
    parts = {split: Part(_rows(data[key], orders), f"{source}, split {key}")
             for split, key in _choose_splits(source, data, notes).items()}
    return parts, orders


def address(source: str) -> tuple[str, str | None]:
    """(repository or folder, configuration or None) of "hub:owner/name[/config]" or "hub:folder[/config]".

    The folder is a local mirror of a hub repository: parquet or JSON files and the README that describes them.
    """
    text = source.removeprefix("hub:").rstrip("/")
    folder = Path(text)
    readme = folder.parent / "README.md"
    if len(folder.parts) > 1 and readme.is_file() and (not folder.is_dir() or _describes(readme, folder.name)):
        return str(folder.parent), folder.name
    if text and folder.is_dir():
        return text, None
    parts = text.split("/")
    if len(parts) not in (2, 3) or not all(parts) or text[0] in "/.":
        raise TaskError(f"{source!r} names no data set. Write 'hub:owner/name' or 'hub:owner/name/config', for example "
                        "'hub:nyu-mll/glue/sst2', or 'hub:folder' for a local copy of a repository of the hub.")
    return "/".join(parts[:2]), parts[2] if len(parts) == 3 else None


def _describes(readme: Path, config: str) -> bool:
    return f"config_name: {config}\n" in readme.read_text("utf-8", errors="replace")


def set_name(path: str, config: str | None) -> str:
    """glue and sst2 give "glue_sst2"."""
    name = Path(path).resolve().name
    return name if config in (None, *PLAIN_CONFIGS) else f"{name}_{config}"


def _load(source: str, path: str, config: str | None):
    """The DatasetDict; what can go wrong on the way becomes a TaskError that says what to do."""
    import datasets
    try:
        return datasets.load_dataset(path, config)
    except datasets.exceptions.DatasetNotFoundError as error:
        raise TaskError(f"{source}: the hub has no data set {path!r} that you may read ({_first_line(error)}). Check "
                        "the spelling; a gated one needs `hf auth login`.") from error
    except (ConnectionError, TimeoutError) as error:
        raise TaskError(
            f"{source}: not in the cache, and the hub cannot be reached ({_first_line(error)}). Three ways out: "
            "connect to a network (and unset HF_HUB_OFFLINE, HF_DATASETS_OFFLINE); put the data into a folder as "
            "train.jsonl and load the folder; or use the embedded town, mt.load_tasks('town').") from error
    except (ValueError, FileNotFoundError, RuntimeError) as error:
        raise TaskError(f"{source}: cannot be loaded ({_first_line(error)}). A configuration is named after a slash: "
                        f"'hub:{path}/config'.") from error


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _choose_splits(source: str, data, notes: list[str]) -> dict[str, str]:
    """{our split: the hub's split}; `validation_matched` counts as validation where there is no plain one."""
    chosen = {}
    for key in sorted(data, key=lambda key: (key not in STEMS, list(data).index(key))):
        split = STEMS.get(key) or STEMS.get(key.replace("-", "_").split("_")[0])
        if split:
            chosen.setdefault(split, key)
    if "train" not in chosen:
        raise TaskError(f"{source}: no training split among {', '.join(data)}.{nearest('train', data)}")
    unused = [key for key in data if key not in chosen.values()]
    if unused:
        notes.append(f"{source}: splits not used: {', '.join(unused)}.")
    return chosen


def _class_names(feature) -> tuple[str, ...]:
    """The names of a column of classes, or of lists of classes; () for any other column."""
    inner = getattr(feature, "feature", feature)
    return tuple(getattr(inner, "names", None) or ())


def _rows(data, orders: dict[str, tuple[str, ...]]) -> list[dict]:
    """Rows with class numbers turned into names; -1, the hub's mark for a hidden label, becomes None."""
    table = data.with_format("arrow")[:]
    columns = {name: table[name].to_pylist() for name in table.column_names if _is_text_or_number(data.features[name])}
    for name in orders.keys() & columns.keys():
        columns[name] = [_named(value, orders[name]) for value in columns[name]]
    return [dict(zip(columns, cells)) for cells in zip(*columns.values())]


def _named(value, names):
    if isinstance(value, list):
        return [names[number] for number in value]
    return names[value] if value is not None and value >= 0 else None


def _is_text_or_number(feature) -> bool:
    return type(feature).__name__ not in ("Image", "Audio", "Video", "Pdf")
