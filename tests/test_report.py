"""report: one page that stands alone, shows what the set holds, and lets no name become markup."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from browser import ABSENT, CHROMIUM, open_page, probe
from click.testing import CliRunner
from forged_set import forged_index
from small_set import prepare, small_build

from smearsynth.bank.bank import Bank
from smearsynth.bank.bank_file import load_bank, save_bank
from smearsynth.base.errors import UserError
from smearsynth.cli import main
from smearsynth.dataset.report_page import count_combinations
from smearsynth.recipe.scene_options import COMBINATIONS
from smearsynth.taxonomy import CLASSES, SPLITS
from smearsynth.verbs.stats import report, stats

EVIL = (
    "<script>window.injected = true</script><img src='http://evil.example/x' onerror='window.injected = true'>\"&amp;"
)
MOST_BYTES = 3_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bank.h5; `set`: 20, 5 and 3 smears in two looks; page.html: its report."""
    path = tmp_path_factory.mktemp("report")
    prepare(path)
    small_build(path, path / "set", "looks=[natural, reference]")
    report(path / "set", out=path / "page.html", progress=False)
    return path


@pytest.fixture
def out(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder / "set", tmp_path / "set"))


@pytest.fixture(scope="module")
def hostile(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a set whose every name was chosen by an enemy."""
    path = tmp_path_factory.mktemp("hostile")
    out = Path(shutil.copytree(folder / "set", path / "set"))
    bank = load_bank(out / "cells.h5")
    renamed = dict(zip(bank.sources, (EVIL, "x" * 300), strict=True))
    evil = {name: getattr(bank, name) for name in bank.__dataclass_fields__}
    evil |= {"sources": tuple(renamed.values()), "paths": (EVIL,) * len(bank)}
    save_bank(Bank(**evil), out / "cells.h5")
    told = dict.fromkeys(("title", "version", "licence", "redistribution", "cite", "grouping"), EVIL)
    with forged_index(out) as index:
        index["name"] = EVIL
        index["looks"] = [EVIL, "reference"]
        index["bank_digest"] = load_bank(out / "cells.h5").digest
        index["sources"] = [
            {
                **told,
                "name": name,
                "um_per_px": 0.1,
                "patients_known": False,
                "limits": [],
                "refused": {EVIL: {EVIL: 3}},
            }
            | {"files_left_out": {EVIL: 2}}
            for name in renamed.values()
        ]
        index["about"] = {**(index["about"] or {}), "creators": [EVIL], "url": EVIL, "version": EVIL}
        index["claim"] = {"digest": "0" * 64, "refused": [EVIL], "wrong": True}
        for part in index["splits"].values():
            part["combinations"][EVIL] = 1
            for table in ("class_by_source", "cells"):
                part[table] = {key: {renamed[s]: n for s, n in of.items()} for key, of in part[table].items()}
    recipe = (out / "recipe.resolved.yaml").read_text(encoding="utf-8")
    quoted = json.dumps(EVIL)
    (out / "recipe.resolved.yaml").write_text(recipe.replace("base: natural", f"base: {quoted}"), encoding="utf-8")
    report(out, out=path / "page.html", progress=False)
    return path / "page.html"


class Parsed(HTMLParser):
    """Tags, addresses and texts of a page, and cells of its tables row by row."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.ids: set[str] = set()
        self.pictures: list[dict[str, str]] = []
        self.rows: list[list[str]] = []
        self.text, self.in_cell = "", False
        self.feed(page.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        plain = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.attributes += plain.items()
        self.ids |= {plain["id"]} if "id" in plain else set()
        if tag == "img":
            self.pictures.append(plain)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self.in_cell &= tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.in_cell:
            self.rows[-1][-1] += data.strip()


def addresses(page: Parsed) -> list[str]:
    return [value for name, value in page.attributes if name in ("src", "href", "srcset", "data", "action", "poster")]


@pytest.mark.parametrize("which", ["page", "hostile"])
def test_a_page_names_nothing_outside_itself_and_holds_no_script(folder: Path, hostile: Path, which: str) -> None:
    path = folder / "page.html" if which == "page" else hostile
    page = Parsed(path)
    assert path.stat().st_size < MOST_BYTES
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    for address in addresses(page):
        assert address.startswith("data:image/") or (address[0] == "#" and address[1:] in page.ids)
    assert not re.search(r"url\(|@import", path.read_text(encoding="utf-8"))
    assert all(picture["alt"] for picture in page.pictures)
    assert page.tags.count("h1") == 1


def test_hostile_names_are_shown_as_they_are(hostile: Path) -> None:
    page = Parsed(hostile)
    assert page.text.count("<script>window.injected = true</script>") > 10
    assert any(EVIL in picture["alt"] for picture in page.pictures)


def test_the_page_shows_what_stats_shows(folder: Path) -> None:
    page, found = Parsed(folder / "page.html"), stats(folder / "set", progress=False)
    rows = {row[0]: row for row in page.rows if row and row[0]}
    for c in CLASSES[1:]:
        balance, sizes = (next(row for row in page.rows if len(row) == n and row[0] == c.name) for n in (11, 12))
        assert balance[6::2] == [f"{found.splits[split]['objects'][c.key]:,}" for split in SPLITS]
        one = found.classes[c.key]
        assert sizes[1:4] == [f"{one.size.n:,}", f"{one.area:,}", f"{round(one.size.mean):,}"]
    assert rows["smears"][1:] == [str(found.splits[split]["samples"]) for split in SPLITS]
    assert rows["dataset digest"][1] == found.digest
    for look, colours in found.colours.items():
        assert look in page.text
        red = next(iter(colours.glass.mean))
        assert any(row[0].startswith("glass") and row[1].startswith(f"{red:.0f} ±") for row in page.rows if row)


def test_every_combination_has_its_number() -> None:
    met = {"train": {"none/healthy": 3, "neutrophil+lymphocyte/mixed": 2}, "test": {"none/healthy": 1}}
    rows, others = count_combinations(met)
    assert (len(rows), others) == (36, 0)
    by_name = {row.name: [one.times for one in row.met] for row in rows}
    assert by_name["none"] == [0, 4, 0]
    assert by_name["Neutrophil + Lymphocyte"] == [0, 0, 2]
    assert sum(map(sum, by_name.values())) == 6
    assert next(row for row in rows if row.name == "none").met[1].by_split == "train 3, test 1"


def test_large_fields_hold_a_foreground_several_times() -> None:
    met = {"train": {"basophil+basophil+basophil/mixed": 2, "basophil+basophil+monocyte+monocyte/healthy": 5}}
    rows, others = count_combinations({**met, "val": {"basophil+monocyte+thrombocyte/healthy": 7}})
    by_name = {row.name: [one.times for one in row.met] for row in rows}
    assert (by_name["Basophil"], by_name["Basophil + Monocyte"], others) == ([0, 0, 2], [0, 5, 0], 7)
    assert len(COMBINATIONS) == 3 * len(rows)


@pytest.mark.slow
def test_cells_of_every_class_and_source_are_shown_and_their_absence_is_said(folder: Path, out: Path) -> None:
    shown = [picture["alt"] for picture in Parsed(folder / "page.html").pictures]
    bank = load_bank(folder / "bank.h5")
    for c in CLASSES[1:]:
        for source in bank.sources:
            tiles = [alt for alt in shown if alt.startswith(f"{c.name} of {source}: ")]
            assert len(set(tiles)) == len(tiles) == 6
    (out / "cells.h5").unlink()
    page = Parsed(report(out, out=out.parent / "without.html", progress=False))
    assert "handed on without cells.h5" in page.text
    assert len(page.pictures) == len(shown) - len(bank)


def test_examples_come_in_every_look_with_their_labels(folder: Path) -> None:
    alts = [picture["alt"] for picture in Parsed(folder / "page.html").pictures]
    ids = [alt.removeprefix("Label of ") for alt in alts if alt.startswith("Label of ")]
    assert ids == [f"train-0000000{scene}{look}" for scene in range(3) for look in ("", "@reference")]
    assert all(alt.startswith(f"Smear {sample}: ") for alt, sample in zip(alts[::2], ids, strict=False))


def test_another_bank_is_refused(folder: Path, out: Path) -> None:
    bank = load_bank(folder / "bank.h5")
    fields = {name: getattr(bank, name) for name in bank.__dataclass_fields__}
    save_bank(Bank(**{**fields, "paths": ("other.png",) * len(bank)}), out / "cells.h5")
    with pytest.raises(UserError, match=r"cells\.h5 is not the bank that"):
        report(out, out=out.parent / "page.html", progress=False)


@pytest.mark.slow
def test_the_command(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["report", str(folder / "set")])
    assert (result.exit_code, result.stdout) == (0, "set-report.html\n")
    assert (tmp_path / "set-report.html").read_bytes() == (folder / "page.html").read_bytes()
    wrong = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert (wrong.exit_code, wrong.stdout, wrong.stderr.count("\n")) == (2, "", 1)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason=ABSENT)
def test_the_browser_tells_of_a_request_an_error_and_a_width(tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    policy = '<meta http-equiv="Content-Security-Policy" content="img-src *">'
    page.write_text(
        f"{policy}<body><img src='http://evil.example/x'><script>fail()</script><pre>{'x' * 999}</pre></body>"
    )
    opened, told = open_page(page, tmp_path), probe(page, tmp_path)
    assert opened.requested == {"http://evil.example/x"}
    assert "CONSOLE" in opened.log
    assert (told["images"], told["broken"]) == (1, 1)
    assert told["wide"] > 1000


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason=ABSENT)
def test_a_browser_shows_it_without_an_error_a_request_or_a_script(hostile: Path, tmp_path: Path) -> None:
    """The page of a set whose names are markup."""
    opened, parsed = open_page(hostile, tmp_path), Parsed(hostile)
    assert opened.requested == set()
    assert "CONSOLE" not in opened.log
    assert "Identity and rebuilding</h2>" in opened.dom
    assert opened.screen.std(axis=(0, 1)).min() > 10
    assert len(np.unique(opened.screen.reshape(-1, 3), axis=0)) > 1000
    told = probe(hostile, tmp_path)
    assert told["images"] == len(parsed.pictures)
    assert (told["broken"], told["hidden"], told["injected"]) == (0, 0, False)
    assert told["wide"] <= 0, "at 1000 px it must not be scrolled sideways"
