"""The page: everything is on it, nothing is fetched, nothing can run but its own two scripts."""

import base64
import gzip
import hashlib
import json
import os
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from journeyman.parts import JourneymanError
from journeyman.report import (
    Band,
    CompoundingFigure,
    Curve,
    Film,
    Finding,
    Interval,
    PolicyRow,
    Reference,
    Report,
    render,
    write,
)
from journeyman.report import _page as page

pytest.importorskip("plotly", reason="needs the extra 'report'")
pytest.importorskip("jinja2", reason="needs the extra 'report'")

nan = float("nan")
EVIL = """</script><script>alert("x")</script><img src=x onerror=alert(1)>{{ 7*7 }}'&"""


def full(text: str = "plain") -> Report:
    """A report with every kind of entry, and `text` in every place where a user's string can come."""
    line = np.linspace(0.1, 1.0, 5)
    band = Band(line, line / 2, line * 2)
    reference = Reference(f"reference {text}", 0.5)
    names = ("demonstrations", "clone", "corrected", "improved", "expert", f"mine {text}")
    return Report(
        title=f"title {text}",
        summary=(f"lede {text}", f"second {text}"),
        facts={"seed": f"0 {text}", "command": f"run {text}", f"fact {text}": "1"},
        policies=tuple(
            PolicyRow(
                name,
                Interval(1000.0 + i, 900.0, 1100.0),
                100 + i,
                sampled=Interval(950.0, 940.0, 960.0),
                success=Interval(0.5, 0.4, 0.6),
                best=2000.0 + i,
                data=f"data {i} {text}",
                command=f"evaluate {i} {text}",
            )
            for i, name in enumerate(names)
        ),
        curves=(
            Curve(
                f"mine {text}", range(5), band, f"x {text}", f"y {text}", f"xu {text}", f"yu {text}", (reference,),
                f"interval {text}", f"caption {text}", f"curve command {text}",
            ),
        ),
        compounding=CompoundingFigure(
            "clone", range(5), band, band, range(5, 0, -1), 5, band, 0.2, references={f"line {text}": line},
            error_unit=f"unit {text}", distance_unit=f"unit {text}", interval=f"between {text}",
            command=f"diagnose {text}",
        ),
        films=(
            Film("clone", tuple(np.full((16, 16, 3), t, np.uint8) for t in range(9)), 2.0, f"film {text}"),
            Film(f"other {text}", missing=f"No film {text}"),
        ),
        findings=(
            Finding("warning", f"finding {text}", {f"number {text}": 0.5, "words": text}, f"look {text}"),
        ),
        citations=(f"@article{{a, title={{{text}}}}}",),
        score_label=f"return {text}",
        score_unit=f"unit {text}",
    )  # fmt: skip


class Parsed(HTMLParser):
    """Tags with their attributes, and what is inside scripts and styles; text of the rest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[tuple[dict[str, str | None], str]] = []
        self.texts: list[str] = []
        self.open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open = tag if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self.open = ""

    def handle_data(self, data: str) -> None:
        if self.open:
            self.inside.append((self.tags[-1][1], data))
        else:
            self.texts.append(data)


@pytest.fixture(scope="module")
def html() -> str:
    return render(full())


def test_bytes_of_a_path_that_are_no_text_stand_there_by_their_escape(tmp_path: Path) -> None:
    written = write(full(os.fsdecode(b"d\xfc.npz")), tmp_path / "page.html")
    assert "d\\udcfc.npz" in written.read_text(encoding="utf-8")


def test_nothing_is_fetched(html: str) -> None:
    parsed = Parsed(html)
    loading = [
        (tag, name, value)
        for tag, attributes in parsed.tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "data", "poster") and not (value or "").startswith("#")
    ]
    assert loading == []
    assert {tag for tag, _ in parsed.tags} & {"link", "iframe", "object", "embed", "base", "img"} == set()
    assert "@import" not in html
    assert re.findall(r"url\((?!data:)", html) == []
    assert re.findall(r"https?://", html) == []  # Plotly is compressed; the policy below binds what it may do


def test_the_policy_allows_only_the_two_scripts(html: str) -> None:
    parsed = Parsed(html)
    (policy,) = [a["content"] for t, a in parsed.tags if t == "meta" and a.get("http-equiv")]
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    allowed = re.search(r"script-src ([^;]*);", policy)
    assert allowed is not None
    scripts = [text for attributes, text in parsed.inside if attributes == {}]
    own = next(text for text in scripts if text.startswith('"use strict"'))
    (packed,) = [text for attributes, text in parsed.inside if attributes.get("id") == "plotly"]
    library = gzip.decompress(base64.b64decode(packed))
    digests = [base64.b64encode(hashlib.sha256(s).digest()).decode() for s in (own.encode(), library)]
    assert allowed[1].split() == [f"'sha256-{digest}'" for digest in digests]
    assert b"plotly.js" in library[:300]


def test_every_entry_appears(html: str) -> None:
    text = " ".join(" ".join(Parsed(html).texts).split())
    for row in full().policies:
        assert row.name in text
        assert row.data in text
        assert row.command in text
        assert f"{row.score.mean:,.0f}" in text
        assert f"{row.episodes} ep." in text.replace("\xa0", " ")
        assert f"{row.best:,.0f}" in text
    for expected in (
        "title plain", "lede plain", "second plain", "0 plain", "run plain", "caption plain", "interval plain",
        "curve command plain", "line plain", "diagnose plain", "film plain", "No film plain", "finding plain",
        "number plain", "look plain", "Warning", "@article{a, title={plain}}", "50 %", "40 to 60 %", "900 to 1,100",
    ):  # fmt: skip
        assert expected in text


def test_words_make_room_for_the_ticks_and_for_a_narrow_page(html: str) -> None:
    """Kept on one line, the words above the numbers left the graph less room than its ticks, whatever the width; and
    a path in a sentence, which has no spaces, pushed the page beyond a phone's edge."""
    assert ".ladder thead small { white-space: normal; }" in html
    assert re.search(r"body \{[^}]*overflow-wrap: break-word;", html)


def test_every_link_inside_the_page_leads_somewhere(html: str) -> None:
    tags = Parsed(html).tags
    identities = [a["id"] for _, a in tags if "id" in a]
    assert len(set(identities)) == len(identities)
    targets = {(a["href"] or "")[1:] for t, a in tags if t == "a"}
    assert targets == {"policies", "findings", "learning", "compounding", "films", "reproduce"}
    assert targets <= set(identities)


def test_no_string_of_a_user_becomes_markup() -> None:
    plain, evil = Parsed(render(full())), Parsed(render(full(EVIL)))
    assert [tag for tag, _ in evil.tags] == [tag for tag, _ in plain.tags]
    assert [sorted(a) for _, a in evil.tags] == [sorted(a) for _, a in plain.tags]
    assert "49" not in " ".join(evil.texts)  # nor is it a template
    assert EVIL in "".join(evil.texts)
    (figures,) = [text for attributes, text in evil.inside if attributes.get("id") == "figures"]
    assert "<" not in figures
    assert "alert" in json.dumps(json.loads(figures))


def test_the_same_report_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = write(full(), tmp_path / "a.html"), write(full(), tmp_path / "b.html")
    assert first.read_bytes() == second.read_bytes()
    other = write(replace(full(), title="another"), tmp_path / "c.html")
    assert other.read_bytes() != first.read_bytes()
    assert base64.b64decode(page._plotly()[1])[4:8] == bytes(4)  # the time inside a gzip file


def test_json_cannot_end_its_script_element() -> None:
    text = page._json({"a": "</script><!--&"})
    assert not set("<>&") & set(text)
    assert json.loads(text) == {"a": "</script><!--&"}


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("mine")
    with pytest.raises(JourneymanError, match=r"report\.html' exists.*--overwrite"):
        write(full(), path)
    assert path.read_text() == "mine"
    assert write(full(), path, overwrite=True) == path
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_and_a_missing_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(JourneymanError, match=r"is a folder and a report is one file"):
        write(full(), tmp_path, overwrite=True)
    with pytest.raises(JourneymanError, match=r"nowhere' is not a folder.*make it first"):
        write(full(), tmp_path / "nowhere" / "report.html")


@pytest.mark.parametrize("missing", ["jinja2", "plotly.offline"])
def test_a_missing_extra_names_the_install_line(missing: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page._plotly.cache_clear()
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(JourneymanError, match=re.escape(f"'{missing}' is not installed")) as caught:
        write(full(), tmp_path / "report.html")
    assert 'pip install "journeyman[report]"' in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_unknown_numbers_are_dashes_and_draw_nothing() -> None:
    rows = (PolicyRow("clone", Interval(nan), 0), PolicyRow("expert", Interval(5.0), 3, best=nan))
    text = render(Report("t", policies=rows, curves=(Curve("clone", [0, 1], Band([nan, 1.0]), "x", "y"),)))
    assert re.search(r"\bnan\b", "".join(Parsed(text).texts), re.IGNORECASE) is None
    assert "<b>–</b>" in text
    assert text.count('line class="clone"') == 0  # no whisker without bounds
    known = render(Report("t", policies=(PolicyRow("clone", Interval(1.0, 0.0, 2.0), 3),)))
    assert known.count('line class="clone"') == 1
    figures = next(content for attributes, content in Parsed(text).inside if attributes.get("id") == "figures")
    assert json.loads(figures)["learning-1"]["data"][0]["y"] == [None, 1.0]


def test_a_report_without_figures_carries_no_library() -> None:
    text = render(Report("bare"))
    assert 'id="plotly"' not in text
    assert len(text) < 60_000
    assert 'href="#policies"' not in text


def test_a_film_is_small_and_plays_in_its_own_time(html: str) -> None:
    (reel,) = [a["style"] or "" for t, a in Parsed(html).tags if a.get("class") == "reel"]
    assert "--count:9;--seconds:2.0s;--ratio:16 / 16" in reel
    assert len(reel) < 300_000
    places = re.findall(r"background-position:([\d.]+)% 0", html)
    assert [float(place) for place in places] == [0.0, 25.0, 37.5, 62.5, 75.0, 100.0]  # frames 0 2 3 5 6 8 of 0..8


def test_everything_wrong_is_refused_at_once() -> None:
    row = PolicyRow("clone", Interval(1.0), 1)
    small, large = np.zeros((4, 4, 3), np.uint8), np.zeros((5, 4, 3), np.uint8)
    with pytest.raises(JourneymanError) as caught:
        Report(
            "t",
            policies=(row, row),
            curves=(Curve("c", [1, 2], Band([1.0], [1.0, 2.0]), "x", "y"),),
            findings=(Finding("bad", "A sentence."),),
            films=(Film("f"), Film("g", (np.zeros((4, 4, 3)),)), Film("h", (small, large))),
            compounding=CompoundingFigure("clone", [1], Band([1.0, 2.0]), Band([1.0]), [1], 1),
        )  # fmt: skip
    message = str(caught.value)
    for expected in (
        "7 things are wrong",
        "Two policies of the report are called 'clone'",
        "has severity 'bad'; choose one of good, note, warning, problem.",
        "The curve 'c' has 2 points, but 'y.middle' has 1",
        "'expert_states.middle' has 2",
        "The film 'f' has no frames; say why in `missing`.",
        "shape (4, 4, 3) and dtype float64",
        "frames of shapes [(4, 4, 3), (5, 4, 3)]",
    ):
        assert expected in message
