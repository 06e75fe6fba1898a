"""The command line: `mtl-teach run | text | notebook | doctor`."""

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
    from .notebook_text import TEXT_FOLDER, put_back
    from .runner import find_notebook
    written = {path.stem for path in TEXT_FOLDER.glob("*.py")}
    known = sorted({*Path(args.folder).glob("*.ipynb"), *(Path(args.folder) / f"{stem}.ipynb" for stem in written)})
    for name in args.chapter:
        print(put_back(find_notebook(name, known)))
    return 0


def doctor(args) -> int:
    from .doctor import check
    report = check(hub=args.hub)
    print(report)
    return 0 if report.ready else 1


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="mtl-teach", description="The tools of a course on multi-task learning.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(action, what: str, chapters: str = ""):
        sub = commands.add_parser(action.__name__, help=what, description=what)
        sub.set_defaults(action=action)
        if chapters:
            sub.add_argument("chapter", nargs=chapters, help="a number, a name or a path: 04, 04_hard_sharing")
            sub.add_argument("--folder", default="notebooks", help="where the notebooks are (%(default)s)")
        return sub

    sub = command(run, "Execute chapters: seconds, memory, claims and figures of each.", "*")
    sub.add_argument("--inplace", action="store_true", help="store those that ran well, with clean outputs")
    sub.add_argument("--timeout", type=int, default=600, help="seconds a cell may take (%(default)s)")
    sub.add_argument("--report", default="build/run.md", help="where the table goes (%(default)s)")
    command(text, "Write chapters as text to edit, into build/text.", "*")
    command(notebook, "Put edited text back into its notebook.", "+")
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
