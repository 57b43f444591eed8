"""A whole process of Ajax (`ajax-rl`): PPO on CartPole with evaluations, from import to the last one.

    python _ajax_process.py SEEDS STEPS ENVS LENGTH EPOCHS MINIBATCHES

All seeds at once; evaluations of 20 episodes after each half. Prints the seconds, and the last evaluations aside.
"""

import sys
import time

began = time.perf_counter()

import jax  # noqa: E402
from _ajax_worker import agent  # noqa: E402
from ajax.logging.wandb_logging import LoggingConfig  # noqa: E402


def main() -> None:
    """Train, evaluate, tell."""
    seeds, total, *sizes = map(int, sys.argv[1:])
    made = agent("CartPole-v1", *sizes)
    told = LoggingConfig(config={}, log_frequency=total // 2, use_wandb=False)
    _, evaluations = made.train(seed=list(range(seeds)), n_timesteps=total, num_episode_test=20, logging_config=told)
    last = jax.device_get(evaluations)["Eval/episodic mean reward"][:, -1]
    print(time.perf_counter() - began)
    print(*last, file=sys.stderr)


if __name__ == "__main__":
    main()
