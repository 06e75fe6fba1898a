"""Every committed notebook is clean; and each rule is shown to catch what it is for."""

import json
import tomllib
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from mtl_teach import notebook_rules as rules

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))
OTHERS = sorted(path for folder in ("exercises", "solutions") for path in (ROOT / folder).glob("*.ipynb"))
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]


def read(path):
    """The notebook as it stands in the file: `nbformat.read` would mend some of what the rules look for."""
    text = path.read_text(encoding="utf-8")
    nbformat.validate(json.loads(text))
    notebook = nbformat.v4.reads(text)
    for cell in notebook.cells:
        cell.setdefault("id", "")
    return notebook


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_is_clean(path):
    found = rules.chapter_problems(read(path), path.stem, REPOSITORY)
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_notebook_is_clean(path):
    found = rules.problems(read(path))
    assert not found, "\n" + "\n".join(found)


# --- the rules themselves

LINK = rules.colab_link(REPOSITORY, "04_demo")
HEADINGS = "\n\n".join(f"## {part}" for part in ("What you will be able to do", "Where it fails", "Recap", "Quiz",
                                                 "Exercises", "Further reading"))


def chapter(*cells):
    """A clean little chapter, with more cells at its end."""
    first = [new_markdown_cell(f"# Demo\n\n[Open in Colab]({LINK})\n\n{HEADINGS}", id="title"),
             new_code_cell("import mtl_teach as mt", id="setup")]
    notebook = new_notebook(cells=first)
    notebook.cells += cells
    for number, cell in enumerate(rules.sources(notebook, "code"), 1):
        cell.execution_count = number
    return notebook


def code(source="1", outputs=(), name="extra", tags=()):
    return new_code_cell(source, id=name, outputs=list(outputs), metadata={"tags": list(tags)})


def text(words, name="stdout"):
    return new_output("stream", name=name, text=words)


def shown(**data):
    return new_output("display_data", data={kind.replace("_", "/", 1): value for kind, value in data.items()})


ERROR = new_output("error", ename="ValueError", evalue="no", traceback=["ValueError: no"])
VIEW = new_output("display_data", data={rules.WIDGET_VIEW: {"model_id": "widget1"}})

BAD = {                                      # what is wrong -> (the cells added, words of the message)
    "id twice": ([code(), code()], "stands 2 times"),
    "random id": ([code(name="1f8e3c9a")], "says what the cell is about"),
    "numbered id": ([code(name="cell-12")], "says what the cell is about"),
    "id in capitals": ([code(name="Setup2")], "says what the cell is about"),
    "long cell": ([code("x = 1\n" * 31), code(name="short")], "31 lines"),
    "long on the whole": ([code("x = 1\n" * 9, name=f"part-{n}") for n in "abcd"], "median"),
    "long too often": ([code("x = 1\n" * 19, name=f"part-{n}") for n in "abc"]
                       + [code(name=f"short-{n}") for n in "abcd"], "90 %"),
    "large": ([code(outputs=[text("x" * 1_600_000)])], "larger"),
    "path in output": ([code(outputs=[text("saved /home/ann/model")])], "/home/ann"),
    "path in source": ([code("open('/tmp/file')")], "/tmp/file"),
    "path on Windows": ([code(outputs=[text("C:\\Users\\ann")])], "Users"),
    "library path": ([code(outputs=[text("lib/site-packages/torch")])], "site-packages"),
    "error": ([code(outputs=[ERROR])], "an error is stored"),
    "stderr": ([code(outputs=[text("loading", "stderr")])], "stderr"),
    "warning": ([code(outputs=[text("UserWarning: careful")])], "warning"),
    "progress bar": ([code(outputs=[text(" 40%|####      | 4/10")])], "progress bar"),
    "address": ([code(outputs=[shown(text_plain="<Net at 0x7f3a5c1b>")])], "address in memory"),
    "widget without state": ([code(outputs=[VIEW])], "without its stored state"),
    "image": ([code(outputs=[shown(image_png="iVBO")])], "alt text"),
    "html image": ([code(outputs=[shown(text_html="<img src='x'>")])], "alt text"),
    "empty alt": ([code(outputs=[shown(text_html="<img src='x' alt=''>")])], "alt text"),
    "drawing": ([code(outputs=[shown(text_html="<svg><path/></svg>")])], "alt text"),
    "picture from the web": ([new_markdown_cell("[![Colab](https://a.org/b.svg)](https://c.org)", id="picture")],
                             "images/open-in-colab.svg"),
    "markdown image": ([new_markdown_cell("![](a.png)", id="picture")], "alt text"),
}


@pytest.mark.parametrize("cells, words", BAD.values(), ids=BAD)
def test_rule_catches(cells, words):
    found = rules.chapter_problems(chapter(*cells), "04_demo", REPOSITORY)
    assert len(found) == 1 and words in found[0], found


FINE = {
    "expected error": [code(outputs=[ERROR], tags=["raises-exception"])],
    "html image with alt text": [code(outputs=[shown(text_html="<img src='x' alt='a line'>", image_png="iVBO")])],
    "labelled drawing": [code(outputs=[shown(text_html="<svg role='img' aria-label='a line'><path/></svg>")])],
    "web address": [new_markdown_cell("See https://example.org/home/ann and [it](https://a.b/work/x).", id="link")],
    "local picture": [new_markdown_cell("[![Colab](images/b.svg)](https://c.org)", id="picture")],
    "relative path": [code("open('data/tmp/file')")],
    "percentages": [code(outputs=[text("accuracy 93 % | 12 tasks")])],
}


@pytest.mark.parametrize("cells", FINE.values(), ids=FINE)
def test_rule_lets_pass(cells):
    assert rules.chapter_problems(chapter(*cells), "04_demo", REPOSITORY) == []


def test_order_counts():
    notebook = chapter(code(name="one"), code(name="two"))
    notebook.cells[-1].execution_count = 7
    assert "not executed in order" in rules.order_problems(notebook)[0]


@pytest.mark.parametrize("missing, words", [("# Demo", "title"), (LINK, "Colab"), ("## Recap", "recap"),
                                            ("## Quiz", "quiz"), ("## Further reading", "further reading")])
def test_anatomy(missing, words):
    notebook = chapter()
    notebook.cells[0].source = notebook.cells[0].source.replace(missing, "", 1)
    found = rules.anatomy_problems(notebook, "04_demo", REPOSITORY)
    assert len(found) == 1 and words in found[0]


def test_one_setup_cell():
    notebook = chapter()
    notebook.cells[1].id = "start"
    assert "set-up cell" in rules.anatomy_problems(notebook, "04_demo", REPOSITORY)[0]
