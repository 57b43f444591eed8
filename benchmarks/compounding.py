"""With which power of the horizon the cost of errors grows: 2 where they cannot be recovered, 1 where they can.

    python -m benchmarks.compounding --json

The error chain (2000 signs, 8 ways, 128 steps): policies with ε = .001 put in, on ten evaluation seeds; a clone of
12,032 demonstrated steps where nobody comes back and where everybody does; DAgger with as many labels where the expert
knows the way back and no demonstration shows it. The ridge (400 steps): a clone of two demonstrations, and DAgger.
`exponent` is that of the mean cost over the seeds (`journeyman.diagnose.exponent_over_learners`), `exponents` are those
of the seeds.

`--hopper N` adds Hopper-v5 on N seeds: a clone of eight demonstrations of the packaged expert thinned to 50 steps each,
and DAgger with 8,192 labels on top.
"""

from typing import Any

import jax

from benchmarks._measure import machine, parser, tell
from journeyman.algorithms import bc, dagger
from journeyman.collect import Mean, play
from journeyman.corrections import thin
from journeyman.diagnose import CostByHorizon, cost_by_horizon
from journeyman.experts import PolicyExpert, shipped
from journeyman.figures._compounding import CHAIN_RUNS, KNOWN, RIDGE_RUNS, learned_runs, summary, with_known_errors
from journeyman.policies import policy
from journeyman.training import EVALUATION_SEED, Plan, fit, improve
from journeyman.worlds import world

LABELS = (*CHAIN_RUNS, *(f"ridge, {one}" for one in RIDGE_RUNS))


def measure(*, seeds: int, episodes: int, first: int = 0, hopper: int = 0) -> dict[str, Any]:
    """The exponents of everything, with their intervals over seeds."""
    found, counted = {}, range(first, first + seeds)
    for label, recovery in (("never back", "never"), ("back by itself", "itself")):
        known = [with_known_errors(recovery, episodes, EVALUATION_SEED + i) for i in counted]
        found[f"ε = {KNOWN:g}, {label}"] = _told(known)
    runs = [learned_runs(seed, episodes) for seed in counted]
    found |= {label: _told([run[label] for run in runs]) for label in LABELS}
    if hopper:
        pairs = [on_hopper(seed) for seed in range(hopper)]
        found |= {
            f"Hopper-v5, {one}": _told(list(many))
            for one, many in zip(RIDGE_RUNS, zip(*pairs, strict=True), strict=True)
        }
    return {"exponents": found, "episodes": episodes, "machine": machine()}


def on_hopper(seed: int, episodes: int = 100) -> tuple[CostByHorizon, CostByHorizon]:
    """A clone of few steps, and DAgger on top of it."""
    made, master = world("Hopper-v5", num_envs=32, seed=seed), shipped("Hopper-v5")
    expert = PolicyExpert(master)
    shown = thin(play(made, Mean(master), episodes=8, seed=seed), steps_per_episode=50, seed=seed)
    fresh = policy(made, jax.random.key(seed), hidden=(64, 64))
    clone = fit(bc(epochs=200), fresh, shown, seed=seed, log_every=200, checkpoint_every=200).policy
    plan = Plan(steps=8192, batch=1024, seed=seed)
    mended = improve(dagger(expert, epochs=50), clone, made, plan, demonstrations=shown).policy
    first, second = (cost_by_horizon(acts, expert, made, episodes=episodes) for acts in (clone, mended))
    made.close()  # type: ignore[attr-defined]
    return first, second


def _told(found: list[CostByHorizon]) -> dict[str, Any]:
    said = summary(found)
    alone = {i: one.finding for i, one in enumerate(found) if said["exponents"][i] is None}
    rounded = [None if k is None else round(k, 3) for k in said["exponents"]]
    return said | {"exponents": rounded, "not_identified": alone}


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--seeds", type=int, default=10, help="learners, and evaluation seeds of the known errors")
    options.add_argument("--first", type=int, default=0, help="of these seeds")
    options.add_argument("--episodes", type=int, default=4000, help="of each policy and of the expert")
    options.add_argument("--hopper", type=int, default=0, help="seeds on Hopper-v5, 0 to leave it out")
    given = options.parse_args(arguments)
    tell(measure(seeds=given.seeds, episodes=given.episodes, first=given.first, hopper=given.hopper), given.json)


if __name__ == "__main__":
    main()
