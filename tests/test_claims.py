"""claim(): what it shows, what it refuses, and that a false claim stops the notebook."""

import gettext

import numpy as np
import pytest

from mtl_teach import claims, i18n
from mtl_teach.claims import CLAIMS, ClaimFailed, claim
from mtl_teach.measured import Measured


@pytest.fixture(autouse=True)
def no_claims_yet():
    CLAIMS.clear()


def test_a_claim_that_holds_prints_what_was_measured(capsys):
    gain = (Measured({i: v for i, v in enumerate([0.12, 0.15, 0.16, 0.18, 0.21])}) - 0).percent()
    claim("A related task adds at least 5 points", gain.low > 5, measured=gain)
    assert capsys.readouterr().out == (
        "✓ A related task adds at least 5 points   (measured: +16.4 [12.2, 20.6], 5 seeds)\n")
    assert CLAIMS[0].holds and CLAIMS[0].measured == str(gain)


def test_a_false_claim_is_shown_recorded_and_raised(capsys):
    with pytest.raises(ClaimFailed, match="✗ It is big"):
        claim("It is big", np.float64(0.1) > 5, measured=0.123456)
    assert capsys.readouterr().out == "✗ It is big   (measured: 0.1235)\n"
    assert [made.holds for made in CLAIMS] == [False]


def test_numpy_truth_counts_and_nothing_measured_is_fine(capsys):
    claim("one line\n  of text", np.bool_(True))
    assert capsys.readouterr().out == "✓ one line of text\n"


@pytest.mark.parametrize("condition", [None, 1, "yes", np.array([True, True]), Measured({0: 1.0, 1: 2.0})])
def test_anything_but_true_or_false_is_refused(condition, capsys):
    with pytest.raises(TypeError, match="Write a comparison"):
        claim("It is big", condition)
    assert not CLAIMS and capsys.readouterr().out == ""


def test_one_seed_carries_no_claim(capsys):
    one = Measured({0: 0.9})
    with pytest.raises(ClaimFailed):
        claim("Better than chance", one.low > 0.5, measured=one)


def test_in_a_notebook_the_verdict_stands_in_words_and_html_is_escaped():
    made = claims.Claim("a < b", True, "x <y>")
    html = made._repr_html_()
    assert "holds" in html and "✓" in html and "a &lt; b" in html and "x &lt;y&gt;" in html
    assert "does not hold" in claims.Claim("a", False)._repr_html_()


def test_text_follows_the_chosen_language(monkeypatch):
    class Backwards(gettext.NullTranslations):
        def gettext(self, message):
            return message[::-1] if "{" not in message else message.replace("measured", "gemessen")
    monkeypatch.setattr(i18n, "_catalogue", Backwards())
    assert "(gemessen: 3)" in str(claims.Claim("a", True, "3")) and "sdloh" in claims.Claim("a", True)._repr_html_()


def test_an_unknown_language_is_an_error_and_english_needs_no_catalogue(tmp_path):
    i18n.set_language("en")
    assert i18n._("holds") == "holds" and i18n._("") == "" and i18n.known_languages(tmp_path) == ["en"]
    with pytest.raises(FileNotFoundError):
        i18n.set_language("xx", tmp_path)
