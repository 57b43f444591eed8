"""`improve`: collect, weigh, step, again. Needs a world."""

import jax

from journeyman.collect import AbstractAggregation, misfits, world_problems
from journeyman.episodes import Episodes
from journeyman.parts import JourneymanError, check, fingerprint, problems, refuse
from journeyman.policies import DensityPolicy, floored
from journeyman.training._arguments import refuse_mistaken
from journeyman.training._fit import Trained, fitting_problems
from journeyman.training._learner import Learner
from journeyman.training._loop import Loop
from journeyman.training._plan import Plan
from journeyman.training._recorder import Recorder
from journeyman.worlds import AbstractWorld


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
    A `collect` that keeps its data (DAgger) starts from `demonstrations`, a weight that imitates (`Occupancy`) compares
    with them.

    Every `checkpoint_every` iterations (left out: 25, on a host world at least as many as four of its longest episodes
    take) a checkpoint is due, written if `record` has a run; and a host world, whose simulator cannot be stored, is
    made afresh from a seed derived from that iteration, recorded or not. Where a batch
    is shorter than the horizon, `staggered` begins some environments anew between the first batches, so that not all
    stand at the same step for ever; what they had gathered of an episode counts in no `return`.

    Raises `JourneymanError` with every reason at once when this cannot run, and when an update is not finite;
    `Interrupted`, with what was learned, after Ctrl-C.
    """
    refuse_mistaken(
        learner=(learner, Learner),
        policy=(policy, DensityPolicy),
        world=(world, AbstractWorld),
        plan=(plan, Plan),
        demonstrations=(demonstrations, Episodes | None),
        record=(record, Recorder | None),
    )
    check(learner, policy, world)
    found = plan.problems(world, learner) + world_problems(policy, world)
    found += floor_problems(plan, policy) + demonstration_problems(learner, policy, demonstrations)
    if isinstance(learner.collect, AbstractAggregation):
        # An expert that is a policy too would give what its learner lacks.
        found += problems(learner.collect.query, policy)
        found += misfits("expert", learner.collect.expert.label, world, jax.random.key(0))
    refuse(found)
    record = Recorder() if record is None else record
    links = {"policy": fingerprint(policy)}
    links |= {} if demonstrations is None else {"dataset": demonstrations.fingerprint()}
    parts = {"learner": learner, "policy": policy, "plan": plan, "world": world.config()}
    record.begin("improve", parts, seed=plan.seed, links=links)
    loop = Loop(learner, world, plan, record)
    try:
        state = loop.run(loop.begin([policy], demonstrations))
        return record.whole(Trained(state.running.learner.policy, loop.told()))
    finally:
        record.close()


def floor_problems(plan: Plan, policy: DensityPolicy) -> list[str]:
    """Why a policy cannot have the plan's floor; `Plan.problems` tells of one that is not positive."""
    try:
        if plan.minimum_std is not None and plan.minimum_std > 0:
            floored(policy, plan.minimum_std)
    except JourneymanError as refused:
        return list(refused.problems)
    return []


def demonstration_problems(learner: Learner, policy: DensityPolicy, shown: Episodes | None) -> list[str]:
    """Whether a learner has the demonstrations that it needs, and a place for those it is given, in sentences."""
    if shown is None:
        found = []
        if learner.collect.keeps:
            found.append(f"{type(learner.collect).__name__} adds to demonstrations, and there are none; pass them.")
        if learner.weight.imitates:
            name = type(learner.weight).__name__
            found.append(f"{name} compares with demonstrations, and there are none; pass them.")
        return found
    found = fitting_problems(policy, shown)
    if not shown.num_steps:
        found.append("The demonstrations hold no valid step, so there is nothing to imitate; pass at least one.")
    if not learner.collect.keeps and not learner.weight.imitates:
        name = type(learner.collect).__name__
        found.append(f"{name} uses each batch once and has no place for demonstrations; leave them out.")
    return found
