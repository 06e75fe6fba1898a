"""A chapter's conclusions, tested as the notebook runs.

    claim("A related task adds at least 5 points of accuracy", gain.low > 5, measured=gain)
    ✓ A related task adds at least 5 points of accuracy   (measured: +16.4 [11.2, 21.6], 5 seeds)
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import numpy as np

from .display import present
from .i18n import _


class ClaimFailed(AssertionError):
    """What was measured does not carry the claim."""


@dataclass(frozen=True)
class Claim:
    text: str
    holds: bool
    measured: str = ""

    def __str__(self):
        return f"{'✓' if self.holds else '✗'} {self.text}" + (f"   ({self._evidence()})" if self.measured else "")

    def _evidence(self):
        return _("measured: {value}").format(value=self.measured)

    def _repr_html_(self):
        colour, verdict = ("#117733", _("holds")) if self.holds else ("#b00020", _("does not hold"))
        evidence = f"<br>{escape(self._evidence())}" if self.measured else ""
        return (f'<div class="mtl-claim" style="border-left: 4px solid {colour}; padding: 0.2em 0.8em">'
                f"<b>{'✓' if self.holds else '✗'} {verdict}:</b> {escape(self.text)}{evidence}</div>")


CLAIMS: list[Claim] = []                    # all claims of this session, in order


def claim(text: str, condition: bool, measured=None) -> None:
    """State a conclusion and test it: shows ✓ or ✗ with what was measured, and raises ClaimFailed if it is false.

    condition  True or False; for a Measured compare an end of its interval: gain.low > 0
    measured   what the claim rests on: a Measured, a number, or a text
    """
    if not isinstance(condition, (bool, np.bool_)):
        raise TypeError(f"claim() needs True or False, got {type(condition).__name__} {condition!r}. "
                        "Write a comparison, for instance gain.low > 0.")
    evidence = "" if measured is None else f"{measured:.4g}" if isinstance(measured, float) else str(measured)
    made = Claim(" ".join(text.split()), bool(condition), evidence)
    CLAIMS.append(made)
    present(str(made), made._repr_html_())
    if not made.holds:
        raise ClaimFailed(str(made))
