"""From a policy on disk to numbers."""

from collections.abc import Sequence
from pathlib import Path

from journeyman._settings import positive, seeded
from journeyman.diagnose import Evaluation, evaluate
from journeyman.parts import JourneymanError, refuse
from journeyman.sessions._files import load_policy
from journeyman.sessions._refusals import attempt, make_world
from journeyman.training import EVALUATION_SEED, read_context, world_problems
from journeyman.worlds import AbstractWorld


def judge(
    path: Path,
    world: str | None = None,
    options: Sequence[str] = (),
    *,
    episodes: int = 50,
    seed: int = EVALUATION_SEED,
) -> Evaluation:
    """Evaluate the policy in `path`, a run folder or an artefact, in `world` with `options` (NAME=VALUE each).

    Without a `world` in that of the run, with the run's options unless others are given. Raises `JourneymanError` with
    everything that is wrong at once.
    """
    found = positive(episodes=episodes) + seeded(seed)
    policy = attempt(found, lambda: load_policy(path))
    made = attempt(found, lambda: _world(path, world, options))
    if policy is not None and made is not None:
        found += world_problems(policy, made)
    refuse(found)
    assert policy is not None  # else something was found
    assert made is not None
    return evaluate(policy, made, episodes=episodes, seed=seed)


def _world(path: Path, name: str | None, options: Sequence[str]) -> AbstractWorld:
    if name is not None:
        return make_world(name, options, num_envs=1, seed=0)
    context = read_context(path) if (path / "config.json").exists() else {}
    settings = context.get("settings", {})
    if "world" not in settings:
        raise JourneymanError(
            f"'{path}' is no run of `fit` or `improve`, so it does not say in which world; add --world NAME."
        )
    return make_world(settings["world"], options or settings["options"], num_envs=1, seed=0)
