"""PPO by Ajax (`ajax-rl`), on request: runs in an environment that has it, not in ours.

    python _ajax_worker.py ID ENVS STEPS EPOCHS MINIBATCHES ITERATIONS

Trains ITERATIONS iterations from fresh for every line on standard input, without evaluations, and answers each with
its seconds. The first holds the compilation.
"""

import sys
import time

import jax
from ajax import PPO


def agent(id: str, envs: int, steps: int, epochs: int, minibatches: int) -> PPO:
    """PPO with two networks of 64 × 64 tanh units."""
    network = ("64", "tanh", "64", "tanh")
    return PPO(
        id,
        n_envs=envs,
        n_steps=steps,
        n_epochs=epochs,
        batch_size=envs * steps // minibatches,
        actor_architecture=network,
        critic_architecture=network,
    )


def main() -> None:
    """Answer requests until standard input closes."""
    id, *sizes = sys.argv[1:]
    envs, steps, epochs, minibatches, iterations = map(int, sizes)
    made = agent(id, envs, steps, epochs, minibatches)
    print(f"ready {jax.__version__}", flush=True)
    for seed, _ in enumerate(sys.stdin):
        began = time.perf_counter()
        jax.block_until_ready(jax.tree.leaves(made.train(seed=seed, n_timesteps=iterations * envs * steps)))
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
