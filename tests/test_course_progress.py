"""Progress that is not lost, teachers' settings, and the release from solutions to exercises."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import nbformat
import pytest

import mtl_teach as mt
from mtl_teach import cli, notebook_rules, notebook_text
from mtl_teach.course import page, progress, registry, release, teacher
from mtl_teach.course.progress import Book, is_progress, join
from mtl_teach.course.registry import CourseError
from mtl_teach.course.teacher import Settings

ROOT = Path(__file__).resolve().parents[1]
OWN = textwrap.dedent(teacher.__doc__.split("my_exercises.py in full.")[1].split(":\n\n", 1)[1].split("Learners then")[0])


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    progress._BOOKS.clear()
    teacher._LOADED.clear()
    return tmp_path / "home"


def stored(home):
    return json.loads((home / "progress.json").read_text(encoding="utf-8"))


# ---- the file

def test_what_is_earned_is_kept(home):
    progress.book().record("04.2", tries=1)
    progress.book().record("04.2", tries=1, solved=True, points=3)
    progress.book().record("04.2", tries=1, solved=False, points=0)
    assert stored(home)["exercises"]["04.2"] == {"solved": True, "points": 3, "tries": 3, "hints": 0, "opened": False}
    progress._BOOKS.clear()                                                # a new kernel
    assert progress.book().of("04.2")["points"] == 3


def test_two_notebooks_at_once_lose_nothing(home):
    code = ("from mtl_teach.course.progress import book\n"
            "for i in range(20): book().record(f'{N}.{i}', tries=1, solved=True, points=1); book().record('09.1', tries=1)")
    runs = [subprocess.Popen([sys.executable, "-c", f"N = {n}\n{code}"]) for n in (11, 12)]
    assert [run.wait(120) for run in runs] == [0, 0]
    facts = stored(home)["exercises"]
    assert len(facts) == 41 and facts["09.1"]["tries"] == 40
    assert not list(home.glob("*.new"))


def test_a_damaged_file_is_set_aside_and_the_last_good_one_taken(home, capsys):
    progress.book().record("04.1", solved=True, points=2)
    progress.book().record("04.2", solved=True, points=3)
    (home / "progress.json").write_text('{"version": 1, "exerc', encoding="utf-8")
    progress._BOOKS.clear()
    mt.progress()
    text = capsys.readouterr().out
    assert "was damaged" in text and "progress.damaged-1.json" in text
    assert (home / "progress.damaged-1.json").read_text() == '{"version": 1, "exerc'
    assert progress.book().of("04.1")["solved"]
    progress.book().record("04.3", tries=1)
    assert stored(home)["exercises"]["04.1"]["points"] == 2


def test_a_file_damaged_while_the_kernel_runs_costs_nothing(home):
    mine = progress.book()
    mine.record("04.1", solved=True, points=2)
    (home / "progress.json").write_text("", encoding="utf-8")
    mine.record("04.2", tries=1)
    assert stored(home)["exercises"]["04.1"]["points"] == 2 and mine.said


def test_an_older_file_put_back_under_a_running_kernel_costs_nothing(home):
    mine = progress.book()
    mine.record("04.1", tries=1)
    older = (home / "progress.json").read_bytes()
    mine.record("04.1", solved=True, points=2)
    (home / "progress.json").write_bytes(older)                            # as a synchronised drive may do
    mine.record("04.2", tries=1)
    assert stored(home)["exercises"]["04.1"]["points"] == 2


@pytest.mark.parametrize("facts", [[], {}, {"version": "1", "exercises": {}}, {"version": 1, "exercises": {"04.1": 3}},
                                   {"version": 1, "exercises": {"04.1": {"points": "two"}}}, {"version": 1, "exercises": {"a": {"tries": -1}}}])
def test_what_is_not_progress(facts):
    assert not is_progress(facts)


def test_what_this_version_does_not_know_is_kept(home):
    home.mkdir()
    later = {"version": 7, "theme": "dark", "exercises": {"99.1": {"solved": True, "points": 5, "stars": 3}, "04.1": {"stars": 1}}}
    (home / "progress.json").write_text(json.dumps(later), encoding="utf-8")
    progress.book().record("04.1", tries=1)
    now = stored(home)
    assert now["version"] == 7 and now["theme"] == "dark" and now["exercises"]["99.1"] == later["exercises"]["99.1"]
    assert now["exercises"]["04.1"]["stars"] == 1 and now["exercises"]["04.1"]["tries"] == 1


def test_join_takes_the_better_of_both():
    a = {"version": 1, "exercises": {"x": {"solved": True, "points": 2, "tries": 1, "hints": 0, "opened": False}}}
    b = {"version": 1, "exercises": {"x": {"solved": False, "points": 0, "tries": 5, "hints": 2, "opened": True}, "y": {"tries": 1}}}
    for joined in (join(a, b), join(b, a)):
        assert joined["exercises"]["x"] == {"solved": True, "points": 2, "tries": 5, "hints": 2, "opened": True} and "y" in joined["exercises"]


def test_a_folder_that_cannot_be_written_is_said_once(home, capsys):
    home.write_text("a file where the folder should be")
    progress._BOOKS.clear()
    progress.book().record("04.1", solved=True, points=2)
    progress.book().record("04.2", tries=1)
    assert progress.book().of("04.1")["points"] == 2
    mt.progress()
    assert capsys.readouterr().out.count("could not be saved") == 1


def test_progress_moves_to_another_folder(home, tmp_path, capsys, monkeypatch):
    progress.book().record("04.1", solved=True, points=2)
    drive = tmp_path / "drive"
    Book(drive / "progress.json").record("04.2", solved=True, points=3)
    mt.progress(folder=drive)
    assert "5 of" in capsys.readouterr().out.splitlines()[0]
    assert set(json.loads((drive / "progress.json").read_text())["exercises"]) == {"04.1", "04.2"}
    monkeypatch.setenv("MTL_HOME", str(home))                               # undo what move_to set


def test_on_colab_the_page_says_how_to_keep_progress(home, monkeypatch, capsys):
    mt.progress()
    assert "Google Drive" not in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    monkeypatch.setattr(progress, "progress_folder", lambda: home)
    monkeypatch.delenv("MTL_HOME")
    mt.progress()
    assert "mt.progress(folder=" in capsys.readouterr().out


def test_a_run_that_nobody_watches_touches_no_file(home, monkeypatch):
    monkeypatch.setattr(progress, "shell", lambda: object())
    monkeypatch.setattr(progress, "someone_answers", lambda: False)
    progress.book().record("04.1", solved=True, points=2)
    assert progress.book().path is None and not home.exists()


# ---- the page

def test_the_page_shows_chapters_points_and_what_is_next(home, capsys):
    mt.progress()
    first = capsys.readouterr().out
    assert "Your progress: 0 of" in first and "04 Hard sharing" in first and "Next: 02.1" in first
    progress.book().record("04.1", solved=True, points=2, tries=1)
    mt.progress()
    text = capsys.readouterr().out
    assert "1 of 6 solved, 2 of 14 points" in text and "Next: 04.2" in text and "exercises/04_hard_sharing.ipynb" in text
    html = page.as_html(registry.all_chapters(), progress.book())
    assert "✓&nbsp;04.1" in html and "○&nbsp;04.2" in html and "solved   … begun" in html


def test_all_solved(home):
    chapters = registry.all_chapters()
    for each in chapters:
        for key in each.exercises:
            progress.book().record(key, solved=True)
    assert "Well done" in page.said_next(chapters, progress.book())


# ---- teachers

def settings(home, text):
    path = home.parent / "course.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_closed_solutions_stay_closed(home, capsys):
    settings(home, 'closed = ["04.*"]')
    progress.book().record("04.1", tries=9, solved=True)
    mt.solution("04.1")
    assert "closed by your teacher" in capsys.readouterr().out and not progress.book().of("04.1")["opened"]


def test_chosen_exercises_points_and_tries(home, capsys):
    settings(home, 'chosen = ["04.1", "04.2"]\ntries = 3\n[points]\n"04.2" = 5\n')
    mt.progress()
    assert "0 of 7 points, 0 of 2 exercises" in capsys.readouterr().out
    progress.book().record("04.1", tries=2)
    mt.solution("04.1")
    mt.check("04.3", None)
    text = capsys.readouterr().out
    assert "opens after 3 tries" in text and "there is no exercise '04.3'" in text


def test_the_worked_example_of_an_own_exercise(home, capsys):
    settings(home, 'own = ["my_exercises.py"]')
    (home.parent / "my_exercises.py").write_text(OWN, encoding="utf-8")
    mt.check("A.1", lambda x: x ** 2)
    mt.check("A.1", lambda x: x + x)
    mt.solution("A.1")
    mt.progress()
    text = capsys.readouterr().out
    assert "You squared" in text and "✓ A.1 double: correct" in text and "`return 2 * x`" in text and "1 of 1 solved" in text


def test_settings_are_read_again_when_they_change(home):
    path = settings(home, "tries = 3")
    assert teacher.settings().tries == 3
    path.write_text("tries = 4")
    os.utime(path, ns=(1, 1))
    assert teacher.settings().tries == 4
    path.unlink()
    assert teacher.settings() == Settings()


@pytest.mark.parametrize("text, words", [
    ("tries = ", "not valid TOML"), ("close = []", "Did you mean 'closed'"), ("tries = 'two'", "tries must be a int"), ("tries = true", "tries must be"),
    ("[points]\n'04.1' = 'many'", "whole numbers"), ("own = ['no.py']", "no such file"), ("own = ['bad.py']", "cannot be loaded: ZeroDivisionError"),
    ("own = ['empty.py']", "needs a list EXERCISES"), ("own = ['twice.py']", "has the id of one of the course"), ("chosen = ['44.*']", "fits no exercise")])
def test_broken_settings_are_said(home, capsys, text, words):
    settings(home, text)
    (home.parent / "bad.py").write_text("1 / 0")
    (home.parent / "empty.py").write_text("")
    (home.parent / "twice.py").write_text(OWN.replace("A.1", "04.1"))
    mt.check("04.1", None)
    mt.progress()
    assert capsys.readouterr().out.count(words) == 2


def test_settings_that_are_not_there(home, monkeypatch, capsys):
    monkeypatch.setenv("MTL_COURSE", str(home / "none.toml"))
    mt.check("04.1", None)
    assert "MTL_COURSE names the file 'none.toml'" in capsys.readouterr().out


# ---- from solutions to exercises

SOLUTIONS = sorted((ROOT / "solutions").glob("*.ipynb"))
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
REPOSITORY = PYPROJECT.split('Repository = "')[1].split('"')[0]


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_exercises_are_in_step_with_solutions(path, tmp_path):
    made, table = release.release_chapter(path, tmp_path, tmp_path / "released")
    number = path.stem.split("_")[0]
    assert made.read_bytes() == (ROOT / "exercises" / path.name).read_bytes(), f"run: mtl-teach release {number}"
    assert table.read_bytes() == (registry.RELEASED / table.name).read_bytes(), f"run: mtl-teach release {number}"
    assert registry.chapter(number).notebook == path.stem


def test_every_chapter_with_exercises_has_its_notebooks():
    assert [path.stem.split("_")[0] for path in SOLUTIONS] == registry.numbers()
    assert [path.name for path in SOLUTIONS] == sorted(path.name for path in (ROOT / "exercises").glob("*.ipynb"))


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_solutions_are_stored_as_run_and_every_check_is_passed(path):
    notebook = nbformat.v4.reads(path.read_text(encoding="utf-8"))
    assert not notebook_rules.solution_problems(notebook, path.stem, REPOSITORY)
    exercise = nbformat.v4.reads((ROOT / "exercises" / path.name).read_text(encoding="utf-8"))
    assert not notebook_rules.exercise_problems(exercise, path.stem, REPOSITORY)
    number = path.stem.split("_")[0]
    checked = [line for cell in exercise.cells for line in cell.source.splitlines() if line.startswith("mt.check(")]
    wanted = [f'mt.check("{key}", {each.answer})' for key, each in registry.chapter(number).exercises.items()]
    assert checked == wanted


@pytest.mark.slow
@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_untouched_exercises_run_and_say_not_attempted(path, home, capsys):
    notebook = nbformat.v4.reads((ROOT / "exercises" / path.name).read_text(encoding="utf-8"))
    names = {"__name__": "__main__"}
    for cell in notebook_rules.sources(notebook, "code"):
        exec("\n".join(line.replace("%pip", "pass  #") for line in cell.source.splitlines()), names)
    heads = [line for line in capsys.readouterr().out.splitlines() if line[:1] in "✓✗!○"]
    assert len(heads) == len(registry.chapter(path.stem.split("_")[0]).exercises)
    assert all(line.startswith("○") and "not attempted" in line for line in heads), heads


CELL = '''def double(x):
    """Twice x."""
    # >>> solution A.1
    y = x + x
    return y
    # --- given
    # return x          # is this enough?
    #
    # <<< solution'''


def test_regions():
    ids, given, solved = release.regions(CELL, "here")
    assert ids == ["A.1"] and given.split("\n")[2:] == ["    return x          # is this enough?", ""]
    assert solved.splitlines()[2:] == ["    y = x + x", "    return y"]
    plain = "\n".join(line for line in CELL.splitlines() if "given" not in line and "# return" not in line and line.strip() != "#")
    assert release.regions(plain, "here")[1].splitlines()[2] == "    ...                             # your code"


@pytest.mark.parametrize("text, words", [(CELL.replace("# <<< solution", ""), "not closed"), ("# <<< solution", "out of place"),
                                         (CELL.replace("# --- given", "# >>> solution A.2"), "out of place"), ("# --- given", "out of place")])
def test_broken_regions(text, words):
    with pytest.raises(CourseError, match=words):
        release.regions(text, "here")


NOTEBOOK = f'''# %% title [markdown]
# # Title

# %% double-task [markdown]
# ## A.1
#
# Double it.

# %% double
{CELL}

# %% double-check tags=["nbval-check-output"]
mt.check("A.1", double)

# %% double-measured tags=["solution"]
print(3)

# %% double-more [markdown] tags=["solution"]
# Three was measured.
'''


def test_release_of_a_notebook(tmp_path):
    from test_course_checking import exercise
    path = tmp_path / "A_demo.ipynb"
    notebook = notebook_text.from_text(NOTEBOOK)
    notebook.cells[-2].outputs = [nbformat.v4.new_output("stream", text="3\n")]
    notebook_text.write(notebook, path)
    made, facts = release.release(path, {"A.1": exercise()})
    assert [cell.id for cell in made.cells] == ["title", "double-task", "double", "double-check"]
    assert made.cells[1].source.startswith("## A.1 · Twice\n\n*write a function · points: 1") and made.cells[3].metadata == {}
    assert "is this enough" in made.cells[2].source and "x + x" not in made.cells[2].source
    assert facts["A.1"]["stub"] == made.cells[2].source
    assert facts["A.1"]["solution"].endswith("```python\nprint(3)\n```\n\n```\n3\n```\n\nThree was measured.")
    assert "x + x" in facts["A.1"]["solution"] and ">>>" not in facts["A.1"]["solution"]
    for exercises, words in (({}, "without an exercise"), ({"A.1": exercise(), "A.2": exercise(id="A.2")}, r"no solution region for \['A.2'\]")):
        with pytest.raises(CourseError, match=words):
            release.release(path, exercises)


def test_solutions_travel_as_text(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "build" / "text" / "solutions").mkdir(parents=True)
    (tmp_path / "build" / "text" / "solutions" / "A_demo.py").write_text(NOTEBOOK, encoding="utf-8")
    assert cli.main(["notebook", "solutions/A_demo"]) == 0
    path = tmp_path / "solutions" / "A_demo.ipynb"
    first = path.read_bytes()
    os.utime(path, (2**31, 2**31))
    assert cli.main(["text", "solutions/A"]) == 0 and cli.main(["notebook", "solutions/A"]) == 0 and path.read_bytes() == first
    (tmp_path / "exercises").mkdir()
    (tmp_path / "exercises" / "A_demo.ipynb").write_bytes(first)
    assert cli.main(["text", "exercises/A"]) == 2 and "made from solutions" in capsys.readouterr().err


def test_a_notebook_that_was_worked_in_is_not_overwritten(tmp_path):
    path = SOLUTIONS[0]
    made, _ = release.release_chapter(path, tmp_path, tmp_path / "released")
    worked = json.loads(made.read_text(encoding="utf-8"))
    next(cell for cell in worked["cells"] if cell["cell_type"] == "code")["execution_count"] = 1
    made.write_text(json.dumps(worked), encoding="utf-8")
    with pytest.raises(CourseError, match="has been worked in"):
        release.release_chapter(path, tmp_path, tmp_path / "released")
    assert json.loads(made.read_text(encoding="utf-8")) == worked


def test_make_test_runs_the_exercises_and_solutions():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "$(wildcard notebooks exercises solutions)" in makefile and "mtl-teach release" in makefile
