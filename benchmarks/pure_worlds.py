"""Steps a second in a pure world: rollouts, and PPO beside Rejax, Ajax or Brax with the same sizes.

    python -m benchmarks.pure_worlds --json --world gymnax:CartPole-v1 --opponents rejax ajax
    python -m benchmarks.pure_worlds --json --world brax:ant --envs 4096 --steps 32 --opponents brax

PPO on every side: `--envs` environments × `--steps` steps an iteration, 4 epochs of 16 minibatches, a policy and a
value network of 64×64 tanh units, no evaluations. In every round each goes once, and ratios are taken inside a round.
What comes once, compiling and the first two runs, is told apart as `first_seconds`.

Rejax and Ajax have environments of their own, made in the user's cache folder when first asked for: Rejax 0.1.3 works
with gymnax 0.0.9 only, Ajax needs Python 3.12. Brax, whose worlds are ours too, runs in our environment, in a process
of its own; so on a GPU both use the same JAX and share the card, each with up to four tenths of its memory.

`share_of_peak` is the networks' arithmetic (`flops` of a training run: multiplications and additions of dense layers,
nothing else counted) in the time of each, over the fastest product of two 1024 × 1024 matrices seen between rounds.
"""

import json
import math
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

import journeyman.algorithms as algorithms
from benchmarks._measure import machine, middle, parser, seconds, tell
from benchmarks._opponent import answering, environment, interpreter_of_at_least
from journeyman.collect import Sample, rollout, start
from journeyman.policies import policy
from journeyman.training import Plan, improve
from journeyman.worlds import AbstractWorld, world

HERE = Path(__file__).parent
# Rejax's gymnax imports six without declaring it.
REQUIREMENTS = {"rejax": ["rejax==0.1.3", "gymnax==0.0.9", "six"], "ajax": ["ajax-rl==0.4.0", "six"]}
VERSIONS = {"rejax": "0.1.3", "ajax": "0.4.0"}
PYTHON = {"rejax": (3, 10), "ajax": (3, 12)}
WORLDS = {"rejax": ("gymnax",), "ajax": ("gymnax",), "brax": ("brax", "playground")}
EPOCHS, MINIBATCHES = 4, 16


def measure(
    name: str, options: dict[str, Any], *, envs: int, steps: int, iterations: int, rounds: int, opponents: list[str]
) -> dict[str, Any]:
    """Steps a second of our rollouts and of everybody's PPO, medians over `rounds`."""
    made = world(name, num_envs=envs, seed=0, **options)
    total = envs * steps * iterations
    found: dict[str, Any] = {"rollout": _rolling(made, envs * steps, steps, rounds)}
    first: dict[str, float] = {}
    times: dict[str, list[float]] = {}
    with ExitStack() as stack:
        contestants = {who: _opponent(stack, who, made, steps, iterations) for who in opponents}
        contestants = {"ppo": our_training(made, steps, iterations), **contestants}
        for who, train in contestants.items():
            first[who], times[who] = train() + train(), []  # Brax compiles twice
        peak = 0.0
        for _ in range(rounds):
            for who, train in contestants.items():
                times[who].append(train())
            peak = max(peak, _peak())
    flops = _flops(made, envs * steps * iterations)
    found |= {"flops": middle([flops]), "peak": middle([peak])}
    found["share_of_peak"] = {who: middle([flops / one / peak for one in taken], 3) for who, taken in times.items()}
    found |= {who: middle([total / one for one in taken]) for who, taken in times.items()}
    for who in opponents:
        found[f"ppo_to_{who}"] = middle([theirs / mine for mine, theirs in zip(times["ppo"], times[who], strict=True)])
    found["first_seconds"] = {who: round(one, 2) for who, one in first.items()}
    sizes = {"envs": envs, "steps": steps, "iterations": iterations, "epochs": EPOCHS, "minibatches": MINIBATCHES}
    return {name: found | sizes | {"rounds": rounds, "device": jax.devices()[0].device_kind, "machine": machine()}}


def _rolling(made: AbstractWorld, size: int, steps: int, rounds: int) -> float:
    """Steps a second of a compiled rollout with a 64×64 policy; the first, which compiles, does not count."""
    behaviour = Sample(policy(made, jax.random.key(0), hidden=(64, 64)))
    carry, _ = rollout(made, behaviour, start(made), jax.random.key(1), steps)
    times = []
    for i in range(rounds):
        spent, (carry, _) = seconds(lambda c=carry, i=i: rollout(made, behaviour, c, jax.random.key(2 + i), steps))
        times.append(size / spent)
    return middle(times)


def _flops(made: AbstractWorld, total: int) -> float:
    """Of PPO on so many steps: a layer of n × m costs 2 n m forwards and as much for each of its two derivatives.

    Each step is decided once and valued once, and then learned from `EPOCHS` times by both networks; the first layer
    needs no derivative of its input.
    """
    fresh = policy(made, jax.random.key(0), hidden=(64, 64))
    (seen, *_), out = fresh.network.weights[0].shape, fresh.network.weights[-1].shape[-1]

    def dense(last: int) -> tuple[int, int]:
        return 2 * (seen * 64 + 64 * 64 + 64 * last), 2 * (64 * 64 + 64 * last)

    (policy_forward, policy_inputs), (value_forward, value_inputs) = dense(out), dense(1)
    learned = 2 * (policy_forward + value_forward) + policy_inputs + value_inputs
    return float(total) * (policy_forward + value_forward + EPOCHS * learned)


def _peak() -> float:
    """Operations a second of a product of matrices, the fastest of twenty."""
    square = jnp.ones((1024, 1024))
    product = jax.jit(jnp.matmul)
    product(square, square).block_until_ready()
    return 2 * 1024**3 / min(seconds(lambda: product(square, square))[0] for _ in range(20))


def our_training(made: AbstractWorld, steps: int, iterations: int) -> Callable[[], float]:
    """A function that trains from fresh and gives its seconds, the evaluation left out."""
    batch = made.num_envs * steps
    learner = algorithms.ppo(epochs=EPOCHS, batch_size=max(batch // MINIBATCHES, 1))
    plan = Plan(steps=iterations * batch, batch=batch, checkpoint_every=iterations)
    fresh = policy(made, jax.random.key(0), hidden=(64, 64))
    return lambda: seconds(lambda: improve(learner, fresh, made, plan).policy)[0]


def _opponent(stack: ExitStack, who: str, made: AbstractWorld, steps: int, iterations: int) -> Callable[[], float]:
    prefix, _, id = made.name.partition(":")
    if prefix not in WORLDS[who]:
        raise SystemExit(f"{who} is run on worlds of {' and '.join(WORLDS[who])}, not on '{made.name}'; leave it out.")
    if who == "brax":
        interpreter, named = sys.executable, [made.name, json.dumps(made.config()["options"])]
    else:
        interpreter, named = _environment(who), [id]
    sizes = (made.num_envs, steps, EPOCHS, MINIBATCHES, iterations)
    return stack.enter_context(answering(interpreter, HERE / f"_{who}_worker.py", *named, *map(str, sizes)))


def _environment(who: str) -> str:
    python = interpreter_of_at_least(*PYTHON[who])
    if python is None:
        raise SystemExit(f"{who} needs Python {'.'.join(map(str, PYTHON[who]))} or newer, and none was found.")
    return environment(f"{who}-{VERSIONS[who]}", REQUIREMENTS[who], python)


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--world", default="gymnax:CartPole-v1", help="a pure world")
    options.add_argument("--envs", type=int, default=64, help="environments")
    options.add_argument("--steps", type=int, default=128, help="steps in each, an iteration")
    options.add_argument("--timesteps", type=int, default=500_000, help="steps in a training run, rounded up")
    options.add_argument("--rounds", type=int, default=5, help="rounds that count")
    options.add_argument("--opponents", nargs="*", default=[], choices=sorted(WORLDS), help="who is run beside")
    options.add_argument("--options", default="{}", type=json.loads, help="the world's options, as JSON")
    given = options.parse_args(arguments)
    # JAX takes three quarters of a GPU's memory when it starts, and leaves no room for an opponent.
    os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", ".4")
    sizes = {"envs": given.envs, "steps": given.steps, "rounds": given.rounds, "opponents": given.opponents}
    iterations = math.ceil(given.timesteps / (given.envs * given.steps))
    tell(measure(given.world, given.options, iterations=iterations, **sizes), given.json)


if __name__ == "__main__":
    main()
