"""PPO by Brax, on request: a process of its own, in our environment, which has Brax for its worlds.

    python _brax_worker.py WORLD OPTIONS ENVS STEPS EPOCHS MINIBATCHES ITERATIONS

WORLD is `brax:ant` or `playground:CartpoleBalance`, OPTIONS are its options as JSON. Trains ITERATIONS iterations more
for every line on standard input, without evaluations, and answers each with the seconds that Brax counts. The first
holds the compilation. Nothing is made anew between answers, so a start costs Brax nothing here.
"""

import contextlib
import functools
import json
import sys
from typing import Any

import jax
import jax.numpy as jnp

ANSWERS = sys.stdout
with contextlib.redirect_stdout(sys.stderr):  # MJX prints there what it misses
    from brax import envs as environments
    from brax.training.agents.ppo import networks, train

HIDDEN = (64, 64)


def _replicated(tree: Any, devices: list[Any]) -> Any:
    """What JAX 0.11 no longer has and Brax 0.14.2 calls once, at its start."""
    return jax.tree.map(lambda leaf: jnp.stack([leaf] * len(devices)), tree)


def _made(name: str, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The environment, and how Brax is to wrap it."""
    prefix, _, id = name.partition(":")
    length = options.pop("episode_length", None)
    if prefix == "brax":
        return environments.get_environment(id, **options), {"episode_length": length or 1000}
    from mujoco_playground import registry, wrapper

    config = registry.get_default_config(id)
    overrides = {"impl": "jax"} if "impl" in config else {}
    environment = registry.load(id, config, {**overrides, **options})
    return environment, {
        "wrap_env_fn": wrapper.wrap_for_brax_training,
        "episode_length": length or config.episode_length,
    }


def main() -> None:
    """Answer requests until standard input closes."""
    name, options, *sizes = sys.argv[1:]
    num_envs, steps, epochs, minibatches, iterations = map(int, sizes)
    environment, wrapping = _made(name, json.loads(options))
    total = iterations * num_envs * steps
    if not hasattr(jax, "device_put_replicated"):
        jax.device_put_replicated = _replicated
    network = functools.partial(
        networks.make_ppo_networks,
        policy_hidden_layer_sizes=HIDDEN,
        value_hidden_layer_sizes=HIDDEN,
        activation=jnp.tanh,
    )

    def wait() -> None:
        if not sys.stdin.readline():
            raise SystemExit(0)

    def answer(_: int, metrics: dict[str, Any]) -> None:
        print(total / float(metrics["training/sps"]), file=ANSWERS, flush=True)
        wait()

    print(f"ready {jax.__version__} {jax.devices()[0].device_kind}", file=ANSWERS, flush=True)
    wait()
    requests = 10_000  # more than anybody asks for; closing standard input ends it
    train.train(
        environment,
        num_timesteps=requests * total,
        num_envs=num_envs,
        unroll_length=steps,
        batch_size=num_envs // minibatches,
        num_minibatches=minibatches,
        num_updates_per_batch=epochs,
        num_evals=requests + 1,
        run_evals=False,
        discounting=0.99,
        learning_rate=3e-4,
        clipping_epsilon=0.2,
        entropy_cost=0.0,
        max_grad_norm=0.5,
        normalize_observations=True,
        network_factory=network,
        progress_fn=answer,
        **wrapping,
    )


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        main()
