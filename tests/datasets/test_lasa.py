"""LASA's strokes as demonstrations: their world agrees with them step by step, and they go the way of any data."""

import dataclasses
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import pytest

from journeyman import cli
from journeyman.datasets import lint, read, write
from journeyman.episodes import HUMAN, Episodes
from journeyman.parts import JourneymanError
from journeyman.worlds import Handwriting, lasa_shapes, lasa_strokes, world

pytestmark = pytest.mark.skipif(not lasa_shapes(), reason="the LASA data are not installed")


@eqx.filter_jit
def _all(made: Handwriting, now: jax.Array, action: jax.Array) -> tuple:
    def one(seen: jax.Array, chosen: jax.Array) -> tuple:
        state, outcome = made.step(made.state_of(seen), chosen, jax.random.key(0))
        return made.observe(state), outcome.reward, outcome.terminated

    return jax.vmap(one)(now, action)


def played(made: Handwriting, episodes: Episodes) -> tuple[np.ndarray, ...]:
    """Each recorded action from its own recorded state: where the world goes, what it pays and whether it ends."""
    valid = np.asarray(episodes.valid)
    rows = [np.resize(np.asarray(leaf)[valid], (500, 2)) for leaf in (episodes.now, episodes.action)]
    found = _all(dataclasses.replace(made, shape="any"), *rows)  # one program for all shapes
    return tuple(np.asarray(part)[: valid.sum()] for part in found)


def test_every_step_of_every_shape_is_the_world_s_own() -> None:
    for shape in lasa_shapes():
        made, data = world(f"lasa:{shape}"), read(f"lasa:{shape}")
        assert isinstance(made, Handwriting)
        episodes, valid = data.episodes, np.asarray(data.episodes.valid)
        after, reward, terminated = played(made, episodes)
        np.testing.assert_allclose(after, np.asarray(episodes.next)[valid], atol=1e-4)
        np.testing.assert_array_equal(reward, np.asarray(episodes.reward)[valid])
        np.testing.assert_array_equal(terminated, np.asarray(episodes.terminated)[valid])
        assert (np.abs(episodes.action[valid]) <= made.action_space.high / 2 * (1 + 1e-6)).all()
        assert data.returns is not None
        assert data.returns.tolist() == [1.0] * 7
        assert (np.asarray(episodes.source)[valid] == HUMAN).all()
        assert not np.asarray(episodes.truncated).any()


def test_an_action_that_is_one_step_late_is_not_the_world_s() -> None:
    """The must-fail control of the test above."""
    made, episodes = world("lasa:Sshape"), read("lasa:Sshape").episodes
    assert isinstance(made, Handwriting)
    late = Episodes(
        **{n: getattr(episodes, n) for n in Episodes.__dataclass_fields__ if n != "action"},
        action=np.roll(episodes.action, 1, axis=1),
    )
    after, *_ = played(made, late)
    assert np.abs(after - np.asarray(late.next)[np.asarray(late.valid)]).max() > 0.1


def test_they_go_through_lint_and_back_from_a_file(tmp_path: Path) -> None:
    assert not lint("lasa:Worm", world=world("lasa:Worm")).problems
    data = read("lasa:Worm")
    assert data.notes == [
        f"A step takes {lasa_strokes('Worm').tick:.4g} s; what follows the arrival at the goal is left out."
    ]
    again = read(write(data.episodes, tmp_path / "worm.npz"))
    assert again.fingerprint == data.fingerprint
    with pytest.raises(JourneymanError, match=r"no shape 'Wrm'\. Did you mean 'Worm'"):
        read("lasa:Wrm")


@pytest.mark.slow
def test_the_command_line_clones_a_shape_by_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "fit --data lasa:Line --world lasa:Line --held-out .3 --epochs 20 --episodes 4".split()
    assert cli.main([*words, "--out", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "report.html").is_file()
    assert "7 demonstrations, recorded: mean return 1" in capsys.readouterr().out
