"""explore: static where nobody can click, menus where somebody can."""

import pytest

from mtl_teach import display, widgets


def test_without_a_page_the_first_values_are_shown_and_the_others_named(capsys):
    widgets.explore(lambda task, size: f"{task} with {size}", task=["mood", "topic"], size=[10, 20])
    out = capsys.readouterr().out
    assert "mood with 10" in out and "topic" in out and "20" in out


def test_menus_call_draw_again(monkeypatch, capsys):
    monkeypatch.setattr(widgets, "someone_answers", lambda: True)
    box = widgets.explore(lambda task: f"chosen: {task}", task=["mood", "topic"])
    menu = box.children[0].children[0]
    menu.value = "topic"
    assert "chosen: topic" in capsys.readouterr().out


def test_nothing_to_choose_is_refused():
    with pytest.raises(ValueError, match="at least one option"):
        widgets.explore(print)
    assert display.shell() is None
