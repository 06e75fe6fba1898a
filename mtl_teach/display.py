"""How results reach the reader: rich in a notebook, plain text elsewhere."""

from __future__ import annotations

import sys


def shell():
    """The IPython shell of the notebook this code runs in; None outside a notebook."""
    if "IPython" not in sys.modules:
        return None
    found = sys.modules["IPython"].get_ipython()
    return found if hasattr(found, "kernel") else None


def someone_answers() -> bool:
    """Whether the cell was run from a page that can also click. Headless runs (nbclient, nbval) say that they cannot
    answer questions from the kernel; pages (JupyterLab, VS Code, Colab) say that they can."""
    found = shell()
    return found is not None and bool(getattr(found.kernel, "_allow_stdin", False))


def present(text: str, html: str) -> None:
    """Display HTML with its plain text beside it in a notebook; print the text elsewhere."""
    if shell() is None:
        print(text)
    else:
        from IPython.display import display
        display({"text/plain": text, "text/html": html}, raw=True)
