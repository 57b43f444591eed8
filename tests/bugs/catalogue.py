"""Mistakes that were made elsewhere, or that are easy to make, each with the test of this library that must fail."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman import collect, episodes, geometry, objectives, policies, training, verify, weights
from journeyman.diagnose._resampled import Moments
from journeyman.geometry import _metric
from journeyman.training._memory import Memory
from journeyman.weights import _scaling, _weights
from journeyman.worlds import LinearQuadratic
from tests.bugs.planting import Bug, replace, wrap

Plant = Callable[[pytest.MonkeyPatch], None]
ADVANTAGES = "tests/weights/test_advantages.py"
LIKELIHOOD = "tests/objectives/test_likelihood.py"
STEPS = "tests/training/test_steps.py"
FISHER = "tests/geometry/test_fisher.py"
ROLLOUT = "tests/collect/test_rollout.py"
BEHAVIOUR = "tests/collect/test_behaviour.py"
HERE = "tests/bugs/test_conventions.py"


def function(original: Any, change: Callable[[Any], Any]) -> Plant:
    """A module's function becomes `change(original)`."""
    return lambda patch: replace(patch, original, change(original))


def method(owner: type, name: str, change: Callable[[Any], Any]) -> Plant:
    """A method becomes `change(original)`."""
    return lambda patch: wrap(patch, owner, name, change)


def told(e: Any, **fields: Any) -> Any:
    """Episodes with other fields, whatever the invariants say."""
    names = list(fields)
    return eqx.tree_at(lambda x: [getattr(x, n) for n in names], e, [fields[n] for n in names])


# -- returns, advantages and their scaling --------------------------------------------------------------


def _across_ends(original: Any) -> Any:
    def planted(e: Any, value: Any, *, discount: float, lambda_: float) -> Any:
        going = 1 - jnp.asarray(e.terminated, value.dtype)
        delta = jnp.asarray(e.reward) + discount * going * value[..., 1:] - value[..., :-1]
        total, found = jnp.zeros(delta.shape[:-1]), []
        for t in reversed(range(delta.shape[-1])):
            total = delta[..., t] + discount * lambda_ * total
            found.insert(0, total)
        return jnp.stack(found, -1)

    return planted


def _ends_as(terminated: bool) -> Callable[[Any], Any]:
    def change(original: Any) -> Any:
        def planted(e: Any, value: Any, **options: Any) -> Any:
            ends, none = np.asarray(e.ended), np.zeros_like(e.ended)
            both = (ends, none) if terminated else (none, ends)
            return original(told(e, terminated=both[0], truncated=both[1]), value, **options)

        return planted

    return change


def _by_place(original: Any) -> Any:
    def planted(weight: Any, e: Any, discount: float, apply: bool) -> Any:
        place = jnp.broadcast_to(jnp.arange(weight.shape[-1], dtype=weight.dtype), weight.shape)
        return weight * discount**place if apply else weight

    return planted


RETURNS = [
    Bug(
        "advantages are divided by their variance",
        "garage, torch VPG",
        function(_scaling.batch_deviation, lambda f: lambda *a: jnp.square(f(*a))),
        f"{ADVANTAGES}::test_standardised_advantages_have_mean_zero_and_deviation_one_over_valid_steps",
    ),
    Bug(
        "padding is counted into the mean advantage",
        "easy to make",
        function(_scaling._summed, lambda f: lambda numbers, valid: numbers.mean()),
        f"{ADVANTAGES}::test_standardised_advantages_have_mean_zero_and_deviation_one_over_valid_steps",
    ),
    Bug(
        "a truncation is taken for a termination",
        "CleanRL, PureJaxRL, Rejax",
        function(weights.advantages, _ends_as(terminated=True)),
        f"{ADVANTAGES}::test_generalised_advantages_by_hand",
    ),
    Bug(
        "a termination is taken for a truncation",
        "easy to make",
        function(weights.advantages, _ends_as(terminated=False)),
        f"{ADVANTAGES}::test_generalised_advantages_by_hand",
    ),
    Bug(
        "advantages run across the ends of episodes",
        "easy to make",
        function(weights.advantages, _across_ends),
        f"{ADVANTAGES}::test_generalised_advantages_by_hand",
    ),
    Bug(
        "λ is forgotten",
        "easy to make",
        function(
            weights.advantages, lambda f: lambda e, v, *, discount, lambda_: f(e, v, discount=discount, lambda_=1.0)
        ),
        f"{ADVANTAGES}::test_generalised_advantages_by_hand",
    ),
    Bug(
        "the discount is one step off",
        "easy to make",
        function(episodes._discounted_returns, lambda f: lambda r, e, v, d: d * f(r, e, v, d)),
        f"{ADVANTAGES}::test_rewards_to_go_and_full_returns_by_hand",
    ),
    Bug(
        "the reward-to-go is summed from the first step",
        "the lecture's slide on value regression",
        method(
            weights.RewardToGo, "__call__", lambda f: lambda self, state, e: weights.Return(self.discount)(state, e)
        ),
        f"{ADVANTAGES}::test_rewards_to_go_and_full_returns_by_hand",
    ),
    Bug(
        "γᵗ counts steps of the stream, not of the episode",
        "easy to make",
        function(_weights._discount_states, _by_place),
        f"{ADVANTAGES}::test_rewards_to_go_and_full_returns_by_hand",
    ),
    Bug(
        "a baseline leaves nothing out: it has seen the return it is subtracted from",
        "GPOMDP baselines estimated on their own batch (MushroomRL, potion)",
        method(
            weights.LeaveOneOutBaseline,
            "value",
            lambda f: (
                lambda self, state, e, returns: weights.ConstantBaseline().value(
                    jnp.where(e.valid, returns, 0.0).sum() / float(e.valid.sum()), e, returns
                )
            ),
        ),
        f"{HERE}::test_a_baseline_does_not_know_the_return_it_is_subtracted_from",
    ),
]

# -- the loss -------------------------------------------------------------------------------------------


def _all_steps(original: Any) -> Any:
    def planted(self: Any, samples: Any) -> Any:
        return jnp.asarray(float(samples.valid.shape[0]))

    return planted


def _rows_as_data(patch: pytest.MonkeyPatch) -> None:
    original = objectives.Samples.of

    def planted(cls: type, e: Any, weight: Any) -> Any:
        found = original(e, jnp.ones_like(weight))
        return eqx.tree_at(lambda s: (s.valid, s.weight), found, (jnp.ones_like(found.valid),) * 2)

    patch.setattr(objectives.Samples, "of", classmethod(planted))


def _negative(original: Any) -> Any:
    def planted(self: Any, policy: Any, samples: Any) -> Any:
        loss, metrics = original(self, policy, samples)
        return -loss, metrics

    return planted


LOSS = [
    Bug(
        "a short batch is divided by the full batch size",
        "easy to make",
        method(objectives.WeightedLogLikelihood, "divisor", _all_steps),
        f"{LIKELIHOOD}::test_a_short_batch_is_divided_by_its_own_valid_samples",
        {"normalizer": "steps"},
    ),
    Bug(
        "padding rows are fitted as data",
        "Ajax, cloning",
        _rows_as_data,
        f"{HERE}::test_padding_is_not_fitted",
    ),
    Bug(
        "padding is masked by a product: 0 · nan",
        "easy to make",
        method(objectives.Samples, "cleared", lambda f: lambda self: self),
        f"{LIKELIHOOD}::test_padding_may_hold_anything",
        {"normalizer": "steps"},
    ),
    Bug(
        "the loss has the wrong sign",
        "easy to make",
        method(objectives.WeightedLogLikelihood, "measure", _negative),
        f"{LIKELIHOOD}::test_the_three_divisors_by_hand",
    ),
    Bug(
        "steps are divided where episodes should be",
        "easy to make",
        method(
            objectives.WeightedLogLikelihood,
            "divisor",
            lambda f: lambda self, s: jnp.maximum(s.valid.sum(), 1.0),
        ),
        f"{LIKELIHOOD}::test_the_three_divisors_by_hand",
    ),
]

# -- the metric and the step ----------------------------------------------------------------------------


def _scaled_update(factor: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    def change(original: Any) -> Any:
        def planted(self: Any, direction: Any, *rest: Any) -> Any:
            update, state, metrics = original(self, direction, *rest)
            by = factor(self, direction)
            return jax.tree.map(lambda u: by * u, update), state, metrics

        return planted

    return change


class _Remade(NamedTuple):
    """A `Factor` that can be made again from the samples at other places."""

    forward: Any
    metric: Any
    again: Any


def _redrawn(patch: pytest.MonkeyPatch) -> None:
    factor, product = geometry.Fisher.factor, _metric._product

    def remade(self: Any, policy: Any, samples: Any) -> Any:
        again = lambda places: factor(self, policy, samples.take(places))  # noqa: E731
        return _Remade(*factor(self, policy, samples), (again, samples.valid.shape[0]))

    def planted(found: Any, policy: Any) -> Any:
        again, count = found.again

        def one(vector: Any) -> Any:
            bits = sum(jnp.abs(leaf).sum() for leaf in jax.tree.leaves(vector)) * 1e6
            places = jax.random.randint(jax.random.key(bits.astype(jnp.int32)), (count,), 0, count - 1)
            return product(again(places), policy)(vector)

        return one

    patch.setattr(geometry.Fisher, "factor", remade)
    replace(patch, product, planted)


def _less(original: Any) -> Any:
    """v ↦ Fv − v/5."""

    def planted(factor: Any, policy: Any) -> Any:
        product = original(factor, policy)
        return lambda vector: jax.tree.map(lambda a, b: a - 0.2 * b, product(vector), vector)

    return planted


METRIC = [
    Bug(
        "the step has no square root: trust_region_size · F⁻¹g",
        "tianshou, NPG",
        method(
            training.KLRadius,
            "__call__",
            _scaled_update(lambda self, d: self.kl / jnp.sqrt(2 * self.kl / jnp.maximum(d.curvature, 1e-20))),
        ),
        f"{STEPS}::test_damping_turns_the_step_and_leaves_its_length",
        {"damping": 1.0},
    ),
    Bug(
        "the factor ½ of the KL's expansion is lost",
        "mjrl's normalized_step_size; the lecture's slide",
        method(training.KLRadius, "__call__", _scaled_update(lambda self, d: 0.5**0.5)),
        f"{STEPS}::test_damping_turns_the_step_and_leaves_its_length",
        {"damping": 1.0},
    ),
    Bug(
        "the step divides by gᵀd, with the damping inside",
        "mjrl, NPG",
        method(training.KLRadius, "__call__", _scaled_update(lambda self, d: jnp.sqrt(d.curvature / d.slope))),
        f"{STEPS}::test_damping_turns_the_step_and_leaves_its_length",
        {"damping": 1.0},
    ),
    Bug(
        "a natural step goes downhill",
        "easy to make",
        method(training.KLRadius, "__call__", _scaled_update(lambda self, d: -1.0)),
        f"{HERE}::test_a_step_makes_good_actions_likelier",
        {"recipe": "natural"},
    ),
    Bug(
        "a plain step goes downhill",
        "easy to make",
        method(training.Adam, "__call__", _scaled_update(lambda self, d: -1.0)),
        f"{HERE}::test_a_step_makes_good_actions_likelier",
        {"recipe": "plain"},
    ),
    Bug(
        "samples are redrawn at every iteration of conjugate gradients",
        "mjrl, hvp_sample_frac",
        _redrawn,
        f"{FISHER}::test_conjugate_gradients_solve_the_damped_system_and_report_it",
        {"name": "gaussian"},
    ),
    Bug(
        "the damping is subtracted",
        "easy to make",
        function(_metric._product, _less),
        f"{FISHER}::test_conjugate_gradients_solve_the_damped_system_and_report_it",
        {"name": "categorical"},
    ),
    Bug(
        "the metric is divided by padded rows too",
        "easy to make",
        function(_metric._share, lambda f: lambda samples: samples.valid / samples.valid.shape[0]),
        f"{FISHER}::test_conjugate_gradients_solve_the_damped_system_and_report_it",
        {"name": "gaussian by state"},
    ),
]

# -- collecting -----------------------------------------------------------------------------------------


def _rolled(change: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    def planting(original: Any) -> Any:
        def planted(world: Any, *rest: Any) -> Any:
            carry, found = original(world, *rest)
            return carry, change(world, found)

        return planted

    return planting


def _reset_as_last(world: Any, e: Any) -> Any:
    """The observation after an end becomes the next episode's first."""
    seen = np.array(e.observation)
    for row, t in np.argwhere(np.asarray(e.ended)):
        seen[row, t + 1] = seen[row, min(t + 2, seen.shape[1] - 1)]
    return told(e, observation=seen)


def _said(change: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    """`change(told, action)` of what a behaviour tells."""

    def planting(original: Any) -> Any:
        return lambda self, seen, action, kept: change(original(self, seen, action, kept), action)

    return planting


def _noisy(told: Any, action: Any) -> Any:
    return told._replace(target=told.target + 0.05 * jax.random.normal(jax.random.key(0), told.target.shape))


def _centred(original: Any) -> Any:
    def planted(self: Any, covariance: Any, error: Any, valid: Any) -> Any:
        mean = error[np.asarray(valid)].mean(axis=0)
        return original(self, covariance, error - jnp.broadcast_to(mean, error.shape), valid)

    return planted


def _newest_only(original: Any) -> Any:
    def planted(self: Any, more: Any) -> Any:
        empty = Memory(jax.tree.map(np.zeros_like, self.samples), np.zeros((), np.int64))
        return original(empty, more)

    return planted


def _first_to_end(original: Any) -> Any:
    def planted(world: Any, behaviour: Any, *, episodes: int, seed: int, width: int = 64) -> Any:
        many = original(world, behaviour, episodes=4 * episodes, seed=seed, width=episodes)
        done = np.asarray(many.ended).sum(0).cumsum() >= episodes
        return many.cut(0, int(np.argmax(done)) + 1)

    return planted


def _resets_alike(patch: pytest.MonkeyPatch) -> None:
    jax.clear_caches()  # a rollout that was compiled before would not know
    wrap(patch, LinearQuadratic, "reset", lambda f: lambda self, key: f(self, jax.random.key(0)))


COLLECTING = [
    Bug(
        "the clipped action is stored with the density of the unclipped one",
        "lerax",
        function(
            collect.rollout,
            _rolled(
                lambda w, e: told(
                    e, action=jnp.clip(e.action, float(np.min(w.action_space.low)), float(np.max(w.action_space.high)))
                )
            ),
        ),
        f"{ROLLOUT}::test_the_box_clips_what_is_done_and_not_what_was_said",
    ),
    Bug(
        "the last observation is replaced by the next episode's first",
        "Ajax; autoreset without a final observation",
        function(collect.rollout, _rolled(_reset_as_last)),
        f"{ROLLOUT}::test_an_end_is_followed_by_one_invalid_step_and_nothing_is_lost",
    ),
    Bug(
        "the step that only resets is learned from",
        "Gymnasium's next-step autoreset, unhandled",
        function(collect.rollout, _rolled(lambda w, e: told(e, valid=jnp.ones_like(e.valid)))),
        f"{ROLLOUT}::test_an_end_is_followed_by_one_invalid_step_and_nothing_is_lost",
    ),
    Bug(
        "a truncation is recorded as a termination",
        "a single `done` flag",
        function(collect.rollout, _rolled(lambda w, e: told(e, terminated=e.ended, truncated=e.ended & False))),
        f"{ROLLOUT}::test_an_end_is_followed_by_one_invalid_step_and_nothing_is_lost",
    ),
    Bug(
        "every reset is the same one",
        "JAX environments that cache their first state",
        _resets_alike,
        f"{HERE}::test_every_reset_is_a_fresh_one",
    ),
    Bug(
        "the density of the mode is stored with a sample: the ratio is not 1",
        "easy to make",
        method(
            collect.Sample,
            "tell",
            _said(lambda told, action: told._replace(log_prob=told.log_prob + 0.1)),
        ),
        f"{BEHAVIOUR}::test_a_sample_knows_its_own_probability_and_the_mean_does_not",
    ),
    Bug(
        "DAgger stores what was done, not what the expert said",
        "easy to make",
        method(collect.Mixture, "tell", _said(lambda told, action: told._replace(target=action))),
        f"{BEHAVIOUR}::test_the_expert_acts_with_its_share_and_always_labels",
        {"beta": 0.3},
    ),
    Bug(
        "the noise on the action is in the label too",
        "mimicgen (DART stores the intended action)",
        method(collect.Mixture, "tell", _said(_noisy)),
        f"{BEHAVIOUR}::test_the_expert_acts_with_its_share_and_always_labels",
        {"beta": 1.0},
    ),
    Bug(
        "a disturbed expert's label is what it did, not what it intended",
        "easy to make (DART stores the intended action)",
        method(collect.Disturbed, "tell", _said(lambda told, action: told._replace(target=action))),
        f"{BEHAVIOUR}::test_the_disturbed_expert_does_what_it_did_not_intend_with_the_covariance_it_was_given",
    ),
    Bug(
        "the learned noise is centred, so a learner's bias is forgotten",
        "easy to make (Laskey et al. 2017, equation 4, does not centre)",
        method(collect.LearnedNoise, "estimated", _centred),
        f"{BEHAVIOUR}::test_the_learned_covariance_is_the_mean_square_of_the_valid_errors",
    ),
    Bug(
        "the expert's share never falls",
        "easy to make",
        method(
            collect.Aggregate,
            "behaviour",
            lambda f: lambda self, policy, state, index: f(self, policy, state, 0 * index),
        ),
        f"{BEHAVIOUR}::test_beta_follows_its_schedule",
    ),
    Bug(
        "DAgger fits the newest batch alone",
        "Brax, bc/train.py",
        method(Memory, "add", _newest_only),
        f"{HERE}::test_what_was_gathered_before_is_kept",
    ),
    Bug(
        "an evaluation takes the first episodes that end",
        "vectorised evaluation without quotas",
        function(collect.play, _first_to_end),
        "tests/collect/test_play.py::test_the_first_to_end_are_not_favoured",
    ),
]

# -- policies, and the checks themselves ----------------------------------------------------------------


def _trained_statistics(original: Any) -> Any:
    return lambda module: eqx.partition(module, eqx.is_inexact_array)


def _set(original: Any) -> Any:
    return lambda policy, normalizer: dataclasses.replace(policy, normalizer=normalizer)


POLICIES = [
    Bug(
        "new observation statistics change the policy",
        "running normalisers outside of the policy",
        function(policies.renormalized, _set),
        f"{HERE}::test_new_statistics_keep_the_function",
    ),
    Bug(
        "statistics are trained",
        "easy to make",
        function(policies.partition, _trained_statistics),
        "tests/policies/test_policy.py::test_statistics_scales_and_bounds_are_never_trained",
        {"name": "gaussian"},
    ),
    Bug(
        "the entropy has the wrong sign",
        "easy to make",
        method(policies.DensityPolicy, "entropy", lambda f: lambda self, parameters: -f(self, parameters)),
        f"{HERE}::test_a_wider_policy_has_more_entropy",
    ),
    Bug(
        "the divergence is taken the other way round",
        "easy to make",
        method(policies.DensityPolicy, "kl", lambda f: lambda self, first, second: f(self, second, first)),
        f"{HERE}::test_the_divergence_is_from_the_first_to_the_second",
    ),
    Bug(
        "the signal is |ḡ|² with its noise",
        "signal-to-noise ratios as they are usually plotted",
        method(Moments, "signal", lambda f: lambda self: np.square(self.total).sum(-1) / self.number**2),
        f"{HERE}::test_noise_is_no_signal",
    ),
    Bug(
        "a check forgives everything",
        "tests that can only pass",
        method(verify.Check, "of", lambda f: lambda *a, **k: f(*a, **k)._replace(passed=True)),
        f"{HERE}::test_a_check_can_fail",
    ),
]

BUGS = [*RETURNS, *LOSS, *METRIC, *COLLECTING, *POLICIES]
