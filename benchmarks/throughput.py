"""How much of the simulator's speed is left when collecting, and when training by natural gradients.

    python -m benchmarks.throughput --json

raw               EnvPool stepped with recorded actions, nothing else done, steps/s
collect           `rollout` with a sampling policy, steps/s
natural_gradient  whole iterations of `improve`: collect, weigh, step, refit, count, log, steps/s
ppo               the same with Stable-Baselines3's hyper-parameters: batches of 2048 steps, 10 epochs in 64s, steps/s

All use the same worlds, threads and seeds. In every round each goes once, and the ratios are taken inside a
round, so that what else the machine does meets all of them. Compilation is left out: the first rounds are thrown away.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import journeyman.algorithms as algorithms
from benchmarks._measure import machine, middle, parser, seconds, tell
from journeyman.collect import Sample, rollout, start
from journeyman.episodes import Episodes
from journeyman.policies import DensityPolicy, policy
from journeyman.training import Learner, Plan, Recorder
from journeyman.training._iteration import named_key
from journeyman.training._learner import initial, learn, refit, weigh
from journeyman.worlds import Box, world


def measure(name: str, *, envs: int, steps: int, rounds: int, threads: int) -> dict[str, Any]:
    """The figures of one world: `envs` environments, `steps` steps each in a batch."""
    made = world(name, num_envs=envs, seed=0, num_threads=threads)
    fresh = policy(made, jax.random.key(0), hidden=(64, 64))
    learner, clipped = algorithms.natural_gradient(iterations=10), algorithms.ppo()
    batch, small = envs * steps, max(min(2048, envs * steps) // envs, 1) * envs
    seen: dict[str, list[float]] = {key: [] for key in ("raw", "collect", "natural_gradient", "ppo")}
    carry, playing = start(made), Sample(fresh)
    replayed, trained = made.remake(seed=0), _Training(learner, fresh, made, batch)
    epochs = _Training(clipped, fresh, made, small)
    replayed.reset()
    for index in range(rounds + 2):
        taken, (carry, episodes) = seconds(
            lambda c=carry, i=index: rollout(made, playing, c, named_key(1, "", i), steps)
        )
        times = {"collect": taken, "raw": _replay(replayed, episodes), "natural_gradient": trained.iterations(1)}
        times["ppo"] = epochs.iterations(batch // small) * batch / (batch // small * small)
        # The first iteration fits the baseline alone, the second compiles the policy's step.
        if index >= 2:
            for key, value in times.items():
                seen[key].append(value)
    replayed.close()
    made.close()
    found: dict[str, Any] = {key: middle([batch / value for value in values]) for key, values in seen.items()}
    for key in ("collect", "natural_gradient", "ppo"):
        ratios = [raw / value for raw, value in zip(seen["raw"], seen[key], strict=True)]
        found[f"{key}_ratio"], found[f"{key}_ratios"] = middle(ratios), [round(ratio, 3) for ratio in ratios]
    found["milliseconds"] = _phases(learner, fresh, episodes, rounds) | {
        key: round(1000 * middle(values), 1) for key, values in seen.items()
    }
    return found | {"rounds": rounds, "envs": envs, "steps": steps, "threads": threads}


def _replay(simulator: Any, episodes: Episodes) -> float:
    """Seconds for EnvPool alone to take the recorded actions, made ready in its own type beforehand."""
    space = simulator.action_space
    actions = np.swapaxes(np.asarray(episodes.action), 0, 1)
    actions = np.clip(actions, space.low, space.high) if isinstance(space, Box) else actions
    dtype = simulator.simulator.spec.action_array_spec["action"].dtype
    ready = list(np.ascontiguousarray(actions, dtype))
    step = simulator.simulator.step

    def play() -> None:
        for action in ready:
            step(action)

    return seconds(play)[0]


class _Training:
    """`improve`, one iteration at a time: the listener to its rows is called at the end of each."""

    def __init__(self, learner: Learner, fresh: DensityPolicy, made: Any, batch: int) -> None:
        from journeyman.training._loop import Loop

        plan = Plan(steps=10**9, batch=batch, checkpoint_every=10**6, evaluate_every=10**6)
        self.loop = Loop(learner, made.remake(seed=0), plan, Recorder())
        self.state = self.loop.begin([fresh])

    def iterations(self, count: int) -> float:
        """Seconds of the next `count` whole iterations."""

        def practise() -> Any:
            for _ in range(count):
                self.state = self.loop.advance(self.state)
            return self.state

        return seconds(practise)[0]


def _phases(learner: Learner, fresh: DensityPolicy, episodes: Episodes, rounds: int) -> dict[str, float]:
    """Where an iteration's time beside collecting goes, milliseconds: each part alone, the fastest of `rounds`."""
    state, key = initial(learner, fresh, jax.random.key(0)), jax.random.key(1)
    on_device = jax.tree.map(jnp.asarray, episodes)
    weighed, samples = weigh(learner, state, on_device)
    parts = {
        "transfer": lambda: jax.tree.map(jnp.asarray, episodes),
        "weigh": lambda: weigh(learner, state, on_device),
        "update": lambda: learn(learner, state, samples, key),
        "baseline": lambda: refit(learner, state.weight, on_device, weighed.target, key),
    }
    return {name: round(1000 * min(seconds(part)[0] for _ in range(rounds + 1)), 1) for name, part in parts.items()}


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--world", action="append", help="EnvPool ids; HalfCheetah-v5 unless given")
    options.add_argument("--rounds", type=int, default=9, help="rounds that count")
    options.add_argument("--envs", type=int, default=64, help="environments side by side")
    options.add_argument("--steps", type=int, default=512, help="steps of each environment in a batch")
    options.add_argument("--threads", type=int, default=2, help="EnvPool's threads")
    given = options.parse_args(arguments)
    sizes = {"envs": given.envs, "steps": given.steps, "rounds": given.rounds, "threads": given.threads}
    found = {name: measure(name, **sizes) | {"machine": machine()} for name in given.world or ["HalfCheetah-v5"]}
    tell(found, given.json)


if __name__ == "__main__":
    main()
