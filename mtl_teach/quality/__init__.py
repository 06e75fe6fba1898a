"""Is the data fit to train on? `check_quality` looks, `make_dirty` plants faults to look for.

    checks.py   the checks, one function each
    report.py   findings, and the table they are shown in
    dirt.py     known faults for a clean TaskSet
"""

from .checks import check_quality
from .dirt import DAMAGES, make_dirty
from .report import CHECKS, Finding, Report

__all__ = ["CHECKS", "DAMAGES", "Finding", "Report", "check_quality", "make_dirty"]
