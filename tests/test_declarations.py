"""Parts say what they need and give; a recipe that cannot run says so in one of two sentences."""

import pytest

import journeyman
from journeyman import parts
from journeyman.parts import CAPABILITIES, JourneymanError
from journeyman.parts._part import _PARTS

for _name in journeyman._NAMESPACES:  # every part of the library registers when its module is imported
    getattr(journeyman, _name)
LIBRARY = {name: cls for name, cls in _PARTS.items() if cls.__module__.startswith("journeyman.")}


def test_the_library_has_parts() -> None:
    assert {"Learner", "EnvPoolWorld", "LinearQuadratic", "DensityPolicy", "KLRadius", "Fisher", "Plan"} <= set(LIBRARY)


@pytest.mark.parametrize("name", sorted(LIBRARY))
def test_every_declaration_is_a_known_capability(name: str) -> None:
    cls = LIBRARY[name]
    for declared in (cls.needs, cls.gives, cls.unwired):
        assert isinstance(declared, frozenset)
        assert declared <= set(CAPABILITIES), f"{name} declares {set(declared) - set(CAPABILITIES)}"
    assert not cls.gives & cls.unwired, f"{name} gives what it says is not wired"
    assert not cls.citation or cls.citation.lstrip().startswith("@"), f"{name} cites something other than BibTeX"


def test_somebody_gives_what_somebody_needs() -> None:
    """A need that no part of the library can ever meet would be a part that never runs."""
    given = {name for cls in LIBRARY.values() for name in cls.gives}
    given |= {"metric", "value baseline", "rewards", "frames", "settable state"}  # given by some instances only
    assert {name for cls in LIBRARY.values() for name in cls.needs} <= given


def test_both_sentences_come_from_the_library_s_own_parts() -> None:
    from journeyman.algorithms import dagger
    from journeyman.experts import AbstractExpert
    from journeyman.geometry import Euclidean
    from journeyman.objectives import WeightedLogLikelihood
    from journeyman.training import KLRadius, Learner
    from journeyman.weights import Advantage, Uniform

    with pytest.raises(JourneymanError, match=r"KLRadius needs 'metric'.*none of .*Euclidean.* can give it"):
        Learner(Uniform(), WeightedLogLikelihood(), Euclidean(), KLRadius(0.1))

    class Teacher(AbstractExpert):
        def label(self, observation: object, key: object) -> object:
            return observation

    aggregate = dagger(Teacher()).collect
    with pytest.raises(JourneymanError, match="Aggregate with Advantage and a fitted baseline is not wired"):
        Learner(Advantage(), WeightedLogLikelihood(), Euclidean(), dagger(Teacher()).step, collect=aggregate)


def test_several_problems_are_one_refusal_and_can_be_told_apart_again() -> None:
    with pytest.raises(JourneymanError) as refused:
        parts.refuse(["one.", "two."])
    assert refused.value.problems == ("one.", "two.")
    assert str(refused.value) == "2 things are wrong:\n  1. one.\n  2. two."
    assert JourneymanError("alone.").problems == ("alone.",)


def test_no_two_parts_share_a_name() -> None:
    """A part is found on disk by its class name alone."""
    waiting, found = [parts.AbstractPart], []
    while waiting:
        cls = waiting.pop()
        waiting += cls.__subclasses__()
        found += [cls] if cls.__module__.startswith("journeyman.") and not cls.__name__.startswith("_") else []
    names = [cls.__name__ for cls in dict.fromkeys(found)]
    assert sorted(set(names)) == sorted(names), sorted({name for name in names if names.count(name) > 1})
