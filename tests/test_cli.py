"""The tools of authors and learners: run notebooks, edit them as text, check the machine."""

import json

import nbformat
import pytest
from packaging.specifiers import SpecifierSet

from mtl_teach import cli, doctor, notebook_text, runner

CHAPTER = '''
# %% title [markdown]
# # A chapter

# %% setup
import sys
import ipywidgets
from tqdm.auto import tqdm

# %% sum tags=["nbval-check-output"]
1 + 1

# %% bar
for step in tqdm(range(3)):
    pass
for step in tqdm(range(3), file=sys.stderr):
    pass
block = bytearray(300 * 2**20)

# %% claim-two
def claim(text, holds):
    print("✓" if holds else "✗", text)

claim("one is one", True)
claim("two is two", True)
print("✓ not a claim" if False else "plain text")

# %% check-no-claim
print("✓ a check, in a cell that makes no claim")

# %% figure
from IPython.display import HTML
HTML("<img alt='a line' src='data:image/png;base64,iVBO'>")

# %% explore
ipywidgets.interact(lambda a: print(a), a=ipywidgets.IntSlider(value=2, max=4));

# %% crash tags=["raises-exception"]
1 / 0
'''
BAD = {
    "unheld": ("claims 0/1", "def claim(text, holds):\n    print('✓' if holds else '✗', text)\nclaim('no', False)"),
    "stderr": ("text on stderr", "import sys; print('careful', file=sys.stderr)"),
    "figure": ("alt text 0/1", "from IPython.display import HTML\nHTML('<img src=\"x\">')"),
    "error": ("ValueError: too small", "raise ValueError('too small')"),
}


def write(folder, name, text):
    path = folder / f"{name}.ipynb"
    notebook_text.write(notebook_text.from_text(text), path)
    return path


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A chapter run twice in place: (its run, the bytes stored first, its path)."""
    path = write(tmp_path_factory.mktemp("notebooks"), "04_demo", CHAPTER)
    run = runner.run_notebook(path, inplace=True)
    first = path.read_bytes()
    runner.run_notebook(path, inplace=True)
    return run, first, path


def outputs(path, name):
    return next(cell for cell in nbformat.read(path, as_version=4).cells if cell.id == name).outputs


# --- running

def test_run_measures(stored):
    run, _, _ = stored
    assert run.passed, run.problems
    assert (run.held, run.claims, run.figures, run.alt_texts) == (2, 2, 1, 1)
    assert 300 < run.memory < 2000 and run.seconds > 0
    assert "claims 2/2" in str(run) and "ok" in str(run)


def test_same_run_same_bytes(stored):
    _, first, path = stored
    assert path.read_bytes() == first


def test_stored_outputs_are_clean(stored):
    _, _, path = stored
    assert outputs(path, "bar") == []
    assert outputs(path, "crash")[0].traceback == ["ZeroDivisionError: division by zero"]
    text = path.read_text(encoding="utf-8")
    assert "iopub" not in text and "FloatProgress" not in text
    view = outputs(path, "explore")[0].data["application/vnd.jupyter.widget-view+json"]
    state = json.loads(text)["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    assert view["model_id"] == "widget1" and {"IntSliderModel"} < {model["model_name"] for model in state.values()}


@pytest.fixture(scope="module")
def bad_runs(tmp_path_factory):
    """Notebooks with one thing wrong each, run in place: (the folder, stdout, whether all passed)."""
    import contextlib
    import io
    folder, printed = tmp_path_factory.mktemp("bad"), io.StringIO()
    paths = [write(folder, name, f"# %% first\n{source}\n") for name, (_, source) in BAD.items()]
    before = {path.stem: path.read_bytes() for path in paths}
    with contextlib.redirect_stdout(printed):
        passed = runner.run_all(paths, inplace=True, report=folder / "build" / "run.md")
    assert not passed
    return folder, printed.getvalue(), before


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD)
def test_bad_notebook_is_named_and_not_stored(bad_runs, name):
    folder, printed, before = bad_runs
    lines = printed.splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith(name))
    assert BAD[name][0] in "\n".join(lines[first:first + 2]) and "FAILED" in lines[first]
    assert (folder / f"{name}.ipynb").read_bytes() == before[name]


@pytest.mark.slow
def test_table_is_written(bad_runs):
    table = (bad_runs[0] / "build" / "run.md").read_text(encoding="utf-8")
    assert table in bad_runs[1]
    assert "| unheld |" in table and "| 0/1 |" in table and "| all |" in table and "torch" in table


@pytest.mark.slow
def test_slow_cell_is_stopped(tmp_path):
    path = write(tmp_path, "slow", "# %% first\nimport time; time.sleep(60)\n")
    run = runner.run_notebook(path, timeout=1)
    assert not run.passed and "first" in run.problems[0] and "timed out" in run.problems[0].lower()


@pytest.mark.parametrize("name", ["04", "04_demo", "04_demo.ipynb"])
def test_find_notebook(stored, name):
    assert runner.find_notebooks([name], stored[2].parent) == [stored[2]]


def test_unknown_notebook(stored, capsys):
    assert cli.main(["run", "--folder", str(stored[2].parent), "04_dmo"]) == 2
    assert "Did you mean '04_demo'" in capsys.readouterr().err


def test_empty_folder(tmp_path, capsys):
    assert cli.main(["run", "--folder", str(tmp_path)]) == 2
    assert "folder of the course" in capsys.readouterr().err


# --- notebooks as text

def test_text_and_back(stored, tmp_path):
    path = tmp_path / stored[2].name
    path.write_bytes(stored[1])
    text = notebook_text.take_out(path, tmp_path / "text")
    assert '# %% sum tags=["nbval-check-output"]' in text.read_text(encoding="utf-8")
    notebook_text.put_back(path, tmp_path / "text")
    assert path.read_bytes() == stored[1]


def test_changed_cell_loses_its_output(stored):
    old = nbformat.read(stored[2], as_version=4)
    new = notebook_text.from_text(notebook_text.to_text(old).replace("1 + 1", "1 + 2"), old)
    by_id = {cell.id: cell for cell in new.cells}
    assert by_id["sum"].outputs == [] and by_id["figure"].outputs


def test_cell_without_id():
    with pytest.raises(ValueError, match="a cell has no id"):
        notebook_text.from_text("# %%\n1 + 1\n")


def test_newer_text_is_not_overwritten(stored, tmp_path):
    text = tmp_path / "04_demo.py"
    text.write_text("# %% mine\n1\n")
    with pytest.raises(FileExistsError, match="newer"):
        notebook_text.take_out(stored[2], tmp_path)
    assert text.read_text() == "# %% mine\n1\n"


def test_commands_text_and_notebook(stored, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "04_demo.ipynb").write_bytes(stored[1])
    assert cli.main(["text", "04"]) == 0
    assert cli.main(["notebook", "04"]) == 0
    assert "build/text/04_demo.py" in capsys.readouterr().out.replace("\\", "/")
    (tmp_path / "build" / "text" / "05_new.py").write_text("# %% first\n1\n")
    assert cli.main(["notebook", "05"]) == 0                    # a new chapter begins as text
    assert (tmp_path / "notebooks" / "05_new.ipynb").exists()
    assert cli.main(["notebook", "06"]) == 2


# --- doctor

@pytest.mark.parametrize("line, state, words", [
    (doctor.python_line((3, 12, 1)), "ok", ""),
    (doctor.python_line((3, 10, 4)), "missing", "make setup PYTHON"),
    (doctor.python_line((3, 14, 0)), "missing", "make setup PYTHON"),
    (doctor.package_line("torch", SpecifierSet(">=1")), "ok", ""),
    (doctor.package_line("torch", SpecifierSet(">=99")), "missing", "make setup"),
    (doctor.package_line("no-such-package", SpecifierSet(">=1")), "missing", "pip install 'no-such-package>=1'"),
    (doctor.package_line("no-such-package", SpecifierSet(">=1"), core=False), "note", "make setup"),
    (doctor.memory_line(8.0), "ok", ""), (doctor.memory_line(1.0), "note", "close"),
    (doctor.disk_line(9.0), "ok", ""), (doctor.disk_line(0.5), "missing", "free 1 GiB"),
    (doctor.device_line(), "ok", "")])
def test_doctor_lines(line, state, words):
    assert line.state == state and words in line.advice and bool(words) == bool(line.advice)


def test_doctor_looks_at_every_named_package():
    names = {name for name, _, _ in doctor.wanted_packages()}
    assert {"torch", "transformers", "seqeval", "jupyterlab"} <= names and "ruff" not in names


def test_doctor_progress_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "new"))
    assert doctor.progress_line().state == "ok" and (tmp_path / "new").is_dir()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "file"))
    assert doctor.progress_line().state == "missing" and "MTL_HOME" in doctor.progress_line().advice


def test_doctor_model(tmp_path):
    line = doctor.model_line(tmp_path)
    assert line.state == "missing" and "model.safetensors" in line.found
    for name in doctor.TINY_FILES:
        (tmp_path / name).write_text("x")
    assert doctor.model_line(tmp_path).state == "ok"


def test_doctor_report(monkeypatch, capsys):
    lines = (doctor.Line("disk", "missing", "0 <GiB>", "make room"), doctor.Line("Python", "ok", "3.11"))
    report = doctor.Report(lines)
    assert not report.ready and "Not ready yet: disk" in str(report) and "✗ disk" in str(report)
    assert "&lt;GiB&gt;" in report._repr_html_() and "make room" in report._repr_html_()
    monkeypatch.setattr(doctor, "check", lambda hub: report)
    assert cli.main(["doctor"]) == 1 and "make room" in capsys.readouterr().out
    assert doctor.Report(lines[1:]).ready


def test_doctor_opens_no_socket(monkeypatch):
    import socket
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a connection was opened"))
    assert "hub" not in {line.what for line in doctor.check().lines}
