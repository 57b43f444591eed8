"""`improve`: collect, weigh, step, again. Needs a world."""

import time
import zlib
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from journeyman.collect import Mean, play, rollout, start
from journeyman.episodes import Episodes
from journeyman.parts import AbstractPart, check, fingerprint, refuse
from journeyman.policies import AbstractHead, DensityPolicy, Encoder, floored, is_fresh
from journeyman.training._fit import Trained, fitting_problems
from journeyman.training._learner import Learner, LearnerState, initial, learn, observed, refit, weigh
from journeyman.training._memory import Memory
from journeyman.training._recorder import Recorder, check_finite
from journeyman.training._tally import Tally
from journeyman.worlds import AbstractFinite, AbstractHostWorld, AbstractWorld, Box

EVALUATION_SEED = 1_000_003
"""Start seeds of evaluations: fixed, and apart from any seed training derives."""


class ImproveState(eqx.Module):
    """Everything that changes while improving; a checkpoint is this and nothing else.

    `carry` is `()` for a host world, which is made afresh from a derived seed at every checkpoint instead.
    """

    learner: LearnerState
    carry: PyTree
    memory: PyTree
    tally: Tally
    iteration: np.ndarray
    steps: np.ndarray
    episodes: np.ndarray


class Plan(AbstractPart):
    """How long, in what portions, and what is looked at on the way; see `improve`."""

    steps: int
    batch: int
    seed: int = 0
    minimum_std: float | None = None
    evaluation_episodes: int = 0
    evaluate_every: int = 10
    checkpoint_every: int = 25

    def problems(self, world: AbstractWorld) -> list[str]:
        """What is wrong with these numbers, in sentences."""
        found = []
        if self.steps < 1:
            found.append(f"There is nothing to do in {self.steps} steps; ask for at least one batch of {self.batch}.")
        if self.batch < world.num_envs:
            found.append(
                f"A batch of {self.batch} steps is less than one for each of {world.num_envs} environments; raise the"
                " batch or lower num_envs."
            )
        if min(self.evaluate_every, self.checkpoint_every) < 1 or self.evaluation_episodes < 0:
            found.append("Evaluations and checkpoints come every 1 or more iterations; use positive numbers.")
        if self.minimum_std is not None and not self.minimum_std > 0:
            found.append(f"A floor under the standard deviation is positive, not {self.minimum_std}; 0.1 is usual.")
        return found


def improve(
    learner: Learner,
    policy: DensityPolicy,
    world: AbstractWorld,
    plan: Plan,
    *,
    demonstrations: Episodes | None = None,
    record: Recorder | None = None,
) -> Trained:
    """Alternate collecting in `world` and learning, for `plan.steps` environment steps (rounded up to batches).

    Iteration 0 takes no policy step where the weight has a baseline to fit or the policy has no statistics yet: its
    batch goes to them, on the policy's own rollouts, so that a clone is judged before it is moved. With
    `plan.evaluation_episodes`, the mean action is evaluated on fixed start seeds before the first step, every
    `evaluate_every` iterations and at the end, in a world of its own: the first equals the clone's `evaluate`. With
    `minimum_std` (half widths of the action box) the clone's deviation is floored first, which does not move its mean.
    A `collect` that keeps its data (DAgger) starts from `demonstrations`.

    Every `checkpoint_every` iterations a checkpoint is due (written if `record` has a run), and a host world, whose
    simulator cannot be stored, is made afresh from a seed derived from that iteration, recorded or not.

    Raises `JourneymanError` with every reason at once when this cannot run, and when an update is not finite.
    """
    check(learner, policy, world)
    found = plan.problems(world) + world_problems(policy, world)
    if demonstrations is not None:
        found += fitting_problems(policy, demonstrations)
        if not learner.collect.keeps:
            name = type(learner.collect).__name__
            found.append(f"{name} uses each batch once and has no place for demonstrations; leave them out.")
    elif learner.collect.keeps:
        found.append(f"{type(learner.collect).__name__} adds to demonstrations, and there are none; pass them.")
    refuse(found)
    record = Recorder() if record is None else record
    links = {"policy": fingerprint(policy)}
    links |= {} if demonstrations is None else {"dataset": demonstrations.fingerprint()}
    parts = {"learner": learner, "policy": policy, "plan": plan, "world": world.config()}
    record.begin("improve", parts, seed=plan.seed, links=links)
    loop = _Loop(learner, world, plan, record)
    try:
        return loop.run(loop.begin(policy, demonstrations))
    finally:
        record.close()


class _Loop:
    """The fixed surroundings of the iterations."""

    def __init__(self, learner: Learner, world: AbstractWorld, plan: Plan, record: Recorder) -> None:
        self.learner, self.world, self.plan, self.record = learner, world, plan, record
        self.num_steps = plan.batch // world.num_envs
        self.batch = self.num_steps * world.num_envs
        self.iterations = -(-plan.steps // self.batch)
        self.host = isinstance(world, AbstractHostWorld)
        self.carry: Any = None
        self.rows: list[dict[str, Any]] = []

    # -- before ----------------------------------------------------------------------------------------

    def begin(self, policy: DensityPolicy, demonstrations: Episodes | None) -> ImproveState:
        if self.plan.minimum_std is not None:
            policy = floored(policy, self.plan.minimum_std)
        if demonstrations is not None and is_fresh(policy):
            policy = observed(policy, jax.tree.map(jnp.asarray, demonstrations))
        state = initial(self.learner, policy, named_key(self.plan.seed, "initial", 0))
        memory = self._memory(state, demonstrations)
        self._renew(0)
        zero = np.asarray(0)
        first = ImproveState(state, self._kept_carry(), memory, Tally.fresh(self.world.num_envs), zero, zero, zero)
        state = self.record.restore(first)
        if self.host and int(state.iteration):
            self._renew(int(state.iteration))
            # A checkpoint out of turn (Ctrl-C) still counts episodes of a simulator that is gone.
            state = eqx.tree_at(lambda s: s.tally, state, Tally.fresh(self.world.num_envs))
        elif not self.host:
            self.carry = state.carry
        return state

    def _memory(self, state: LearnerState, demonstrations: Episodes | None) -> PyTree:
        if not self.learner.collect.keeps or demonstrations is None:
            return ()
        _, samples = weigh(self.learner, state, jax.tree.map(jnp.asarray, demonstrations))
        return Memory.of(samples, demonstrations.num_steps + self.iterations * self.batch).add(samples)

    def _renew(self, iteration: int) -> None:
        """A host world from a seed of its own, at iteration 0 and at every checkpoint."""
        if self.host and iteration:
            self.world.close()  # type: ignore[attr-defined]
        seed = int(jax.random.bits(named_key(self.plan.seed, "world", iteration), dtype=jnp.uint32) >> 1)
        self.world = self.world.remake(seed=seed)
        self.carry = start(self.world)

    def _kept_carry(self) -> PyTree:
        return () if self.host else self.carry

    # -- the loop --------------------------------------------------------------------------------------

    def run(self, state: ImproveState) -> Trained:
        total = self.iterations * self.batch
        with self.record.progress("improve", total, int(state.steps), unit="steps") as progress:
            if int(state.iteration) == 0:
                self._evaluated_before(state)
            while int(state.iteration) < self.iterations and not progress.interrupted:
                state = self._iterate(state)
                last = self.rows[-1]
                progress.advance(int(state.steps), **{n: last[n] for n in ("return", "loss") if n in last})
        self.record.finish(int(state.iteration), state, state.learner.policy)
        if self.host:
            self.world.close()  # type: ignore[attr-defined]
        return Trained(state.learner.policy, self.rows)

    def _iterate(self, state: ImproveState) -> ImproveState:
        began, index = time.perf_counter(), int(state.iteration)
        episodes = self._collect(state.learner.policy, index)
        collected = time.perf_counter()
        after, memory, metrics = self._learn(state, episodes, index)
        tally, returns, lengths = state.tally.count(episodes)
        state = ImproveState(
            after,
            self._kept_carry(),
            memory,
            tally,
            np.asarray(index + 1),
            np.asarray(state.steps + self.batch),
            np.asarray(state.episodes + len(returns)),
        )
        metrics = {name: float(value) for name, value in jax.device_get(metrics).items()}
        row = self._row(state, episodes, metrics, returns, lengths)
        learned = time.perf_counter()
        row |= self._evaluation(state)
        row["clock"] = {
            "collect_seconds": collected - began,
            "learn_seconds": learned - collected,
            "steps_per_second": self.batch / (learned - began),
        }
        self.rows.append(self.record.log(row))
        check_finite(
            int(metrics["bad_leaf"]), metrics.get("loss", float("nan")), after.policy, self.record, index + 1, state
        )
        return self._checkpoint(state)

    def _collect(self, policy: DensityPolicy, index: int) -> Episodes:
        behaviour = self.learner.collect.behaviour(policy, jnp.asarray(index))
        key = named_key(self.plan.seed, "collect", index)
        self.carry, episodes = rollout(self.world, behaviour, self.carry, key, self.num_steps)
        return episodes

    def _learn(
        self, state: ImproveState, episodes: Episodes, index: int
    ) -> tuple[LearnerState, PyTree, dict[str, Array]]:
        episodes = jax.tree.map(jnp.asarray, episodes)
        weighed, samples = weigh(self.learner, state.learner, episodes)
        memory, after, metrics = state.memory, state.learner, {"bad_leaf": jnp.asarray(-1)}
        key = named_key(self.plan.seed, "learn", index)
        if self.learner.collect.keeps:
            memory = memory.add(samples)
            samples = memory.on_device()
        if index > 0 or not self._warms_up(state.learner.policy):
            after, metrics = learn(self.learner, after, samples, key)
        if not self.learner.collect.keeps:
            after = refit(self.learner, after, episodes, weighed.target, named_key(self.plan.seed, "refit", index))
        return after, memory, {**weighed.metrics, **metrics}

    def _warms_up(self, policy: DensityPolicy) -> bool:
        return self.learner.weight.learns or is_fresh(policy)

    def _checkpoint(self, state: ImproveState) -> ImproveState:
        index = int(state.iteration)
        if index % self.plan.checkpoint_every or index == self.iterations:
            return state
        if self.host:
            self._renew(index)
            state = eqx.tree_at(lambda s: s.tally, state, Tally.fresh(self.world.num_envs))
        self.record.save(index, state)
        return state

    # -- what is told ----------------------------------------------------------------------------------

    def _row(
        self, state: ImproveState, episodes: Episodes, metrics: dict[str, float], returns: Any, lengths: Any
    ) -> dict[str, Any]:
        row: dict[str, Any] = {"step": int(state.steps), "iteration": int(state.iteration)}
        row["episodes"] = int(state.episodes)
        if len(returns):
            row |= {"finished": len(returns), "return": float(returns.mean()), "length": float(lengths.mean())}
            row["return_deviation"] = float(returns.std())
        row |= {name: value for name, value in metrics.items() if name != "bad_leaf"}
        if isinstance(self.world.action_space, Box):
            row["clipped_share"] = _clipped_share(self.world.action_space, episodes)
        return row

    def _evaluation(self, state: ImproveState) -> dict[str, float]:
        index = int(state.iteration)
        due = index % self.plan.evaluate_every == 0 or index == self.iterations
        return self._evaluate(state.learner.policy) if due else {}

    def _evaluate(self, policy: DensityPolicy) -> dict[str, float]:
        count = self.plan.evaluation_episodes
        if not count:
            return {}
        returns = play(self.world, Mean(policy), episodes=count, seed=EVALUATION_SEED).episode_returns()
        returns = returns.astype(np.float64)
        return {"evaluation_return": float(returns.mean()), "evaluation_deviation": float(returns.std())}

    def _evaluated_before(self, state: ImproveState) -> None:
        found = self._evaluate(state.learner.policy)
        if found:
            self.rows.append(self.record.log({"step": 0, "iteration": 0, "episodes": 0, **found}))


def named_key(seed: int, name: str, index: int) -> Array:
    """A random key for one purpose and one iteration: a new purpose never changes the others' numbers."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), zlib.crc32(name.encode())), index)


def world_problems(policy: DensityPolicy, world: AbstractWorld) -> list[str]:
    """Where a policy and a world disagree about observations or actions, in sentences."""
    found, reads = [], Encoder.of(world.observation_space)
    if (policy.encoder.shapes, policy.encoder.classes) != (reads.shapes, reads.classes):
        found.append(
            f"'{world.name}' shows observations of shapes {reads.shapes}, the policy reads {policy.encoder.shapes};"
            " make the policy for this world."
        )
    return found + _action_problems(policy.head, world)


def _action_problems(head: AbstractHead, world: AbstractWorld) -> list[str]:
    wanted, given = world.action_space, head.space()
    finite = isinstance(wanted, AbstractFinite)
    found = f"'{world.name}' takes {'one of finitely many' if finite else 'real'} actions of shape {wanted.shape}, a"
    found += f" {type(head).__name__} gives shape {given.shape}"
    if (wanted.shape, finite) != (given.shape, isinstance(given, AbstractFinite)):
        return [f"{found}; make the policy for this world."]
    if (
        isinstance(wanted, AbstractFinite)
        and isinstance(given, AbstractFinite)
        and (wanted.counts != given.counts).any()
    ):
        return [f"{found}, but with {given.counts} values in place of {wanted.counts}; make the policy for this world."]
    return []


def _clipped_share(space: Box, episodes: Episodes) -> float:
    action, valid = np.asarray(episodes.action), np.asarray(episodes.valid)
    outside = ((action < np.asarray(space.low)) | (action > np.asarray(space.high))).any(
        axis=tuple(range(valid.ndim, action.ndim))
    )
    return float((outside & valid).sum() / max(int(valid.sum()), 1))
