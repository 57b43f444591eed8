"""Each bug of the catalogue is planted, and the test that it names must fail; without it, the test must pass."""

import functools

import jax
import pytest

from tests.bugs.catalogue import BUGS
from tests.bugs.planting import ROOT, Bug, run


@functools.cache
def passes(test: str, arguments: tuple) -> bool:
    """Whether the test passes with nothing planted, run in the same way."""
    run(test, dict(arguments))
    return True


@pytest.fixture(scope="module", autouse=True)
def _nothing_compiled_with_a_bug_is_left():
    yield
    jax.clear_caches()


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    assert passes(bug.test, tuple(sorted(bug.arguments.items())))
    bug.plant(monkeypatch)
    with pytest.raises(AssertionError):
        run(bug.test, bug.arguments)


def test_the_catalogue_is_what_it_says() -> None:
    assert len(BUGS) >= 25
    assert len({bug.name for bug in BUGS}) == len(BUGS)
    for bug in BUGS:
        path, name = bug.test.split("::")
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")
        assert bug.seen_in
