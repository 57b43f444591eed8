"""`journeyman improve --algorithm dagger --asking.*`: what was asked for is in the log and on the page."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from journeyman.collect import Mean, play
from journeyman.datasets import write
from journeyman.policies import Gaussian, policy, save
from journeyman.worlds import LinearQuadratic
from tests.sessions.conftest import Journeyman, numbers

WORLD = LinearQuadratic(horizon=12, start_std=1.0, num_envs=3)
DAGGER = (
    *("improve", "--world", "LinearQuadratic", "--options", "horizon=12", "start_std=1.0", "--algorithm", "dagger"),
    *"--steps 156 --batch 52 --num-envs 4 --episodes 2 --evaluation-episodes 0 --asking.epochs 2".split(),
)


@pytest.fixture
def words(tmp_path: Path) -> tuple[str | Path, ...]:
    """An expert, its demonstrations, and a clone whose spread depends on the state (`wide`) or not (`plain`)."""
    pytest.importorskip("jinja2", reason="needs the extra 'report', which is not installed")
    linear = policy(WORLD, jax.random.key(0), hidden=())
    expert = eqx.tree_at(lambda p: p.network.weights[0], linear, jnp.full((1, 1), -0.6))
    write(play(WORLD, Mean(expert), episodes=3, seed=0), tmp_path / "demos.npz")
    save(expert, tmp_path / "expert")
    wide = Gaussian.make(WORLD.action_space, state_dependent=True)
    save(policy(WORLD, jax.random.key(1), hidden=(4,), head=wide), tmp_path / "wide")
    save(policy(WORLD, jax.random.key(1), hidden=(4,)), tmp_path / "plain")
    return (*DAGGER, "--expert", tmp_path / "expert", "--data", tmp_path / "demos.npz", "--out", tmp_path / "run")


def test_the_page_counts_what_was_asked_for(
    tmp_path: Path, words: tuple[str | Path, ...], journeyman: Journeyman
) -> None:
    asking = "--asking.where uncertain --asking.share 0.5 --asking.budget 40".split()
    code, _, err = journeyman(*words, "--policy", tmp_path / "wide", *asking)
    assert code == 0, err
    rows = numbers(tmp_path / "run")
    visited = sum(row["visited"] for row in rows)
    # 13 steps of four environments in each of three rounds, of which each episode's end is followed by one reset.
    assert [row["visited"] for row in rows] == [48, 48, 48]
    assert [row["labels"] for row in rows] == [24, 40, 40]
    page = (tmp_path / "run" / "report.html").read_text()
    assert f"The expert gave 40 labels, for {40 / visited:.1%} of {visited} visited states." in page


def test_a_clone_as_sure_everywhere_is_refused_before_anything_is_made(
    tmp_path: Path, words: tuple[str | Path, ...], journeyman: Journeyman
) -> None:
    code, _, err = journeyman(*words, "--policy", tmp_path / "plain", "--asking.where", "uncertain")
    assert code == 2
    assert "Uncertain needs 'state-dependent spread'" in err
    assert not (tmp_path / "run").exists()
