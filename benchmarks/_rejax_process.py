"""A whole process of Rejax: PPO on CartPole with evaluations, from import to the last one.

    python _rejax_process.py SEEDS STEPS ENVS LENGTH EPOCHS MINIBATCHES

All seeds at once; evaluations of 20 episodes after each half. Prints the seconds, and the last evaluations aside.
"""

import sys
import time

began = time.perf_counter()

import jax  # noqa: E402
from _rejax_worker import agent  # noqa: E402
from rejax.evaluate import evaluate  # noqa: E402


def main() -> None:
    """Train, evaluate, tell."""
    seeds, total, *sizes = map(int, sys.argv[1:])
    made = agent("CartPole-v1", *sizes, total_timesteps=total, eval_freq=total // 2)
    made = made.replace(eval_callback=lambda one, state, key: _judged(one.make_act(state), key, one))
    keys = jax.random.split(jax.random.PRNGKey(0), seeds)
    _, returns = jax.jit(jax.vmap(lambda key: made.train(key)))(keys)
    last = jax.device_get(returns)[:, -1]
    print(time.perf_counter() - began)
    print(*last, file=sys.stderr)


def _judged(act, key, made):
    _, returns = evaluate(act, key, made.env, made.env_params, 20, made.env_params.max_steps_in_episode)
    return returns.mean()


if __name__ == "__main__":
    main()
