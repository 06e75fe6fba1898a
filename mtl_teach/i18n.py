"""Learner-facing text in other languages: `_("text")` looks a text up in the catalogue of the chosen language.

Catalogues are `locale/<language>/LC_MESSAGES/mtl_teach.mo` beside this file. The language is that of the notebooks,
not of the machine: English, or what MTL_LANGUAGE or `set_language` says.
"""

from __future__ import annotations

import gettext
import os
from pathlib import Path

DOMAIN, LOCALES = "mtl_teach", Path(__file__).with_name("locale")


def set_language(code: str = "", folder: Path = LOCALES) -> None:
    """Use the catalogue of a language ("zh", "de", ...); "" or "en" is the text as it stands in the code."""
    global _catalogue
    plain = not code or code == "en"
    _catalogue = gettext.NullTranslations() if plain else gettext.translation(DOMAIN, folder, [code])


def _(text: str) -> str:
    return _catalogue.gettext(text) if text else text


def known_languages(folder: Path = LOCALES) -> list[str]:
    return ["en", *sorted(path.parts[-3] for path in folder.glob(f"*/LC_MESSAGES/{DOMAIN}.mo"))]


_catalogue = gettext.NullTranslations()
if os.environ.get("MTL_LANGUAGE") in known_languages():
    set_language(os.environ["MTL_LANGUAGE"])
