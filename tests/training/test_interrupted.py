"""Ctrl-C ends a run after its iteration, is never swallowed, and loses nothing."""

import dataclasses
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import pytest

from journeyman.algorithms import bc, reinforce
from journeyman.collect import Sample, play
from journeyman.episodes import Episodes
from journeyman.figures import Effort, _comparison, comparison
from journeyman.parts import JourneymanError
from journeyman.policies import DensityPolicy, load, policy, save
from journeyman.training import (
    Interrupted,
    Learner,
    Plan,
    Recorder,
    _recorder,
    begun,
    fit,
    improve,
    read_metrics,
    sweep,
)
from journeyman.worlds import LinearQuadratic

WORLD = LinearQuadratic(horizon=5, num_envs=4)
PLAN = Plan(steps=200, batch=20)


def stopping(at: int, counter: str, folder: Path | None = None, seen: list[int] | None = None) -> Recorder:
    def listen(row: dict[str, Any]) -> None:
        if seen is not None:
            seen.append(row[counter])
        if row[counter] == at:
            signal.raise_signal(signal.SIGINT)

    return Recorder(folder, listen=listen)


@pytest.fixture(scope="module")
def fresh() -> DensityPolicy:
    return policy(WORLD, jax.random.key(0), hidden=(4,))


@pytest.fixture(scope="module")
def shown(fresh: DensityPolicy) -> Episodes:
    return play(WORLD, Sample(fresh), episodes=4, seed=0)


def test_a_fit_is_given_as_far_as_it_came(fresh: DensityPolicy, shown: Episodes, tmp_path: Path) -> None:
    record = stopping(3, "epoch", tmp_path / "run")
    with pytest.raises(Interrupted, match=r"^stopped after 3 of 6 epochs$") as stop:
        fit(bc(epochs=6), fresh, shown, log_every=1, checkpoint_every=2, record=record)
    found = stop.value.trained
    assert [row["epoch"] for row in found.rows] == [1, 2, 3]
    short = fit(bc(epochs=3), fresh, shown, log_every=1, checkpoint_every=1)
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), *map(arrays, (found.policy, short.policy))))
    assert jax.tree.all(
        jax.tree.map(lambda a, b: (a == b).all(), *map(arrays, (load(tmp_path / "run" / "policy"), short.policy)))
    )
    assert begun(tmp_path / "run")
    whole = fit(
        bc(epochs=6), fresh, shown, log_every=1, checkpoint_every=2, record=Recorder(tmp_path / "run", resume=True)
    )
    straight = fit(bc(epochs=6), fresh, shown, log_every=1, checkpoint_every=2)
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), *map(arrays, (whole.policy, straight.policy))))


def arrays(one: DensityPolicy) -> list[Any]:
    return [leaf for leaf in jax.tree.leaves(one) if hasattr(leaf, "shape")]


def test_practice_and_a_sweep_are_given_as_far_as_they_came(fresh: DensityPolicy) -> None:
    seen: list[int] = []
    with pytest.raises(Interrupted) as stop:
        improve(reinforce(), fresh, WORLD, PLAN, record=stopping(2, "iteration", seen=seen))
    assert stop.value.trained.rows[-1]["iteration"] == seen[-1] == stop.value.done // 20 < 10
    with pytest.raises(Interrupted) as stop:
        sweep(reinforce(), [fresh, fresh], WORLD, PLAN, record=stopping(2, "iteration"))
    assert len(stop.value.trained.policies) == 2


class _Death(Exception):
    pass


def dying(at: int) -> Callable[[dict[str, Any]], None]:
    def listen(row: dict[str, Any]) -> None:
        if row["iteration"] >= at:
            raise _Death

    return listen


@pytest.mark.parametrize("members", [1, 2])
def test_rows_are_never_newer_than_the_policy_beside_them(members: int, fresh: DensityPolicy, tmp_path: Path) -> None:
    run, plan = tmp_path / "run", dataclasses.replace(PLAN, checkpoint_every=1)
    made = run / ("policy" if members == 1 else "policies")

    def practise(record: Recorder) -> None:
        if members == 1:
            improve(reinforce(), fresh, WORLD, plan, record=record)
        else:
            sweep(reinforce(), [fresh] * members, WORLD, plan, record=record)

    with pytest.raises(Interrupted):
        practise(stopping(2, "iteration", run))
    assert made.is_dir()
    with pytest.raises(_Death):
        practise(Recorder(run, resume=True, listen=dying(5)))
    assert not made.exists()
    with pytest.raises(JourneymanError, match="is a run that has not finished, so it holds no policy yet; go on with"):
        load(run)
    practise(Recorder(run, resume=True))
    assert made.is_dir()


def test_the_policies_of_a_sweep_appear_together(
    fresh: DensityPolicy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def second_fails(policy: DensityPolicy, folder: Path, **options: Any) -> str:
        if folder.name == "1":
            raise _Death
        return save(policy, folder, **options)

    monkeypatch.setattr(_recorder, "save", second_fails)
    with pytest.raises(_Death):
        sweep(reinforce(), [fresh, fresh], WORLD, PLAN, record=Recorder(tmp_path / "run"))
    assert not [path for path in (tmp_path / "run").iterdir() if "policies" in path.name]


def test_the_loop_over_seeds_ends_too_even_in_the_last_iteration(fresh: DensityPolicy, shown: Episodes) -> None:
    done = []

    def over_seeds() -> None:
        for seed in range(3):
            done.append(seed)
            fit(bc(epochs=2), fresh, shown, seed=seed, log_every=1, checkpoint_every=1, record=stopping(2, "epoch"))

    with pytest.raises(KeyboardInterrupt):
        over_seeds()
    assert done == [0]


def test_nothing_is_begun_where_no_checkpoint_is(tmp_path: Path) -> None:
    assert not begun(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert not begun(tmp_path)


def test_what_died_before_its_first_checkpoint_is_begun_again_by_the_same_script(
    fresh: DensityPolicy, tmp_path: Path
) -> None:
    run = tmp_path / "run"

    def script(learner: Learner, **listening: Any) -> None:
        improve(learner, fresh, WORLD, PLAN, record=Recorder(run, resume=begun(run), **listening))

    with pytest.raises(_Death):
        script(reinforce(), listen=dying(3))
    assert not begun(run)
    rows = read_metrics(run, clock=False)
    with pytest.raises(JourneymanError, match="holds a run already and nothing is ever overwritten"):
        script(reinforce(0.5))
    assert read_metrics(run, clock=False) == rows, "what others began is kept"
    script(reinforce())
    assert read_metrics(run, clock=False)[: len(rows)] == rows
    shutil.rmtree(run / "checkpoints")  # of a run that came to its end
    with pytest.raises(JourneymanError, match="holds a run already and nothing is ever overwritten"):
        script(reinforce())
    assert load(run) is not None


@pytest.mark.slow
def test_a_comparison_is_done_in_parts_and_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn at once, and drawn of runs that another call has made."""
    monkeypatch.setattr(_comparison, "RECIPES", {"REINFORCE": (reinforce, 1024)})
    whole = comparison("gymnax:CartPole-v1", 4096).compute(Effort(seeds=2))
    kept = comparison("gymnax:CartPole-v1", 4096, tmp_path)
    kept.compute(Effort(seeds=1, seed=1))
    assert [begun(tmp_path / f"reinforce-{seed}") for seed in (0, 1)] == [False, True]
    rows = (tmp_path / "reinforce-1" / "metrics.jsonl").read_bytes()
    assert kept.compute(Effort(seeds=2)).numbers == whole.numbers
    assert (tmp_path / "reinforce-1" / "metrics.jsonl").read_bytes() == rows
    with pytest.raises(JourneymanError, match=r"plan.steps = 4096, not 8192"):
        comparison("gymnax:CartPole-v1", 8192, tmp_path).compute(Effort(seeds=1))
