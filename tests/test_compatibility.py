"""The compatibility page says what the code says, and a page that does not is found."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from journeyman.geometry import Euclidean, Fisher
from journeyman.parts import AbstractPart, JourneymanError, check
from journeyman.training import KLRadius
from journeyman.weights import Advantage, NetworkBaseline, NoBaseline

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_compatibility", ROOT / "docs/compatibility.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_declarations_say(writer):
    assert writer.PAGE.read_text(encoding="utf-8") == writer.page(), "run: python docs/compatibility.py"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("| `Fisher` | density | metric | – |", "| `Fisher` | density | – | – |"),
        ("| `Fisher` | yes | yes | yes |", "| `Fisher` | yes | yes | no |"),
        ("| `Uniform` | no [1] | yes |", ""),
    ],
)
def test_a_page_that_says_something_else_is_found(writer, tmp_path, monkeypatch, old, new):
    text = writer.PAGE.read_text(encoding="utf-8")
    assert text.count(old) == 1
    false = tmp_path / "compatibility.md"
    false.write_text(text.replace(old, new), encoding="utf-8")
    monkeypatch.setattr(writer, "PAGE", false)
    assert writer.page() == text != false.read_text(encoding="utf-8")


def test_a_page_without_a_place_for_a_table_is_found(writer, tmp_path, monkeypatch):
    false = tmp_path / "compatibility.md"
    false.write_text(
        writer.PAGE.read_text(encoding="utf-8").replace("<!-- end: declarations -->", ""), encoding="utf-8"
    )
    monkeypatch.setattr(writer, "PAGE", false)
    with pytest.raises(ValueError, match="no place for 'declarations'"):
        writer.page()


def test_a_changed_declaration_changes_the_page(writer, monkeypatch):
    before = writer.declarations(), writer.geometry_and_step()
    monkeypatch.setattr(Euclidean, "unwired", frozenset({"metric"}))
    after = writer.declarations(), writer.geometry_and_step()
    assert "| `Euclidean` | yes | yes | no [1] |" in before[1]
    assert "| `Euclidean` | yes | yes | not yet [1] |" in after[1]
    assert before[0] != after[0]


def test_the_two_sentences():
    with pytest.raises(JourneymanError, match=r"KLRadius needs 'metric' .* none of Euclidean can give it; choose"):
        check(KLRadius(), Euclidean())
    check(KLRadius(), Fisher(), later=frozenset({"density"}))

    class Curved(AbstractPart):
        unwired = frozenset({"metric"})

    with pytest.raises(JourneymanError, match=r"KLRadius with Curved is not wired yet: Curved has 'metric'"):
        check(KLRadius(), Curved())


def test_every_reason_comes_at_once():
    together = r"(?s)3 things are wrong:.*1\. .*'rewards'.*2\. .*'value baseline'.*3\. .*'metric'"
    with pytest.raises(JourneymanError, match=together):
        check(Advantage(lambda_=0.5, baseline=NoBaseline()), KLRadius())
    check(Advantage(lambda_=0.5, baseline=NetworkBaseline()), later=frozenset({"rewards"}))
