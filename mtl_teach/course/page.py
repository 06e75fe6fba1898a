"""progress(): what has been earned, chapter by chapter, and what comes next."""

from __future__ import annotations

import os
import sys
from html import escape

from ..display import present
from ..i18n import _
from .checking import _tell
from .outcome import card
from .progress import book, move_to
from .registry import Chapter, CourseError, all_chapters

BAR = 10


def progress(folder=None) -> None:
    """Show your progress. folder: keep it there from now on, for instance on Google Drive; what you have goes along."""
    if folder is not None:
        move_to(folder)
    try:
        chapters = all_chapters()
    except CourseError as error:
        return present(str(error), card(_("Your progress"), escape(str(error))))
    mine = book()
    if on_borrowed_disk():
        mine.said.append(_("On Colab your progress is gone when the machine is. Keep it on Google Drive: first "
                           "from google.colab import drive; drive.mount(\"/content/drive\"), then "
                           "mt.progress(folder=\"/content/drive/MyDrive/mtl_teach\")."))
    present(as_text(chapters, mine), as_html(chapters, mine))
    _tell()


def on_borrowed_disk() -> bool:
    """On Colab, unless the learner has chosen a folder."""
    return "google.colab" in sys.modules and not os.environ.get("MTL_HOME")


def rows(chapters: list[Chapter], mine) -> list[dict]:
    """One row per chapter: solved, tried, all, points, of."""
    found = []
    for each in chapters:
        facts = {key: mine.of(key) for key in each.exercises}
        found.append({"chapter": each, "solved": sum(f["solved"] for f in facts.values()), "all": len(facts),
                      "tried": sum(f["tries"] > 0 and not f["solved"] for f in facts.values()),
                      "points": sum(f["points"] for f in facts.values()),
                      "of": sum(e.points for e in each.exercises.values())})
    return found


def next_exercise(chapters, mine):
    """(chapter, exercise): the first that is not solved; in a chapter that was begun before in a new one. Or None."""
    begun = [c for c in chapters if any(mine.of(key)["tries"] for key in c.exercises)]
    for each in [*begun, *chapters]:
        for key, exercise in each.exercises.items():
            if not mine.of(key)["solved"]:
                return each, exercise
    return None


def name(chapter: Chapter) -> str:
    return f"{chapter.number} {_(chapter.title)}".strip()


def bar(done: int, total: int) -> str:
    filled = BAR * done // total if total else 0
    return "█" * filled + "░" * (BAR - filled)


def said_next(chapters, mine) -> str:
    found = next_exercise(chapters, mine)
    if found is None:
        return _("Everything is solved. Well done!")
    chapter, exercise = found
    return _("Next: {id} {title}, about {minutes} minutes{where}").format(
        id=exercise.id, title=_(exercise.title), minutes=exercise.minutes,
        where=f" (exercises/{chapter.notebook}.ipynb)" if chapter.notebook else "")


def as_text(chapters, mine) -> str:
    table = rows(chapters, mine)
    width = max((len(name(row["chapter"])) for row in table), default=0)

    def line(row):
        counts = _("{solved} of {all} solved, {points} of {of} points").format(**row)
        begun = ", " + _("{tried} begun").format(**row) if row["tried"] else ""
        return f"{name(row['chapter']):{width}}  {bar(row['solved'], row['all'])}  {counts}{begun}"
    return "\n".join([title(table), *map(line, table), said_next(chapters, mine)])


def as_html(chapters, mine) -> str:
    table, left = rows(chapters, mine), "style='text-align:left'"
    head = "".join(f"<th {left}>{escape(word)}</th>" for word in (_("chapter"), "", _("solved"), _("points"), _("exercises")))

    def line(row):
        cells = (f"{row['solved']} / {row['all']}", f"{row['points']} / {row['of']}")
        return (f"<tr><th scope='row' {left}>{escape(name(row['chapter']))}</th>"
                f"<td aria-hidden='true'>{bar(row['solved'], row['all'])}</td>"
                + "".join(f"<td>{cell}</td>" for cell in cells) + f"<td {left}>{_marks(row['chapter'], mine)}</td></tr>")
    legend = _("✓ solved   … begun   ○ open")
    return (f"<p><b>{escape(title(table))}</b></p><table><thead><tr>{head}</tr></thead>"
            f"<tbody>{''.join(map(line, table))}</tbody></table>"
            f"<p><small>{legend}</small></p><p><b>{escape(said_next(chapters, mine))}</b></p>")


def title(table) -> str:
    return _("Your progress: {points} of {of} points, {solved} of {all} exercises").format(
        **{field: sum(row[field] for row in table) for field in ("points", "of", "solved", "all")})


def _marks(chapter, mine) -> str:
    def mark(key):
        facts = mine.of(key)
        return "✓" if facts["solved"] else "…" if facts["tries"] else "○"
    return " ".join(f"<span title='{escape(_(exercise.title), quote=True)}'>{mark(key)}&nbsp;{key}</span>"
                    for key, exercise in chapter.exercises.items())
