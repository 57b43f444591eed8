"""PPO or TRPO by Stable-Baselines3's family, on request: runs in an environment that has it, not in ours.

    python _sb3_worker.py {sb3,sbx,sb3-contrib}[+VecNormalize] ID ENVS STEPS EPISODES

Trains from fresh with that package's defaults (2048 steps an iteration, over all ENVS environments) for every seed on
standard input, and answers each with a line of JSON: the seconds of training and the mean return of EPISODES episodes
with its deterministic action. With `+VecNormalize` that wrapper standardises observations, and rewards are as they are.
"""

import importlib
import json
import sys
import time
from typing import Any

from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecNormalize
from torch import set_num_threads

CLASSES = {"sb3": ("stable_baselines3", "PPO"), "sbx": ("sbx", "PPO"), "sb3-contrib": ("sb3_contrib", "TRPO")}


def trained(who: str, id: str, envs: int, steps: int, seed: int) -> tuple[Any, float]:
    """The trained model and its seconds of training: as with ours, what is imported and made before is not in them."""
    package, _, wrapper = who.partition("+")
    module, name = CLASSES[package]
    options = {"n_steps": 2048 // envs} if package == "sbx" else {"n_steps": 2048 // envs, "device": "cpu"}
    world = make_vec_env(id, envs, seed=seed)
    if wrapper:
        world = VecNormalize(world, norm_reward=False)
    model = getattr(importlib.import_module(module), name)("MlpPolicy", world, seed=seed, verbose=0, **options)
    began = time.perf_counter()
    model.learn(steps)
    return model, time.perf_counter() - began


def main() -> None:
    """Answer requests until standard input closes."""
    who, id = sys.argv[1:3]
    envs, steps, episodes = map(int, sys.argv[3:])
    set_num_threads(1)  # its networks are too small for more: this is its faster setting
    print("ready", flush=True)
    for line in sys.stdin:
        model, seconds = trained(who, id, envs, steps, int(line))
        world = make_vec_env(id, 8, seed=1_000_003)
        seen = model.get_vec_normalize_env()
        if seen is not None:
            world = VecNormalize(world, training=False, norm_reward=False)
            world.obs_rms = seen.obs_rms
        score = float(evaluate_policy(model, world, n_eval_episodes=episodes)[0])
        print(json.dumps({"seconds": seconds, "evaluation": score}), flush=True)


if __name__ == "__main__":
    main()
