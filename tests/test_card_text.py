"""What a recipe says of its set stays text in the card: it begins no heading, tag, or field of the citation."""

import re
from pathlib import Path

import pytest
from small_set import prepare, small_build

from smearsynth.base.errors import UserError


def test_no_text_of_a_recipe_becomes_a_part_of_the_card(tmp_path: Path) -> None:
    prepare(tmp_path)
    evil = "x}\\n```\\n# Head\\n<script>alert(1)</script>"
    about = f'about={{creators: ["{evil}"], limits: ["{evil}", "{evil}"]}}'
    plain = "about={creators: [X], limits: [X, Y]}"
    small_build(tmp_path, tmp_path / "evil", about, "count={train: 1}")
    small_build(tmp_path, tmp_path / "plain", plain, "count={train: 1}")
    cards = [(tmp_path / name / "README.md").read_text() for name in ("evil", "plain")]
    headings, fences, lines = zip(
        *((re.findall("(?m)^#.*", card), card.count("\n```"), len(card.splitlines())) for card in cards), strict=True
    )
    assert headings[0] == headings[1]
    assert fences[0] == fences[1]
    assert lines[0] == lines[1]
    outside = re.sub(r"(?s)\n```.*?\n```", "", cards[0])
    assert "alert(1)" in outside
    assert "<script>" not in outside


def test_an_address_that_ends_a_field_of_the_citation_is_refused(tmp_path: Path) -> None:
    prepare(tmp_path)
    with pytest.raises(UserError, match=r"about\.url"):
        small_build(tmp_path, tmp_path / "set", 'about={url: "https://x.example/}, author={me"}')
