"""The loop of `improve` and of `sweep`: what happens between two iterations, and what is told of them."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from journeyman._refusals import EVALUATION_SEED
from journeyman.collect import Mean, play, play_each, rollout, start
from journeyman.episodes import Episodes
from journeyman.parts import uncollected
from journeyman.policies import DensityPolicy, floored, is_fresh
from journeyman.training._committee import convened
from journeyman.training._iteration import (
    ROOM,
    Row,
    Running,
    begin_anew,
    concurrently,
    count,
    digest,
    member,
    named_key,
    several,
    stack,
    strict,
    together,
)
from journeyman.training._kept import Round, learned_from_all
from journeyman.training._learner import Learner, LearnerState, initial, observed, weigh
from journeyman.training._memory import Memory
from journeyman.training._plan import Plan
from journeyman.training._recorder import Recorder, check_finite
from journeyman.training._steps import refusal
from journeyman.training._tally import Tally
from journeyman.worlds import AbstractHostWorld, AbstractPureWorld, AbstractWorld

_PIECE = 0.5
"""Seconds after which the host looks at a compiled loop, for the bar, the log and Ctrl-C; it changes no number."""


class ImproveState(eqx.Module):
    """Everything that changes while improving; a checkpoint is this and nothing else.

    A host world is not in it: it is made afresh from a derived seed at every checkpoint instead.
    """

    running: Running
    memory: PyTree
    iteration: np.ndarray


class Loop:
    """The fixed surroundings of the iterations. With `members`, that many runs are one: see `sweep`."""

    def __init__(
        self, learner: Learner, world: AbstractWorld, plan: Plan, record: Recorder, members: int | None = None
    ) -> None:
        self.learner, self.world, self.plan, self.record, self.members = learner, world, plan, record, members
        self.batch = plan.taken(world)
        self.num_steps = self.batch // world.num_envs
        self.iterations = -(-plan.steps // self.batch)
        self.host = isinstance(world, AbstractHostWorld)
        self.checkpoint_every = plan.checkpoint_every or self._usual()
        self.compiled = not (self.host or learner.collect.keeps)
        self.roots = [jax.random.key(plan.seed + i) for i in range(members or 1)]
        self.root = jnp.stack(self.roots) if members else self.roots[0]
        self.warm = jnp.zeros((), bool)
        self.carry: Any = ()
        self.start: Any = None
        self.rows: list[dict[str, Any]] = []
        self.made, self.shown = 0, 0  # when the world was made, and how many steps were demonstrated
        self._piece, self._pace = 1, 0.0

    def _usual(self) -> int:
        """25 iterations; a simulator that is made afresh at each should have seen four whole episodes by then."""
        parts = -(-self.world.horizon // self.num_steps) if self.host and self.world.horizon else 0
        return max(25, 4 * parts)

    # -- before ----------------------------------------------------------------------------------------

    @uncollected()
    def begin(self, policies: Sequence[DensityPolicy], demonstrations: Episodes | None = None) -> ImproveState:
        """The state before iteration 0, or the one of the checkpoint that is resumed."""
        each = [self._running(one, root, demonstrations) for one, root in zip(policies, self.roots, strict=True)]
        # What a fresh policy or an unfitted baseline makes of its first batch is no reason to move.
        self.warm = jnp.asarray(self.learner.weight.learns or any(is_fresh(one.learner.policy) for one in each))
        running = strict(stack(each) if self.members else each[0])
        memory = self._memory(running.learner, demonstrations)
        state = self.record.restore(ImproveState(running, memory, np.asarray(0)))
        if self.host and int(state.iteration):
            # A checkpoint out of turn (Ctrl-C) still counts episodes of a simulator that is gone.
            state = self._renewed(state)
        return state

    def _running(self, policy: DensityPolicy, root: Array, demonstrations: Episodes | None) -> Running:
        if self.plan.minimum_std is not None:
            policy = floored(policy, self.plan.minimum_std)
        if demonstrations is not None and is_fresh(policy):
            policy = observed(policy, jax.tree.map(jnp.asarray, demonstrations))
        state = initial(self.learner, policy, named_key(root, "initial", 0), self.world.action_space, demonstrations)
        if self.learner.collect.keeps:
            committee = convened(self.learner, policy, named_key(root, "convene", 0))
            state = dataclasses.replace(state, committee=committee)
        carry = self._start(root, 0)
        return Running(state, () if self.host else carry, Tally.fresh(self.world.num_envs), jnp.zeros((), jnp.int32))

    def _memory(self, state: LearnerState, demonstrations: Episodes | None) -> PyTree:
        if not self.learner.collect.keeps or demonstrations is None:
            return ()
        self.start, self.shown = state.policy, demonstrations.num_steps
        _, samples = weigh(self.learner, state, jax.tree.map(jnp.asarray, demonstrations))
        return Memory.of(samples, demonstrations.num_steps + self.iterations * self.batch).add(samples)

    def _start(self, root: Array, iteration: int) -> PyTree:
        """The world from a seed of its own, at iteration 0 and, on the host, at every checkpoint."""
        if self.host and iteration:
            self.world.close()  # type: ignore[attr-defined]
        seed = int(jax.random.bits(named_key(root, "world", iteration), dtype=jnp.uint32) >> 1)
        self.world = self.world.remake(seed=seed)
        self.carry, self.made = start(self.world), iteration
        return self.carry

    def _renewed(self, state: ImproveState) -> ImproveState:
        """A host world made afresh, and no episode under way."""
        self._start(self.root, int(state.iteration))
        return eqx.tree_at(lambda s: s.running.tally, state, Tally.fresh(self.world.num_envs))

    # -- the loop --------------------------------------------------------------------------------------

    def run(self, state: ImproveState) -> ImproveState:
        """All iterations that are left."""
        total = self.iterations * self.batch
        with self.record.progress("improve", total, self.steps(state), unit="steps") as progress:
            advance = self._first
            while int(state.iteration) < self.iterations and not progress.interrupted:
                state, advance = advance(state), self.advance
                shown = {name: np.mean(self.rows[-1][name]) for name in ("return", "loss") if name in self.rows[-1]}
                progress.advance(self.steps(state), **shown)
        policy = state.running.learner.policy
        self.record.finish(int(state.iteration), state, self.apart(policy), self.plan.seed)
        if self.host:
            self.world.close()  # type: ignore[attr-defined]
        return state

    @uncollected()
    def _first(self, state: ImproveState) -> ImproveState:
        """What traces all programs: the evaluation before iteration 0, and the first piece."""
        found = {} if int(state.iteration) else self._evaluate(state.running.learner.policy)
        if found:
            none = 0 if self.members is None else [0] * self.members
            self._tell({"step": 0, "iteration": 0, "episodes": none, **found})
        return self.advance(state)

    def advance(self, state: ImproveState) -> ImproveState:
        """One iteration, or as many as one program runs before something is due; logged, checked and kept."""
        began, index = time.perf_counter(), int(state.iteration)
        state, rows = self._several(state, index) if self.compiled else self._one(state, index)
        seconds = (time.perf_counter() - began) / len(rows)
        clock = {"seconds": seconds, "steps_per_second": self.batch * (self.members or 1) / seconds}
        for number, row in enumerate(rows, 1):
            told = self._row(row, index + number)
            if number == len(rows):
                told |= self._evaluation(state)
            told["clock"] = {**clock, **row.get("clock", {})}
            self._tell(told)
        self._check(rows[-1], state)
        return self._checkpoint(state)

    def _several(self, state: ImproveState, index: int) -> tuple[ImproveState, list[dict[str, Any]]]:
        """The iterations up to the next that something is due after, as one program."""
        began, until = time.perf_counter(), min(self._due(index), index + self._piece)
        ends = (jnp.asarray(i, jnp.int32) for i in (index, until))
        group = together(self.members) if self.members and jax.default_backend() == "cpu" else self.members
        options: dict[str, Any] = {"group": group, "staggered": self.plan.staggered, "num_steps": self.num_steps}
        world = self.world.remake(seed=0)  # its seed is spent; another one would be another program
        running, rows, reached = several(self.learner, world, state.running, self.root, *ends, self.warm, **options)
        rows, until = jax.device_get(rows), int(reached)
        seconds = time.perf_counter() - began
        if self._piece > 1 or self._pace:  # the first piece is the compiler's work
            self._pace = seconds / (until - index)
        self._piece = int(max(1, min(ROOM, 2 * self._piece, _PIECE / max(self._pace, 1e-9))))
        found = [jax.tree.map(lambda leaf, i=i: leaf[i], rows) for i in range(until - index)]
        return ImproveState(running, (), np.asarray(until)), found

    def _due(self, index: int) -> int:
        """The next iteration after which there is something to do on the host."""
        every = [self.checkpoint_every, *([self.plan.evaluate_every] if self.plan.evaluation_episodes else [])]
        return min(self.iterations, index + ROOM, *(index - index % n + n for n in every))

    def _one(self, state: ImproveState, index: int) -> tuple[ImproveState, list[dict[str, Any]]]:
        """One iteration whose data is gathered on the host."""
        began, running, number = time.perf_counter(), state.running, jnp.asarray(index, jnp.int32)
        before = self.carry if self.host else running.carry
        behaviour = self.learner.collect.behaviour(running.learner.policy, running.learner.collect, number)
        key = named_key(self.root, "collect", index)
        carry, episodes = rollout(self.world, behaviour, before, key, self.num_steps)
        broken = jnp.asarray(int(np.asarray(carry.broken).sum() - np.asarray(before.broken).sum()), jnp.int32)
        collected = time.perf_counter()
        if self.host:
            self.carry = carry
        episodes = jax.tree.map(jnp.asarray, episodes)
        running = Running(running.learner, () if self.host else carry, running.tally, running.episodes)
        memory, space = state.memory, self.world.action_space
        if self.learner.collect.keeps:
            running, memory, row = self._kept(running, memory, episodes, broken, index)
        else:
            numbers = (broken, self.root, number, self.warm)
            running, row = digest(self.learner, space, running, episodes, *numbers, beside=concurrently)
        if self.plan.staggered:
            running = self._begun_anew(running, index + 1)
        found: dict[str, Any] = jax.device_get(row)
        found["clock"] = {
            "collect_seconds": collected - began,
            "learn_seconds": time.perf_counter() - collected,
        }
        return ImproveState(running, memory, np.asarray(index + 1)), [found]

    def _begun_anew(self, running: Running, index: int) -> Running:
        """Before iteration `index`, some environments out of step with the others, on the host and outside."""
        carry, rollouts = (self.carry, index - self.made) if self.host else (running.carry, index)
        key = named_key(self.root, "begin", index - 1)
        carry, tally = begin_anew(self.world, carry, running.tally, key, self.num_steps, rollouts)
        if self.host:
            self.carry, carry = carry, ()
        return Running(running.learner, carry, tally, running.episodes)

    def _kept(
        self, running: Running, memory: Memory, episodes: Episodes, broken: Array, index: int
    ) -> tuple[Running, Memory, Row]:
        """A learner that keeps all its data: the batch is added, and all of it is learned from."""
        now = Round(index, self.root, self.start, self.shown, still=index == 0 and bool(self.warm))
        space = self.world.action_space
        after, memory, row = learned_from_all(self.learner, running.learner, memory, episodes, space, now)
        moved = Running(after, running.carry, running.tally, running.episodes)
        running, counted = count(moved, space, episodes, broken)
        return running, memory, {"counted": counted, **row}

    def _check(self, row: dict[str, Any], state: ImproveState) -> None:
        """Stop where weights or an update were not finite; the state is the last finite one."""
        learned, policy = {**row["weighed"], **row["learned"]}, state.running.learner.policy
        names = ("bad_leaf", "loss", "bad_weights")
        bad, loss, weights = (np.atleast_1d(np.asarray(learned.get(n, np.nan))) for n in names)
        for which in np.flatnonzero((bad >= 0) | (weights > 0))[:1].tolist():
            whose = "" if self.members is None else f" of seed {self.plan.seed + which}"
            found = (int(bad[which]), float(loss[which]), self.apart(policy), self.record, int(state.iteration), state)
            check_finite(*found, seed=self.plan.seed, whose=whose, bad_weights=int(weights[which]))

    def _checkpoint(self, state: ImproveState) -> ImproveState:
        index = int(state.iteration)
        if index % self.checkpoint_every or index == self.iterations:
            return state
        if self.host:
            state = self._renewed(state)
        self.record.save(index, state)
        return state

    # -- what is told ----------------------------------------------------------------------------------

    def steps(self, state: ImproveState) -> int:
        """Environment steps of each member so far."""
        return int(state.iteration) * self.batch

    def apart(self, tree: PyTree) -> list[PyTree]:
        """The members of a sweep one by one; of a single run, the only one."""
        return [tree] if self.members is None else [member(tree, i) for i in range(self.members)]

    def _row(self, row: dict[str, Any], iteration: int) -> dict[str, Any]:
        told: dict[str, Any] = {"step": iteration * self.batch, "iteration": iteration}
        counted = dict(row["counted"])
        if not np.any(counted["finished"]):  # a mean over no episode says nothing
            without = {"return", "return_deviation", "length", "finished"}
            counted = {n: v for n, v in counted.items() if n not in without}
        learned = row["learned"] if iteration > 1 or not self.warm else {}
        numbers = {**counted, **row["weighed"], **learned}
        named = {name: value.tolist() for name, value in numbers.items() if not name.startswith("bad_")}
        if np.any(named.pop("refused", 0)):
            told["refused"] = self._refused({"refused": learned["refused"].tolist(), **named})
        return told | named

    def _refused(self, named: dict[str, Any]) -> Any:
        """Why a step was refused, in words; in a sweep, one for each member."""
        if self.members is None:
            return refusal(named)
        return [refusal({name: values[i] for name, values in named.items()}) for i in range(self.members)]

    def _evaluation(self, state: ImproveState) -> dict[str, Any]:
        index = int(state.iteration)
        due = index % self.plan.evaluate_every == 0 or index == self.iterations
        return self._evaluate(state.running.learner.policy) if due else {}

    def _evaluate(self, policy: DensityPolicy) -> dict[str, Any]:
        if not self.plan.evaluation_episodes:
            return {}
        options = {"episodes": self.plan.evaluation_episodes, "seed": EVALUATION_SEED}
        if self.members is None:
            played = [play(self.world, Mean(policy), **options)]
        else:
            assert isinstance(self.world, AbstractPureWorld)  # `sweep` refuses others
            played = play_each(self.world, Mean(policy), members=self.members, **options)
        returns = [one.episode_returns().astype(np.float64) for one in played]
        means, deviations = ([float(measure(one)) for one in returns] for measure in (np.mean, np.std))
        found = {"evaluation_return": means, "evaluation_deviation": deviations}
        return found if self.members else {name: values[0] for name, values in found.items()}

    def _tell(self, row: dict[str, Any]) -> None:
        """Log a row; where the folder has it, only the newest is held, so that memory does not grow with steps."""
        if self.record.keeps_rows:
            self.rows.clear()
        self.rows.append(self.record.log(row))

    def told(self) -> Sequence[dict[str, Any]]:
        """All rows of this process."""
        return self.record.rows() if self.record.keeps_rows else self.rows
