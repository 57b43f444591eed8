"""Behaviour cloning by the `imitation` package, on request: runs in an environment that has it, not in ours.

    python _imitation_worker.py DATA.npz BATCH_SIZE

Trains one epoch for every line on standard input, and answers each with its seconds (the first is a warm-up).
"""

import sys
import time

import gymnasium
import numpy as np
import torch
from imitation.algorithms import bc
from imitation.data.types import Transitions
from imitation.util.logger import configure


def trainer(data: str, batch_size: int) -> bc.BC:
    """BC with its own default network, 32×32 tanh, and its own default optimiser, Adam."""
    with np.load(data) as arrays:
        observation, action = arrays["observation"], arrays["action"]
    count = len(observation)
    transitions = Transitions(
        obs=observation, acts=action, infos=np.array([{}] * count), next_obs=observation, dones=np.zeros(count, bool)
    )
    box = lambda size: gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float32)  # noqa: E731
    return bc.BC(
        observation_space=box(observation.shape[1]),
        action_space=gymnasium.spaces.Box(-1, 1, (action.shape[1],), np.float32),
        rng=np.random.default_rng(0),
        demonstrations=transitions,
        batch_size=batch_size,
        device="cpu",
        custom_logger=configure(format_strs=[]),
    )


def main() -> None:
    """Answer requests until standard input closes."""
    torch.set_num_threads(1)  # its networks are too small for more: this is its faster setting
    made = trainer(sys.argv[1], int(sys.argv[2]))
    print(f"ready {torch.__version__}", flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        made.train(n_epochs=1, progress_bar=False, log_interval=10**9)
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
