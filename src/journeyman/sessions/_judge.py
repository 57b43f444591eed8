"""From a policy on disk to numbers."""

from collections.abc import Sequence
from pathlib import Path

from journeyman.diagnose import Evaluation, evaluate
from journeyman.parts import refuse
from journeyman.sessions._files import load_policy
from journeyman.sessions._refusals import attempt, make_world, positive
from journeyman.training import world_problems


def judge(path: Path, world: str, options: Sequence[str] = (), *, episodes: int = 50) -> Evaluation:
    """Evaluate the policy in `path`, a run folder or an artefact, in `world` with `options` (NAME=VALUE each).

    Raises `JourneymanError` with everything that is wrong at once.
    """
    found = positive(episodes=episodes)
    policy = attempt(found, lambda: load_policy(path))
    made = attempt(found, lambda: make_world(world, options, num_envs=1, seed=0))
    if policy is not None and made is not None:
        found += world_problems(policy, made)
    refuse(found)
    assert policy is not None  # else something was found
    assert made is not None
    return evaluate(policy, made, episodes=episodes)
