"""What every part shares: declarations held against each other, plain JSON and back, fingerprints."""

import gc
import importlib
import json
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journeyman import parts
from journeyman.parts import (
    AbstractPart,
    JourneymanError,
    check,
    citations,
    describe,
    fingerprint,
    problems,
    rebuild,
    uncollected,
)


class PartsRadius(AbstractPart):
    needs: ClassVar[frozenset[str]] = frozenset({"metric", "rewards"})
    citation: ClassVar[str] = "@article{radius}"


class PartsMetric(AbstractPart):
    gives: ClassVar[frozenset[str]] = frozenset({"metric"})
    citation: ClassVar[str] = "@article{metric}"


class PartsRewards(AbstractPart):
    unwired: ClassVar[frozenset[str]] = frozenset({"metric"})
    gives: ClassVar[frozenset[str]] = frozenset({"rewards"})


class PartsGrown(AbstractPart):
    added: ClassVar[dict[str, Any]] = {"later": 1}

    rate: float
    later: int = 1


class PartsNest(AbstractPart):
    inner: Any
    many: tuple = ()
    rate: float = eqx.field(static=True, default=0.5)

    def __check_init__(self) -> None:
        if self.rate < 0:
            raise JourneymanError("The rate is negative; raise it.")


class PartsCurtain(AbstractPart):
    """Gives nothing of what is inside it but the metric."""

    inner: Any

    def provides(self) -> frozenset[str]:
        return frozenset({"metric"})


class PartsMarkers(AbstractPart):
    """Its fields are called like the forms that a description has for what is no part."""

    array: Any
    map: Any
    opaque: float = eqx.field(static=True, default=1.0)


# -- declarations ---------------------------------------------------------------------------------------


def test_needs_are_met_by_any_part_however_deep() -> None:
    assert problems(PartsRadius(), PartsNest(PartsMetric(), (PartsRewards(),))) == []
    assert problems(PartsRadius(), later=frozenset({"metric", "rewards"})) == []


def test_who_says_what_it_gives_speaks_for_what_is_inside_it() -> None:
    assert problems(PartsRadius(), PartsCurtain((PartsMetric(),)), PartsRewards()) == []
    found = problems(PartsRadius(), PartsNest(PartsCurtain((PartsMetric(), PartsRewards()))))
    assert [sentence.split("(")[0] for sentence in found] == ["PartsRadius needs 'rewards' "]


def test_this_part_cannot() -> None:
    found = problems(PartsRadius(), PartsMetric())
    assert found == [
        "PartsRadius needs 'rewards' (the reward of every step is known), and none of PartsMetric can give it; choose"
        " a part that gives 'rewards'."
    ]
    assert "none of the other parts can give it" in problems(PartsRadius())[0]


def test_this_pair_is_not_wired_yet() -> None:
    (found,) = problems(PartsRadius(), PartsRewards())
    assert found.startswith("PartsRadius with PartsRewards is not wired yet: PartsRewards has 'metric'")


def test_every_reason_at_once() -> None:
    with pytest.raises(
        JourneymanError, match=r"2 things are wrong:\n  1\. PartsRadius needs 'metric'.*\n  2\. PartsRad"
    ):
        check(PartsRadius())
    check(PartsRadius(), PartsMetric(), PartsRewards())


def test_citations_are_told_once() -> None:
    twice = PartsNest(PartsMetric(), (PartsMetric(), PartsRadius()))
    assert citations(twice, PartsMetric()) == ["@article{metric}", "@article{radius}"]


# -- JSON and back --------------------------------------------------------------------------------------

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple) | st.dictionaries(st.text("ab", min_size=1), inner, max_size=2)
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=60)
@given(plain)
def test_plain_values_survive_json_to_the_bit(value: Any) -> None:
    tree, arrays = describe(PartsNest(value))
    back = rebuild(json.loads(json.dumps(tree, allow_nan=False)), arrays)
    assert repr(back.inner) == repr(value)
    assert back.rate == 0.5


def test_arrays_and_parts_survive_under_the_path_of_their_fields() -> None:
    part = PartsNest({"a": jnp.asarray([1.0, np.nan])}, (PartsMetric(), np.arange(3, dtype=np.int8)), rate=0.1)
    tree, arrays = describe(part)
    assert sorted(arrays) == ["inner.a", "many.1"]
    back = rebuild(tree, arrays)
    assert isinstance(back.many[0], PartsMetric)
    assert fingerprint(back) == fingerprint(part)
    assert back.rate == 0.1


def test_a_field_may_be_called_like_a_form_of_the_description() -> None:
    tree, arrays = describe(PartsMarkers(jnp.arange(2.0), {"a": 1}, opaque=0.5))
    back = rebuild(json.loads(json.dumps(tree)), arrays)
    assert isinstance(back, PartsMarkers)
    assert (back.array.tolist(), back.map, back.opaque) == ([0, 1], {"a": 1}, 0.5)


def test_what_has_no_form_on_disk() -> None:
    with pytest.raises(JourneymanError, match=r"'many.0' is a function, which has no form on disk"):
        describe(PartsNest(1, (len.__class__, lambda: 0)[1:]))
    tree, arrays = describe(PartsNest(object()), opaque=True)
    with pytest.raises(JourneymanError, match="A object was part of this and has no form on disk"):
        rebuild(tree, arrays)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"inner": {"path": "gone"}}, r"A description names a part; \['path'\] does not"),
        ({"part": "PartsNext"}, "No part is called 'PartsNext'. Did you mean 'PartsNest'"),
        ({"extra": 1}, "unknown field 'extra'"),
        ({"rate": ...}, "missing field 'rate'"),
        ({"inner": {"array": "gone"}}, "The array 'gone' is missing"),
        ({"rate": -1.0}, "The rate is negative"),
    ],
)
def test_a_description_that_does_not_fit(change: dict[str, Any], said: str) -> None:
    tree = {**describe(PartsNest(1))[0], **change}
    tree = {key: value for key, value in tree.items() if value is not ...}
    with pytest.raises(JourneymanError, match=said):
        rebuild(tree, {})


def test_a_field_that_came_later_is_written_where_it_says_something_and_else_means_what_it_did() -> None:
    old = {"part": "PartsGrown", "rate": 0.5}
    assert rebuild(old, {}) == PartsGrown(0.5)
    assert describe(PartsGrown(0.5))[0] == old
    assert rebuild(*describe(PartsGrown(0.5, 2))) == PartsGrown(0.5, 2)
    with pytest.raises(JourneymanError, match="missing field 'rate'"):
        rebuild({"part": "PartsGrown", "later": 2}, {})


# -- fingerprints ---------------------------------------------------------------------------------------


def test_a_fingerprint_sees_value_type_shape_and_place() -> None:
    one = {"a": np.zeros(4, np.float32), "b": np.ones(1)}
    different = [
        {"a": np.array([0, 0, 0, -0.0], np.float32), "b": np.ones(1)},
        {"a": np.zeros(4, np.int32), "b": np.ones(1)},
        {"a": np.zeros((2, 2), np.float32), "b": np.ones(1)},
        {"a": np.ones(1), "b": np.zeros(4, np.float32)},
        {"a": np.zeros(4, np.float32), "c": np.ones(1)},
    ]
    assert len({fingerprint(tree) for tree in [one, *different]}) == 6
    assert fingerprint({"b": jnp.ones(1, jnp.float32), "a": 0 * one["a"]}) == fingerprint(
        {"a": one["a"], "b": np.ones(1, np.float32)}
    )


# -- optional packages ----------------------------------------------------------------------------------


def test_a_missing_extra_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(JourneymanError, match=r'install it with: pip install "journeyman\[pusht\]"'):
        parts.require("no_such_module_at_all", extra="pusht")

    def broken(name: str) -> Any:
        raise ImportError("libGL is missing", name="somewhere_else")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(ImportError, match="libGL is missing"):
        parts.require("gym_pusht", extra="pusht")


def test_garbage_is_left_for_a_while_and_collected_again_whatever_happens() -> None:
    assert gc.isenabled()
    with uncollected():
        assert not gc.isenabled()
        with uncollected():
            pass
        assert not gc.isenabled(), "the inner one leaves it as it was"
    with pytest.raises(ValueError, match="lost"), uncollected():
        raise ValueError("lost")
    assert gc.isenabled()
    gc.disable()
    with uncollected():
        pass
    try:
        assert not gc.isenabled(), "whoever switched it off wants it off"
    finally:
        gc.enable()
