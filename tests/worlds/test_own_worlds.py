"""A pure world as a stranger writes it: it is practised in as it stands, and what is wrong with it is a sentence."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import journeyman as jm
from journeyman.algorithms import natural_gradient
from journeyman.collect import Mean, play
from journeyman.parts import JourneymanError
from journeyman.worlds import AbstractPureWorld, Box, Outcome

PLAN = jm.Plan(steps=160, batch=80)


class Hill(AbstractPureWorld):
    """That of the documentation, in a few ways of going wrong."""

    name: str = ""
    num_envs: int = 4
    seed: int = 0
    horizon: int | None = 5
    kind: str = ""

    @property
    def observation_space(self) -> Any:  # type: ignore[override]
        return Box.unbounded(1)

    @property
    def action_space(self) -> Any:  # type: ignore[override]
        return Box.symmetric(1.0, 1)

    def reset(self, key: Any) -> Any:
        return 0.1 * jax.random.normal(key, (1,)), jnp.zeros((), jnp.int32)

    def step(self, state: Any, action: Any, key: Any) -> Any:
        x, time = state
        x, time = 1.1 * x + 0.1 * action, time + 1
        reward = {"points": (jnp.abs(x[0]) < 1).astype(jnp.int32), "vector": x}.get(self.kind, 1.0 - x[0] ** 2)
        over = (time >= 5) & (self.kind != "endless")
        flag = jnp.zeros((), jnp.int32 if self.kind == "flag" else bool)
        if self.kind in ("tuple", "four"):
            return ((x, time), (reward, flag, over)) if self.kind == "tuple" else (x, reward, flag, over)
        return (x, time * 1.0 if self.kind == "state" else time), Outcome(reward, flag, over)

    def observe(self, state: Any) -> Any:
        return jnp.zeros(2) if self.kind == "seen" else state[0]


@pytest.mark.parametrize("kind", ["", "points"])
def test_a_world_that_declares_nothing_is_practised_in(kind: str) -> None:
    world = Hill(kind=kind)
    assert world.provides() == {"world", "rewards"}
    fresh = jm.policy(world, jax.random.key(0), hidden=(4,))
    rows = jm.improve(natural_gradient(), fresh, world, PLAN).rows
    assert 0 < rows[-1]["return"] <= 5


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("vector", r"The reward of 'Hill' is float32\[1\], and one number is needed"),
        (
            "state",
            r"`step` of 'Hill' gives the state \(float32\[1\], float32\[\]\), and `reset` \(float32\[1\], int32\[\]\)",
        ),
        ("flag", r"`terminated` of 'Hill' is int32\[\], and one bool is needed"),
        ("seen", r"`observe` of 'Hill' gives float32\[2\], and its observation_space says float32\[1\]"),
        (
            "tuple",
            r"`step` of 'Hill' gives \(tuple, tuple\), and a state and an Outcome are needed; return \(state, Outc",
        ),
        (
            "four",
            r"`step` of 'Hill' gives \(float32\[1\], float32\[\], bool\[\], bool\[\]\), and a state and an Outcome are",
        ),
        ("endless", r"An episode of 'Hill' did not end within 100 steps"),
    ],
)
def test_what_is_wrong_with_it_is_a_sentence(kind: str, says: str) -> None:
    with jax.numpy_dtype_promotion("standard"):
        world = Hill(kind=kind)
        fresh = jm.policy(world, jax.random.key(0), hidden=(4,))
        with pytest.raises(JourneymanError, match=says):
            play(world, Mean(fresh), episodes=2, seed=0, longest=100)


@pytest.mark.parametrize("horizon", [0, 2.5, "5", True])
def test_a_horizon_is_some_whole_steps_in_any_world(horizon: Any) -> None:
    says = (
        r"'horizon' is 0; give at least one step" if horizon == 0 else rf"`horizon` of Hill is {horizon!r}, and a whole"
    )
    with pytest.raises(JourneymanError, match=says):
        Hill(horizon=horizon)


class Slope(Hill):
    pull: Any = 0.5


def test_a_run_in_it_does_not_go_on_in_another(tmp_path: Path) -> None:
    world = Slope(kind="points")
    fresh = jm.policy(world, jax.random.key(0), hidden=())

    def practised(world: AbstractPureWorld, **options: Any) -> Any:
        return jm.improve(natural_gradient(), fresh, world, PLAN, record=jm.Recorder(tmp_path / "run", **options))

    practised(world)
    assert practised(world, resume=True).rows == []
    for other, says in [
        (Slope(kind="points", pull=0.9), r"world\.options\.pull = 0\.5, not 0\.9"),
        (Slope(kind="points", pull=jnp.ones(2)), r"world\.options\.pull = 0\.5, not '[0-9a-f]{16}'"),
        (Hill(kind="points"), r"world\.options\.class = 'Slope', not 'Hill'"),
    ]:
        with pytest.raises(JourneymanError, match=says):
            practised(other, resume=True)


def test_what_it_is_made_of_is_told_but_for_what_has_no_form_on_disk() -> None:
    told = Slope(pull=len).config()
    assert told == {
        "name": "",
        "num_envs": 4,
        "seed": 0,
        "options": {"class": "Slope", "horizon": 5, "kind": ""},
    }
