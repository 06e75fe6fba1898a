"""The command line: `mtl-teach run | text | notebook | release | doctor`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def run(args) -> int:
    from .runner import find_notebooks, run_all
    paths = find_notebooks(args.chapter, args.folder)
    return 0 if run_all(paths, args.timeout, args.inplace, args.report) else 1


def text(args) -> int:
    from .notebook_text import take_out
    from .runner import find_notebooks
    for path in find_notebooks(args.chapter, args.folder):
        print(take_out(path))
    return 0


def notebook(args) -> int:
    from .notebook_text import put_back, text_of
    from .runner import find_notebook, name_and_folder
    for name in args.chapter:
        stem, folder = name_and_folder(name, args.folder)
        written = {path.stem for path in text_of(Path(folder) / "any.ipynb").parent.glob("*.py")}
        known = sorted({*Path(folder).glob("*.ipynb"), *(Path(folder) / f"{each}.ipynb" for each in written)})
        print(put_back(find_notebook(stem, known)))
    return 0


def release(args) -> int:
    from .course.release import release_chapter
    from .runner import find_notebooks
    for path in find_notebooks(args.chapter, args.folder):
        print(*release_chapter(path, Path("exercises")), sep="\n")
    return 0


def doctor(args) -> int:
    from .doctor import check
    report = check(hub=args.hub)
    print(report)
    return 0 if report.ready else 1


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="mtl-teach", description="The tools of a course on multi-task learning.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(action, what: str, chapters: str = "", folder: str = "notebooks"):
        sub = commands.add_parser(action.__name__, help=what, description=what)
        sub.set_defaults(action=action)
        if chapters:
            sub.add_argument("chapter", nargs=chapters, help="a number, a name or a path: 04, 04_hard_sharing, solutions/04")
            sub.add_argument("--folder", default=folder, help="where the notebooks are (%(default)s)")
        return sub

    sub = command(run, "Execute chapters: seconds, memory, claims and figures of each.", "*")
    sub.add_argument("--inplace", action="store_true", help="store those that ran well, with clean outputs")
    sub.add_argument("--timeout", type=int, default=600, help="seconds a cell may take (%(default)s)")
    sub.add_argument("--report", default="build/run.md", help="where the table goes (%(default)s)")
    command(text, "Write chapters as text to edit, into build/text.", "*")
    command(notebook, "Put edited text back into its notebook.", "+")
    command(release, "Make exercises from solutions.", "*", folder="solutions")
    sub = command(doctor, "Check this machine: what is missing, and what to do about it.")
    sub.add_argument("--hub", action="store_true", help="also try whether the hub can be reached")
    return top


def main(arguments: list[str] | None = None) -> int:
    args = parser().parse_args(arguments)
    try:
        return args.action(args)
    except (OSError, ValueError) as error:
        print(f"mtl-teach {args.command}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
