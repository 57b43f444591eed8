"""`sweep`: many runs of one recipe as one program, over seeds and over numbers."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from journeyman.episodes import Episodes
from journeyman.parts import JourneymanError, beyond_the_last, check, fingerprint, refuse
from journeyman.policies import DensityPolicy, is_fresh
from journeyman.training._arguments import refuse_mistaken
from journeyman.training._improve import demonstration_problems, floor_problems, world_problems
from journeyman.training._iteration import stack
from journeyman.training._learner import Learner
from journeyman.training._loop import Loop
from journeyman.training._plan import Plan
from journeyman.training._recorder import Recorder
from journeyman.worlds import AbstractHostWorld, AbstractWorld


class Swept(NamedTuple):
    """The members' policies, in order, and the rows; what differs between members is a list with one number each."""

    policies: list[DensityPolicy]
    rows: Sequence[dict[str, Any]]


def sweep(
    learner: Learner | Sequence[Learner],
    policies: Sequence[DensityPolicy],
    world: AbstractWorld,
    plan: Plan,
    *,
    demonstrations: Episodes | None = None,
    record: Recorder | None = None,
) -> Swept:
    """`improve`, for every one of `policies` at once: member i is a run with seed `plan.seed + i`.

    On a pure world all members are one compiled program, mapped over a leading axis; each learns what `improve` would
    teach it alone, up to the rounding of sums that a batched product adds in another order. `learner` is one recipe for
    all, or one for each member; these may differ in numbers (a learning rate, a discount, a radius) and in nothing that
    decides shapes or the course of the program. `plan.steps` are those of each member. `demonstrations` are all
    members' own, for a weight that imitates.

    Rows, checkpoints and evaluations come as in `improve`. An update of any member that is not finite stops all, with
    the seed named; all states kept are finite. A run folder keeps the policies in `policies/SEED`.

    Raises `JourneymanError`, with every reason at once, when this cannot run: among them a world on the host, whose
    simulators cannot be mapped, and a learner that keeps its data.
    """
    if not isinstance(policies, (list, tuple)):
        raise JourneymanError("`policies` is no list, and a sweep needs a policy for each seed; pass a list of them.")
    several = isinstance(learner, (list, tuple))
    learners: list[Any] = list(learner) if several else [learner] * len(policies)
    refuse_mistaken(
        **{f"learner[{i}]": (one, Learner) for i, one in enumerate(learners if several else ())},
        **({} if several else {"learner": (learner, Learner)}),
        **{f"policies[{i}]": (one, DensityPolicy) for i, one in enumerate(policies)},
        world=(world, AbstractWorld),
        plan=(plan, Plan),
        demonstrations=(demonstrations, Episodes | None),
        record=(record, Recorder | None),
    )
    _check(learners, policies, world, plan, demonstrations)
    record = Recorder() if record is None else record
    pooled, together = _pooled(learners), stack(list(policies))
    links = {"policies": fingerprint(together)}
    links |= {} if demonstrations is None else {"dataset": demonstrations.fingerprint()}
    parts = {"learner": pooled, "policies": tuple(policies), "plan": plan, "world": world.config()}
    record.begin("sweep", parts, seed=plan.seed, links=links)
    loop = Loop(pooled, world, plan, record, members=len(policies))
    try:
        state = loop.run(loop.begin(policies, demonstrations))
        return record.whole(Swept(loop.apart(state.running.learner.policy), loop.told()))
    finally:
        record.close()


def _check(
    learners: Sequence[Learner],
    policies: Sequence[DensityPolicy],
    world: AbstractWorld,
    plan: Plan,
    demonstrations: Episodes | None,
) -> None:
    if not policies:
        raise JourneymanError("A sweep needs at least one policy to start from, and there is none; pass one a seed.")
    found = plan.problems(world, *learners) + floor_problems(plan, policies[0])
    found += beyond_the_last(plan.seed, len(policies))
    if isinstance(world, AbstractHostWorld):
        found.append(
            f"'{world.called}' is a simulator on the host and cannot be mapped over seeds; run `improve` once for each"
            " seed."
        )
    if len(learners) != len(policies):
        found.append(f"There are {len(learners)} learners for {len(policies)} policies; give one for all or one each.")
    if any(one.collect.keeps for one in learners):
        name = type(learners[0].collect).__name__
        found.append(f"{name} keeps its data on the host and cannot be mapped over seeds; run `improve` for each seed.")
    elif learners:
        found += demonstration_problems(learners[0], policies[0], demonstrations)
    forms = {_form(policy) for policy in policies}
    if len(forms) > 1:
        found.append("The policies of a sweep must have one architecture, and these differ; make them alike.")
    if len({is_fresh(policy) for policy in policies}) > 1:
        found.append(
            "Some policies of the sweep have seen data and some are fresh: the first batch would be used differently;"
            " start from one kind."
        )
    found += _differences(learners) + world_problems(policies[0], world)
    refuse(found)
    for one in learners:
        check(one, policies[0], world)


def _form(tree: Any) -> Any:
    """Everything about a tree but the values of its arrays."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, tuple((leaf.shape, leaf.dtype) if eqx.is_array(leaf) else leaf for leaf in leaves)


def _differences(learners: Sequence[Learner]) -> list[str]:
    """Where learners differ in more than numbers, in sentences."""
    first = jax.tree_util.tree_leaves_with_path(learners[0])
    found = []
    for number, one in enumerate(learners[1:], 1):
        if jax.tree.structure(one) != jax.tree.structure(learners[0]):
            found.append(
                f"Learner {number} differs from learner 0 in its parts, or in a number that decides shapes or the"
                " course of the program; a sweep is over numbers that only enter arithmetic."
            )
            continue
        found += [
            f"Learner {number} has {a!r} where learner 0 has {b!r} in '{jax.tree_util.keystr(path)}'; a sweep is over"
            " numbers."
            for (path, b), a in zip(first, jax.tree.leaves(one), strict=True)
            if not _is_number(a) and a is not b and a != b
        ]
    return found


def _is_number(leaf: Any) -> bool:
    return isinstance(leaf, (int, float, jax.Array, np.ndarray)) and not isinstance(leaf, bool)


def _pooled(learners: Sequence[Learner]) -> Learner:
    """One learner whose arrays lead with the members; a number that all share stays a number."""

    def one(*leaves: Any) -> Any:
        if isinstance(leaves[0], (jax.Array, np.ndarray)):
            return jnp.stack([jnp.asarray(leaf) for leaf in leaves])
        return leaves[0] if all(leaf == leaves[0] for leaf in leaves) else jnp.asarray(leaves, jnp.result_type(float))

    return jax.tree.map(one, *learners)
