"""Quizzes: the rules authors must keep, the three ways to show one, and a headless notebook that stays the same."""

import sys
import types

import pytest

from mtl_teach.course import quiz as module
from mtl_teach.course.quiz import QuizError, as_html, as_text, ask, chapters, check, load, quiz, right, wrong

GOOD = [ask(f"Question {i}: is `x < {i}`?", right("yes <b>", f"Because {i}."), wrong("no", f"Count to {i}."))
        for i in range(4)] + [ask("Which two?", right("a", "A is."), right("b", "B is."), wrong("c", "C is not."))]


@pytest.fixture
def chapter_99(monkeypatch):
    fake = types.ModuleType("quiz_99")
    fake.QUIZ = GOOD
    monkeypatch.setitem(sys.modules, "mtl_teach.course.quizzes.quiz_99", fake)
    monkeypatch.setattr(module, "chapters", lambda: ["98", "99"])


def test_every_quiz_of_the_course_keeps_the_rules():
    for chapter in chapters():
        load(chapter)


@pytest.mark.parametrize("question, message", [
    (ask("Why?", right("a", "It is."), right("b", "It is.")), "at least one right and one wrong"),
    (ask("Why?", wrong("a", "No."), wrong("b", "No.")), "at least one right and one wrong"),
    (ask("Why?", right("a", "It is."), wrong("b")), "'b' has no explanation"),
    (ask("Why?", right("a", " "), wrong("b", "No.")), "'a' has no explanation"),
    (ask("Why?", right("a", "It is."), wrong("a", "No.")), "alike"),
    (ask("Why?", right("a", "It is."), wrong(" ", "No.")), "empty"),
    (ask("Why?", right("a", "It is.")), "1 choices"),
    (ask(" ", right("a", "It is."), wrong("b", "No.")), "asks nothing"),
])
def test_a_broken_question_is_refused_with_its_place(question, message):
    with pytest.raises(QuizError, match=f"quiz_99.py, question 5 .*{message}"):
        check([*GOOD[:4], question], "quiz_99.py")


def test_five_to_eight_different_questions():
    check(GOOD, "q")
    for questions in (GOOD[:4], [*GOOD, *GOOD[:4]]):
        with pytest.raises(QuizError, match="write 5 to 8"):
            check(questions, "q")
    with pytest.raises(QuizError, match="twice"):
        check([*GOOD, GOOD[0]], "q")


def test_an_unknown_chapter_names_the_known_ones(chapter_99):
    with pytest.raises(QuizError, match="Known: 98, 99"):
        quiz("09_evaluation")


def test_outside_a_notebook_it_prints_questions_and_keeps_the_answers(chapter_99, capsys):
    quiz("99_some_chapter")
    text = capsys.readouterr().out
    assert "5. Which two? (2 choices are right)" in text and "   b) no" in text and "quiz('99', answers=True)" in text
    assert "Because" not in text and "✓" not in text


def test_answers_prints_an_explanation_for_every_choice(chapter_99, capsys):
    quiz(99, answers=True)
    text = capsys.readouterr().out
    assert "   a) yes <b>\n      ✓ Right. Because 3.\n   b) no\n      ✗ Not so. Count to 3." in text
    assert text.count("✓") == 6 and text.count("✗") == 5


def test_the_page_folds_every_explanation_under_its_choice():
    html = as_html("99", GOOD)
    assert html.count("<details") == html.count("<summary>") == 11 and " open" not in html
    assert "<code>x &lt; 3</code>" in html and "yes &lt;b&gt;" in html
    assert as_html("99", GOOD) == html and as_text("99", GOOD) == as_text("99", GOOD)


def test_the_widget_explains_each_choice_and_counts_first_tries():
    panel = module._panel("99", GOOD)
    rows = [child for child in panel.children if hasattr(child, "children")]
    assert len(rows) == 11 and "0 of 5 right" in panel.children[-1].value
    for number in (1, 0, 2):                                   # wrong first, then right; then right at once
        rows[number].children[0].click()
    assert "1 of 5 right at the first try, 3 to go" in panel.children[-1].value
    button, text = rows[1].children
    assert button.description == "b ✗" and "✗ Not so. Count to 0." in text.value
    assert rows[0].children[0].description == "a ✓" and "Because 0." in rows[0].children[1].value
    assert "Because 3" not in rows[6].children[1].value


def test_a_headless_notebook_shows_plain_html_and_claims_and_figures():
    """What nbclient stores: no widgets, the same each time, alt text in the figure, the verdict of the claim."""
    import nbformat
    from nbclient import NotebookClient
    setup = ("from mtl_teach import claims, display, pictures\nfrom mtl_teach.course import quiz as module\n"
             "module.load = lambda c: [module.ask('Why?', module.right('a', 'It is.'), module.wrong('b', 'No.'))] * 5\n"
             "assert not display.someone_answers() and display.shell() is not None")
    cells = [setup, "module.quiz('99')", "claims.claim('It holds', True, 0.5)",
             "fig, axes = pictures.picture()\naxes.plot([1, 2])\nfig.alt = 'a line from 1 to 2'\nfig"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    shown = [cell.outputs for cell in notebook.cells]
    assert shown[0] == [] and [len(outputs) for outputs in shown[1:]] == [1, 1, 1]
    asked, claimed, drawn = (outputs[0].data for outputs in shown[1:])
    assert set(asked) == {"text/plain", "text/html"} and asked["text/html"].count("<details") == 10
    assert claimed["text/plain"] == "✓ It holds   (measured: 0.5)" and "holds" in claimed["text/html"]
    assert set(drawn) == {"text/plain", "text/html"} and drawn["text/plain"] == "a line from 1 to 2"
    assert '<img alt="a line from 1 to 2"' in drawn["text/html"]
