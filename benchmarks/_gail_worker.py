"""GAIL by the `imitation` package, on request: runs in an environment that has it, not in ours.

    python _gail_worker.py DATA.npz ID STEPS TARGET EPISODES MINUTES

For every seed on standard input it trains afresh, with the hyper-parameters that its authors tuned for Hopper
(`gail_seals_hopper_best_hp_eval.json` of its repository), until the deterministic action earns TARGET on EPISODES
episodes, which it looks at about every 40,000 steps, or until STEPS or MINUTES are over. Answers with a line of JSON:
the seconds until then, the steps, whether TARGET was reached, and every evaluation.
"""

import contextlib
import json
import sys
import time
from typing import Any

import numpy as np
import torch
from imitation.algorithms.adversarial.gail import GAIL
from imitation.data.types import Trajectory
from imitation.policies.base import NormalizeFeaturesExtractor
from imitation.rewards.reward_nets import BasicRewardNet, NormalizedRewardNet
from imitation.util.logger import configure
from imitation.util.networks import RunningNorm
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

ENVS, BATCH = 8, 4096


class Reached(Exception):
    """There is no need to go on."""


def demonstrations(path: str) -> list[Trajectory]:
    """Its trajectories end by the time limit, so none is terminal; actions as the world takes them."""
    with np.load(path) as arrays:
        seen, after, action = arrays["observation"], arrays["next_observation"], arrays["action"]
        ends = arrays["episode_end"]
    bounds = zip([0, *ends[:-1]], ends, strict=True)
    return [
        Trajectory(
            obs=np.concatenate([seen[first:end], after[end - 1 : end]]),
            acts=np.clip(action[first:end], -1, 1),
            infos=None,
            terminal=False,
        )
        for first, end in bounds
    ]


def trainer(data: str, id: str, seed: int) -> tuple[GAIL, PPO]:
    """GAIL and its PPO as tuned by its authors."""
    world = make_vec_env(id, ENVS, seed=seed)
    ppo = PPO(
        "MlpPolicy",
        world,
        n_steps=BATCH // ENVS,
        batch_size=512,
        clip_range=0.1,
        ent_coef=0.001255299425412744,
        gae_lambda=0.98,
        gamma=0.995,
        learning_rate=4.3984856156897565e-5,
        max_grad_norm=0.9,
        n_epochs=20,
        vf_coef=0.20315938606555833,
        policy_kwargs={
            "activation_fn": torch.nn.ReLU,
            "features_extractor_class": NormalizeFeaturesExtractor,
            "features_extractor_kwargs": {"normalize_class": RunningNorm},
            "net_arch": {"pi": [64, 64], "vf": [64, 64]},
        },
        seed=seed,
        device="cpu",
    )
    net = BasicRewardNet(world.observation_space, world.action_space, normalize_input_layer=RunningNorm)
    gail = GAIL(
        demonstrations=demonstrations(data),
        demo_batch_size=128,
        gen_replay_buffer_capacity=4096,
        n_disc_updates_per_round=8,
        venv=world,
        gen_algo=ppo,
        reward_net=NormalizedRewardNet(net, normalize_output_layer=RunningNorm),
        allow_variable_horizon=True,
        custom_logger=configure(format_strs=[]),
    )
    return gail, ppo


def run(data: str, id: str, steps: int, target: float, episodes: int, minutes: float, seed: int) -> dict[str, Any]:
    """Train until there is no need to go on."""
    began = time.perf_counter()
    gail, ppo = trainer(data, id, seed)
    judged, seen = make_vec_env(id, ENVS, seed=1_000_003), []

    def look(round_number: int) -> None:
        if (round_number + 1) % 10:
            return
        score = float(evaluate_policy(ppo, judged, n_eval_episodes=episodes)[0])
        seen.append([(round_number + 1) * BATCH, round(score, 1), round(time.perf_counter() - began, 1)])
        if score >= target or time.perf_counter() - began > 60 * minutes:
            raise Reached

    with contextlib.suppress(Reached):
        gail.train(steps, callback=look)
    last = seen[-1] if seen else [0, float("-inf"), 0.0]
    return {"seconds": last[2], "steps": last[0], "reached": last[1] >= target, "evaluations": seen}


def main() -> None:
    """Answer requests until standard input closes."""
    data, id = sys.argv[1:3]
    steps, target, episodes, minutes = int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]), float(sys.argv[6])
    torch.set_num_threads(1)  # its networks are too small for more: this is its faster setting
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(run(data, id, steps, target, episodes, minutes, int(line))), flush=True)


if __name__ == "__main__":
    main()
