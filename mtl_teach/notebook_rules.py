"""What a committed notebook must look like, as functions that list what is wrong.

`problems(notebook, kind)` gives one sentence per problem, with the id of the cell; an empty list is a clean notebook.
The runner refuses to store a notebook with problems in its outputs, and a test holds every notebook of the course.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from statistics import median

MAX_LINES, MAX_MEDIAN, P90_LINES = 30, 8, 18
MAX_BYTES = 1_500_000
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"

ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
RANDOM_ID = re.compile(r"[0-9a-f]{6,}|[0-9a-f]{8}-[0-9a-f-]+|(cell|id)-?\d+")
MACHINE_PATH = re.compile(r"(?<![\w.:/~-])(/(root|home|tmp|work|Users|opt|private|mnt|var|srv)/[\w.-]+"
                          r"|[A-Z]:\\\\?Users)|site-packages")
DEBRIS = {                                   # in stored outputs
    "a warning": re.compile(r"\b[A-Z]\w*Warning\b|\bWARNING\b"),
    "a progress bar": re.compile(r"\d+%\|.*\||\b(it/s|s/it)\b|\r"),
    "an address in memory, other in each run": re.compile(r"\b0x[0-9a-f]{6,}\b"),
}
ANATOMY = {                                  # DESIGN: what a chapter consists of, as headings or words of headings
    "what you will be able to do": r"able to",
    "where it fails": r"fails?\b|limits",
    "recap": r"recap",
    "quiz": r"quiz",
    "exercises": r"exercises",
    "further reading": r"further reading|read further",
}
SETUP_ID = "setup"
SOLUTION_MARKS = re.compile(r"^ *# (>>> solution|--- given(.|\n)*?<<< solution|<<< solution).*\n?", re.MULTILINE)
REMOTE_IMAGE = re.compile(r"!\[[^\]]*\]\((https?://[^)]+)\)|<img\b[^>]*src=.(https?://[^\"'> ]+)")


def sources(nb, kind: str) -> list:
    return [cell for cell in nb.cells if cell.cell_type == kind]


def output_texts(output) -> list[str]:
    """Every piece of text that an output shows."""
    if output.output_type == "stream":
        return [output.text]
    if output.output_type == "error":
        return [f"{output.ename}: {output.evalue}", *output.traceback]
    return [text for mime, text in output.data.items() if mime.startswith("text/") and isinstance(text, str)]


def figures(nb) -> list[tuple[str, bool]]:
    """(cell id, has alt text) for every figure: images in outputs, in widgets' outputs, in HTML and in Markdown."""
    found = []
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            found += [(cell.id, alt) for alt in output_figures(output)]
        if cell.cell_type == "markdown":
            found += [(cell.id, bool(alt.strip())) for alt in re.findall(r"!\[([^\]]*)\]\(", cell.source)]
            found += [(cell.id, alt) for alt in html_figures(cell.source)]
    state = nb.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    for model in state.values():
        for output in model.get("state", {}).get("outputs", []):
            found += [("widgets", alt) for alt in output_figures(output)]
    return found


def output_figures(output) -> list[bool]:
    """Whether each figure of an output has alt text.

    JupyterLab, Colab and nbconvert show an image/png without any alt text, whatever its metadata say: only
    an <img alt="..."> in text/html, which they prefer to image/png, reaches a screen reader.
    """
    data = output.get("data", {})
    if "text/html" in data:
        return html_figures("".join(data["text/html"]))
    return [False for mime in data if mime.startswith("image/")]


def html_figures(text: str) -> list[bool]:
    images = [bool(re.search(r"""\balt=(["'])\s*[^"'\s]""", tag)) for tag in re.findall(r"<img\b[^>]*>", text)]
    vectors = ["aria-label" in tag or "aria-hidden" in tag or "<title" in tag
               for tag in re.findall(r"<svg\b.*?</svg>", text, re.DOTALL)]
    return images + vectors


def id_problems(nb) -> list[str]:
    counts = Counter(cell.get("id", "") for cell in nb.cells)
    twice = [f"{name}: this id stands {n} times" for name, n in counts.items() if n > 1]
    return twice + [f"{name or 'a cell'}: an id says what the cell is about, in lower case with dashes ('claim-gain')"
                    for name in counts if not ID.fullmatch(name) or RANDOM_ID.fullmatch(name)]


def size_problems(nb) -> list[str]:
    lines = {cell.id: len(SOLUTION_MARKS.sub("", cell.source).splitlines()) for cell in sources(nb, "code")}
    found = [f"{name}: {n} lines of code, at most {MAX_LINES}" for name, n in lines.items() if n > MAX_LINES]
    counts = sorted(lines.values())
    if counts and median(counts) > MAX_MEDIAN:
        found.append(f"the median code cell has {median(counts):g} lines, at most {MAX_MEDIAN}")
    if counts and counts[int(0.9 * (len(counts) - 1))] > P90_LINES:
        found.append(f"90 % of the code cells should have at most {P90_LINES} lines")
    if len(json.dumps(nb, ensure_ascii=False).encode()) > MAX_BYTES:
        found.append(f"the notebook is larger than {MAX_BYTES / 1e6} MB")
    return found


def path_problems(nb) -> list[str]:
    """Paths of the machine that ran or wrote the notebook, in sources and outputs."""
    found = []
    for cell in nb.cells:
        texts = [cell.source, *[text for output in cell.get("outputs", []) for text in output_texts(output)]]
        match = next((m for m in map(MACHINE_PATH.search, texts) if m), None)
        if match:
            found.append(f"{cell.id}: a path of one machine: {match[0]}")
    return found


def image_problems(nb) -> list[str]:
    """Pictures that a browser would fetch: opening a chapter opens no connection."""
    found = [(cell.id, match) for cell in sources(nb, "markdown") for match in REMOTE_IMAGE.finditer(cell.source)]
    return [f"{name}: a picture from the web: {match[1] or match[2]}; keep it in notebooks/images "
            "(the Colab badge is images/open-in-colab.svg)" for name, match in found]


def output_problems(nb) -> list[str]:
    """Errors, stderr, warnings, progress bars and figures without alt text among the stored outputs."""
    state = nb.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    found = []
    for cell in sources(nb, "code"):
        for output in cell.outputs:
            found += [f"{cell.id}: {what}" for what in one_output(output, cell, state)]
    return found + [f"{name}: a figure without alt text" for name, alt in figures(nb) if not alt]


def one_output(output, cell, state) -> list[str]:
    expected = "raises-exception" in cell.metadata.get("tags", [])
    if output.output_type == "error" and not expected:
        return [f"an error is stored: {output.ename}: {output.evalue}"]
    if output.get("name") == "stderr":
        return [f"text on stderr: {output.text.strip()[:100]!r}"]
    view = output.get("data", {}).get(WIDGET_VIEW)
    if view and view["model_id"] not in state:
        return ["a widget without its stored state (it shows as an error when the notebook is opened)"]
    texts = [] if expected else output_texts(output)
    return [f"{what} in the output: {match[0][:100]!r}" for what, pattern in DEBRIS.items()
            for match in filter(None, map(pattern.search, texts))]


def order_problems(nb) -> list[str]:
    """Chapters are stored as one run from top to bottom leaves them."""
    counts = [cell.execution_count for cell in sources(nb, "code") if cell.source.strip()]
    if counts == list(range(1, len(counts) + 1)):
        return []
    return ["not executed in order from top to bottom; run: mtl-teach run --inplace"]


def anatomy_problems(nb, name: str, repository: str) -> list[str]:
    """The parts of a chapter: title, Colab link, one set-up cell; and the headings, but for chapter 00."""
    prose = "\n".join(cell.source for cell in sources(nb, "markdown"))
    headings = "\n".join(re.findall(r"^#{2,4} .*", prose, re.MULTILINE)).lower()
    colab = colab_link(repository, name)
    found = []
    if not nb.cells or not nb.cells[0].source.startswith("# "):
        found.append("the first cell begins with the title: # ...")
    if colab not in prose:
        found.append(f"no Colab link; it is {colab}")
    if sum(cell.id == SETUP_ID for cell in sources(nb, "code")) != 1:
        found.append(f"there is one set-up cell, with the id {SETUP_ID!r}")
    if not name.startswith("00"):
        found += [f"no heading for: {part}" for part, words in ANATOMY.items() if not re.search(words, headings)]
    return found


def colab_link(repository: str, name: str, folder: str = "notebooks") -> str:
    """Where a notebook opens on Colab: the one of this name in the repository's main branch."""
    return f"{repository.replace('https://github.com', 'https://colab.research.google.com/github')}" \
           f"/blob/main/{folder}/{name}.ipynb"


def problems(nb) -> list[str]:
    """What holds for every notebook, executed or not."""
    return id_problems(nb) + size_problems(nb) + path_problems(nb) + image_problems(nb) + output_problems(nb)


def chapter_problems(nb, name: str, repository: str) -> list[str]:
    """What holds for a chapter."""
    return problems(nb) + order_problems(nb) + anatomy_problems(nb, name, repository)


def exercise_problems(nb, name: str, repository: str) -> list[str]:
    """What holds for a notebook of exercises, and for the solutions it is made from: title, Colab link (to the
    exercises), a link to the chapter, one set-up cell, and a check for each exercise."""
    prose = "\n".join(cell.source for cell in sources(nb, "markdown"))
    code = "\n".join(cell.source for cell in sources(nb, "code"))
    asked, checked = re.findall(r"^## (\w+\.\d+)", prose, re.MULTILINE), re.findall(r"mt\.check\(\"([^\"]+)\"", code)
    wanted = {"title: # ...": prose.startswith("# "), "link to its chapter": f"../notebooks/{name}.ipynb" in prose,
              "Colab link": colab_link(repository, name, "exercises") in prose,
              f"set-up cell with the id {SETUP_ID!r}": sum(cell.id == SETUP_ID for cell in sources(nb, "code")) == 1}
    found = [f"no {part}" for part, there in wanted.items() if not there]
    return problems(nb) + found + ([] if asked == checked else [f"headings {asked} and checks {checked} differ"])


def solution_problems(nb, name: str, repository: str) -> list[str]:
    """Solutions are stored as one run leaves them, and every check in them says ✓."""
    failed = [cell.id for cell in sources(nb, "code") if "mt.check(" in cell.source
              and not any(text.startswith("✓") for output in cell.outputs for text in output_texts(output))]
    return (exercise_problems(nb, name, repository) + order_problems(nb)
            + [f"{name}: the stored check is not ✓" for name in failed])
