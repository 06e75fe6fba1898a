"""The quiz at the end of a chapter: quiz("01").

A chapter's questions stand in quizzes/quiz_01.py as a table, in the order in which they are asked:

    from ..quiz import ask, right, wrong

    QUIZ = [
        ask("Two tasks share a backbone. What else do they share?",
            right("Its gradients", "Both losses flow into the same weights, so their gradients add up there."),
            wrong("The heads", "Each task has a head of its own; only the backbone is shared."),
            wrong("The labels", "They may have different labels, even different kinds of labels.")),
        ...
    ]

Rules, checked when the quiz is loaded: 5 to 8 questions; 2 to 6 choices each, at least one right and one wrong, no two
alike; an explanation for every choice, right or wrong, that says why. Ask for understanding, not recall. `code` between
backticks is set as code. Text goes through gettext when it is shown, so leave it plain here.

On a page that can click (JupyterLab, Colab), the quiz is made of widgets. In a stored notebook, in nbval and wherever
widgets do not run, each choice folds open to its explanation. Without a notebook the quiz is printed, and
quiz("01", answers=True) prints the explanations too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from importlib import import_module
from pathlib import Path

from ..display import present, shell, someone_answers
from ..i18n import _
from ..tasks import nearest

LETTERS = "abcdef"


class QuizError(ValueError):
    """A quiz that does not exist, or a table of questions that breaks the rules."""


@dataclass(frozen=True)
class Choice:
    text: str
    because: str
    right: bool

    def verdict(self) -> str:
        return f"{'✓ ' + _('Right.') if self.right else '✗ ' + _('Not so.')} {_(self.because)}"


@dataclass(frozen=True)
class Question:
    text: str
    choices: tuple[Choice, ...]

    def title(self, number: int) -> str:
        rights = sum(choice.right for choice in self.choices)
        several = " " + _("({n} choices are right)").format(n=rights) if rights > 1 else ""
        return f"{number}. {_(self.text)}{several}"


def ask(text: str, *choices: Choice) -> Question:
    return Question(text, choices)


def right(text: str, because: str = "") -> Choice:
    return Choice(text, because, True)


def wrong(text: str, because: str = "") -> Choice:
    return Choice(text, because, False)


def quiz(chapter: str | int, *, answers: bool = False) -> None:
    """Show the quiz of a chapter; answers=True lists every choice with its explanation."""
    chapter = f"{chapter:02d}" if isinstance(chapter, int) else chapter.strip()[:2]
    questions = load(chapter)
    if answers or shell() is None:
        print(as_text(chapter, questions, answers))
    elif someone_answers() and (panel := _panel(chapter, questions)):
        from IPython.display import display
        fallback = {"text/plain": as_text(chapter, questions), "text/html": as_html(chapter, questions)}
        display(panel._repr_mimebundle_() | fallback, raw=True)
    else:
        present(as_text(chapter, questions), as_html(chapter, questions))


def load(chapter: str) -> list[Question]:
    """The questions of a chapter, checked; an unknown chapter or a broken table is a QuizError."""
    known = chapters()
    if chapter not in known:
        raise QuizError(f"there is no quiz for the chapter {chapter!r}.{nearest(chapter, known)}")
    questions = import_module(f"{__package__}.quizzes.quiz_{chapter}").QUIZ
    check(questions, f"quiz_{chapter}.py")
    return questions


def chapters() -> list[str]:
    """The numbers of the chapters that have a quiz."""
    return sorted(path.stem[5:] for path in (Path(__file__).parent / "quizzes").glob("quiz_*.py"))


def check(questions: list[Question], name: str) -> None:
    """Refuse a table of questions that breaks the rules, and say where."""
    if not 5 <= len(questions) <= 8:
        raise QuizError(f"{name}: {len(questions)} questions; write 5 to 8.")
    if len({question.text for question in questions}) < len(questions):
        raise QuizError(f"{name}: a question stands there twice.")
    for number, question in enumerate(questions, start=1):
        problem = _problem(question)
        if problem:
            raise QuizError(f"{name}, question {number} ({question.text[:50]!r}): {problem}")


def _problem(question: Question) -> str | None:
    choices = question.choices
    if not question.text.strip():
        return "it asks nothing."
    if not 2 <= len(choices) <= len(LETTERS):
        return f"{len(choices)} choices; write 2 to {len(LETTERS)}."
    texts = [choice.text.strip() for choice in choices]
    if len(set(texts)) < len(texts) or "" in texts:
        return "two choices are alike, or one is empty."
    if len({choice.right for choice in choices}) < 2:
        return "it needs at least one right and one wrong choice."
    silent = [choice.text for choice in choices if not choice.because.strip()]
    return f"the choice {silent[0]!r} has no explanation; say why it is right or wrong." if silent else None


# ---- three ways to show it ------------------------------------------------------------------------------------------

def as_text(chapter: str, questions: list[Question], answers: bool = False) -> str:
    lines = [_("Quiz {chapter}: {n} questions").format(chapter=chapter, n=len(questions))]
    for number, question in enumerate(questions, start=1):
        lines += ["", question.title(number)]
        for letter, choice in zip(LETTERS, question.choices):
            lines += [f"   {letter}) {_(choice.text)}"] + ([f"      {choice.verdict()}"] if answers else [])
    if not answers:
        lines += ["", _("The answers, each with its reason: quiz({chapter!r}, answers=True)").format(chapter=chapter)]
    return "\n".join(lines)


def as_html(chapter: str, questions: list[Question]) -> str:
    """Each choice folds open to its explanation; needs no widgets and no kernel."""
    parts = [f"<p><b>{_('Quiz {chapter}. Open the choice you take.').format(chapter=chapter)}</b></p>"]
    for number, question in enumerate(questions, start=1):
        parts.append(f"<p>{_rich(question.title(number))}</p>")
        parts += [f'<details style="margin-left: 1.5em"><summary>{letter}) {_rich(_(choice.text))}</summary>'
                  f'<p style="margin: 0.2em 1.5em">{_rich(choice.verdict())}</p></details>'
                  for letter, choice in zip(LETTERS, question.choices)]
    return "\n".join(parts)


def _rich(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _panel(chapter: str, questions: list[Question]):
    """The quiz as widgets: a button per choice, its explanation below it, and a count of first tries."""
    try:
        import ipywidgets
    except ImportError:
        return None
    first_tries: dict[int, bool] = {}
    tally = ipywidgets.HTML()

    def count():
        tally.value = _("Quiz {chapter}: {right} of {n} right at the first try, {left} to go.").format(
            chapter=chapter, right=sum(first_tries.values()), n=len(questions), left=len(questions) - len(first_tries))

    def row(number, letter, choice):
        wide = ipywidgets.Layout(width="calc(100% - 4em)")
        button = ipywidgets.Button(description=letter, tooltip=choice.text, layout=ipywidgets.Layout(width="3.5em"))
        text = ipywidgets.HTML(_rich(_(choice.text)), layout=wide)

        def chosen(_button):
            first_tries.setdefault(number, choice.right)
            button.description = f"{letter} {'✓' if choice.right else '✗'}"
            button.button_style = "success" if choice.right else "danger"
            text.value = f"{_rich(_(choice.text))}<br><i>{_rich(choice.verdict())}</i>"
            count()

        button.on_click(chosen)
        return ipywidgets.HBox([button, text])

    parts = []
    for number, question in enumerate(questions, start=1):
        parts.append(ipywidgets.HTML(f"<b>{_rich(question.title(number))}</b>"))
        parts += [row(number, letter, choice) for letter, choice in zip(LETTERS, question.choices)]
    count()
    return ipywidgets.VBox([*parts, tally])
