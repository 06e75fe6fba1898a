"""Small explorers: the reader picks values, the notebook shows what follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .display import shell, someone_answers
from .i18n import _


def explore(draw: Callable, **choices: Sequence):
    """Let the reader pick one value of each option; draw(**picked) returns what is shown for it.

    draw     returns a Picture, a table, or a text
    choices  option name -> its values; the first one is shown at the start

    On a page that can click this is a row of menus. In a stored notebook, and where widgets do not run, it shows
    what the first values give and names the others.
    """
    if not choices or not all(len(values) for values in choices.values()):
        raise ValueError("explore needs at least one option with values: explore(draw, task=['mood', 'returns']).")
    first = {name: values[0] for name, values in choices.items()}
    if not someone_answers():
        print(_("You see {picked}.\nIn JupyterLab and Colab there are menus here. The choices: {all}.").format(
            picked=_said(first), all="; ".join(f"{name}: {', '.join(map(str, values))}" for name, values in choices.items())))
        return _show(draw(**first))
    import ipywidgets
    menus = {name: ipywidgets.Dropdown(options=[(str(v), v) for v in values], description=name.replace("_", " "),
                                       style={"description_width": "initial"}) for name, values in choices.items()}
    shown = ipywidgets.interactive_output(lambda **picked: _show(draw(**picked)), menus)
    return ipywidgets.VBox([ipywidgets.HBox(list(menus.values())), shown])


def _said(picked):
    return ", ".join(f"{name} = {value}" for name, value in picked.items())


def _show(result):
    """Display a result now: inside interactive_output a returned value would be lost."""
    if result is None:
        return
    if shell() is None:
        print(getattr(result, "alt", result))
        return
    from IPython.display import display
    display(result)
