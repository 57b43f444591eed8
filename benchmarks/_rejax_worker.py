"""PPO by Rejax, on request: runs in an environment that has it, not in ours.

    python _rejax_worker.py ID ENVS STEPS EPOCHS MINIBATCHES ITERATIONS

Trains ITERATIONS iterations from fresh for every line on standard input, without evaluations, and answers each with
its seconds. The first holds the compilation.
"""

import sys
import time

import jax
from rejax import PPO


def agent(id: str, envs: int, steps: int, epochs: int, minibatches: int, **options: int) -> PPO:
    """PPO with two networks of 64 × 64 tanh units."""
    return PPO.create(
        env=id,
        num_envs=envs,
        num_steps=steps,
        num_epochs=epochs,
        num_minibatches=minibatches,
        skip_initial_evaluation=True,
        agent_kwargs={"hidden_layer_sizes": (64, 64), "activation": "tanh"},
        **options,
    )


def main() -> None:
    """Answer requests until standard input closes."""
    id, *sizes = sys.argv[1:]
    envs, steps, epochs, minibatches, iterations = map(int, sizes)
    total = iterations * envs * steps
    made = agent(id, envs, steps, epochs, minibatches, total_timesteps=total, eval_freq=total)
    made = made.replace(eval_callback=lambda algorithm, state, key: ())
    train = jax.jit(lambda key: made.train(key))
    print(f"ready {jax.__version__}", flush=True)
    for seed, _ in enumerate(sys.stdin):
        began = time.perf_counter()
        jax.block_until_ready(train(jax.random.PRNGKey(seed)))
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
