"""What a quality check found, and how it is shown."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..i18n import _
from ..tasks import TaskError, nearest

# check -> what to do about it; the order is the order of the table, gravest first
CHECKS = {
    "leak": _("Remove the text from training: a test on texts that were trained on measures memory."),
    "leak between tasks": _("Remove the text from the other task's training: the shared body has read this test text."),
    "contradiction": _("Read these rows and decide on a label. Where people disagree, keep both: a ceiling."),
    "empty text": _("Remove the row, or find its text."),
    "duplicate": _("Keep one copy: repeated rows count double in training and in the test figure."),
    "near duplicate": _("Decide whether case, spaces and punctuation carry meaning here; if not, keep one copy."),
    "debris": _("Strip mark-up, decode entities such as &amp;, and read the file again in its true encoding."),
    "short text": _("Read a few: is there enough in them to decide the label?"),
    "long text": _("Expect the end to be cut off at the model's context. Split the text if its end matters."),
    "imbalance": _("Judge by macro-F1 beside accuracy, compare with the majority baseline, and collect rare labels."),
    "drift": _("Training and test differ: split at random, or keep the split and expect a lower test figure."),
}


@dataclass(frozen=True)
class Finding:
    """One kind of fault in one split of one task.

    check   a key of CHECKS
    rows    the numbers of the rows concerned, as in tasks[task].split(split)[number]; () for whole-split findings
    share   the part of the split's rows concerned; for imbalance and drift the figure that `detail` explains
    detail  an example, or the numbers
    """

    check: str
    task: str
    split: str
    rows: tuple[int, ...] = ()
    share: float = 0.0
    detail: str = ""

    @property
    def advice(self) -> str:
        return CHECKS[self.check]


@dataclass
class Report:
    """findings   a list of Finding, gravest first
    facts      one dictionary per task: labels, majority baseline, text lengths
    """

    findings: list[Finding] = field(default_factory=list)
    facts: list[dict] = field(default_factory=list)

    def __post_init__(self):
        order = list(CHECKS)
        self.findings = sorted(self.findings, key=lambda found: order.index(found.check))

    def find(self, check: str, task: str | None = None, split: str | None = None) -> list[Finding]:
        """The findings of one check, of one task and split if they are given."""
        if check not in CHECKS:
            raise TaskError(f"unknown check {check!r}.{nearest(check, CHECKS)}")
        return [found for found in self.findings if found.check == check
                and task in (None, found.task) and split in (None, found.split)]

    def rows(self, check: str, task: str, split: str = "train") -> list[int]:
        """The numbers of the rows that a check complains of, in order."""
        return sorted({number for found in self.find(check, task, split) for number in found.rows})

    @property
    def table(self):
        """One row per finding (a pandas DataFrame)."""
        import pandas as pd
        rows = [{"check": found.check, "task": found.task, "split": found.split, "rows": len(found.rows) or "",
                 "share": f"{found.share:.1%}", "example": found.detail, "what to do": found.advice}
                for found in self.findings]
        return pd.DataFrame(rows, columns=["check", "task", "split", "rows", "share", "example", "what to do"])

    @property
    def facts_table(self):
        """One row per task (a pandas DataFrame)."""
        import pandas as pd
        return pd.DataFrame(self.facts).set_index("task").fillna("") if self.facts else pd.DataFrame()

    def against(self, truth: Report):
        """How many of the rows that were planted (the truth of `make_dirty`) this report has found, per check."""
        import pandas as pd
        rows = []
        for check in CHECKS:
            planted = {(f.task, f.split, number) for f in truth.find(check) for number in f.rows or (None,)}
            found = {(f.task, f.split, number) for f in self.find(check) for number in f.rows or (None,)}
            if planted or found:
                rows.append({"check": check, "planted": len(planted), "found of these": len(planted & found),
                             "found besides": len(found - planted)})
        return pd.DataFrame(rows, columns=["check", "planted", "found of these", "found besides"]).set_index("check")

    def __str__(self) -> str:
        if not self.findings:
            return _("no findings")
        lines = []
        for check in dict.fromkeys(found.check for found in self.findings):
            lines.append(f"{check}: {CHECKS[check]}")
            lines += [f"    {found.task}, {found.split}: {f'{len(found.rows)} rows, ' if found.rows else ''}"
                      f"{found.share:.1%}; {found.detail}" for found in self.find(check)]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        import pandas as pd
        with pd.option_context("display.max_colwidth", None):
            found = self.table.to_html(index=False) if self.findings else f"<p>{_('no findings')}</p>"
            return found + (self.facts_table.to_html() if self.facts else "")
