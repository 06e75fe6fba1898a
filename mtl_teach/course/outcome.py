"""What a check found, and how it is shown: rich in a notebook, plain text elsewhere, never by colour alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape

from ..i18n import _

CORRECT, INCORRECT, ERROR, NOT_ATTEMPTED = "correct", "incorrect", "error", "not attempted"
LOOKS = {CORRECT: ("✓", "#117733"), INCORRECT: ("✗", "#b00020"), ERROR: ("!", "#8a5a00"), NOT_ATTEMPTED: ("○", "#555555")}
WORDS = {CORRECT: "correct", INCORRECT: "not yet", ERROR: "your code stopped", NOT_ATTEMPTED: "not attempted yet"}


@dataclass(frozen=True)
class Outcome:
    """status is one of the four; says, shows, why, next are sentences; code is shown as it is; notes are remarks."""

    id: str
    answer: str
    status: str
    says: str = ""
    shows: str = ""
    why: str = ""
    next: str = ""
    code: str = ""
    notes: tuple[str, ...] = ()
    points: int = 0
    seed: int | None = None
    help: str = ""

    @property
    def head(self) -> str:
        return f"{LOOKS[self.status][0]} {self.id} {self.answer}: {_(WORDS[self.status])}."

    def __str__(self):
        lines = [f"{self.head} {self.says}".rstrip()]
        lines += [f"  {line}" for part in (self.code, self.shows, self.why) for line in part.splitlines()]
        if self.next:
            lines += ["  " + _("Next: {what}").format(what=self.next).replace("\n", "\n  ")]
        lines += [f"  · {note}" for note in self.notes]
        return "\n".join([*lines, *[f"  {line}" for line in self.small()]])

    def small(self) -> list[str]:
        """Where to find help, and how to get the same inputs again."""
        call = f'mt.check("{self.id}", {self.answer}, seed={self.seed})'
        again = [] if self.seed is None else [_("The same inputs again: {call}").format(call=call)]
        return [self.help, *again] if self.help else again

    def _repr_html_(self):
        mark, colour = LOOKS[self.status]
        parts = [f"<b>{escape(self.head)}</b> {rich(self.says)}"]
        parts += [f'<code style="white-space: pre-wrap">{escape(self.code)}</code>'] if self.code else []
        parts += [rich(part) for part in (self.shows, self.why) if part]
        parts += [f"<b>{rich(_('Next: {what}').format(what=self.next))}</b>"] if self.next else []
        notes = "".join(f"<li>{rich(note)}</li>" for note in self.notes)
        parts += [f"<small>{rich(line)}</small>" for line in self.small()]
        body = "<br>".join(parts) + (f'<ul style="margin: 0.3em 0">{notes}</ul>' if notes else "")
        return f'<div class="mtl-check" style="border-left: 4px solid {colour}; padding: 0.2em 0.8em">{body}</div>'


def rich(text: str) -> str:
    """Plain text as HTML: `code` between backticks and calls such as mt.hint("04.2"); line breaks kept."""
    def code(found):
        return f"<code>{found[1] or found[0]}</code>"
    return re.sub(r"`([^`]+)`|\bmt\.\w+\([^()\n]*\)", code, escape(text, quote=False)).replace("\n", "<br>")


def card(title: str, body: str) -> str:
    """A box with a title for hints and solutions; body is HTML."""
    return (f'<div class="mtl-card" style="border-left: 4px solid #3a6ea5; padding: 0.2em 0.8em"><b>{escape(title)}</b>'
            f"<br>{body}</div>")
