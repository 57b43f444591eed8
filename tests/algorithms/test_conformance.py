"""One update of natural gradient and of TRPO, against independent references in NumPy from stored states."""

import functools
import importlib.util
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from journeyman.geometry import Fisher
from journeyman.objectives import Samples, Surrogate, WeightedLogLikelihood
from journeyman.policies import MLP, DensityPolicy, Encoder, Gaussian, Normalizer, partition
from journeyman.policies._heads import Bounds, Scale
from journeyman.training import KLRadius, Learner, LineSearch
from journeyman.training._learner import descend
from journeyman.training._steps import AbstractStep
from journeyman.weights import Uniform

SCRIPT = Path(__file__).parent / "fixtures" / "reference_updates.py"
pytestmark = pytest.mark.usefixtures("x64")


@functools.cache
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference_updates", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@functools.cache
def stored() -> dict[str, np.ndarray]:
    with np.load(SCRIPT.with_suffix(".npz")) as file:
        return dict(file)


def policy_of(theta: np.ndarray) -> DensityPolicy:
    """The same policy here: no input scaling, and bounds on log σ so far away that they do nothing."""
    w1, b1, w2, b2, log_std = map(jnp.asarray, reference().unpack(theta))
    bounds = Bounds.of(-60.0, 60.0)
    head = Gaussian(Scale(jnp.zeros(len(b2)), jnp.ones(len(b2))), bounds.inverse(log_std), bounds)
    return DensityPolicy(Encoder(((len(w1),),), (0,)), Normalizer.fresh(len(w1)), MLP((w1, w2), (b1, b2)), head)


def in_their_order(policy: DensityPolicy) -> np.ndarray:
    """θ = (W₁, b₁, W₂, b₂, log σ)."""
    network, head = policy.network, policy.head
    (w1, w2), (b1, b2) = network.weights, network.biases
    return np.asarray(ravel_pytree((w1, b1, w2, b2, head.log_std))[0])  # type: ignore[attr-defined]


def update(fisher: Fisher, step: AbstractStep) -> tuple[np.ndarray, dict[str, float]]:
    """What our update adds to θ, and its metrics."""
    found = stored()
    policy = policy_of(found["theta"])
    count = len(found["advantage"])
    ones = jnp.ones(count)
    observation, action = jnp.asarray(found["observation"]), jnp.asarray(found["action"])
    old = policy.log_prob(observation, action)
    samples = Samples(observation, action, jnp.asarray(found["advantage"]), ones, jnp.asarray(float(count)), old)
    objective = Surrogate() if isinstance(step, LineSearch) else WeightedLogLikelihood()
    learner = Learner(Uniform(), objective, fisher, step)
    done = jax.jit(lambda s: descend(learner, policy, (), s, jax.random.key(0)))(samples)
    moved = in_their_order(done.policy) - in_their_order(policy)
    return moved, {name: float(value) for name, value in done.metrics.items()}


def test_the_script_makes_what_is_stored() -> None:
    module, found = reference(), stored()
    theta, batch = module.start()
    # What these two leave of the solution after the fifteenth, last iteration is rounding, and another processor's own.
    left = {"trpo_damped": 4e-6, "trpo_ours": 4e-6}
    for name, value in {"theta": theta, **batch._asdict(), **module.updates(theta, batch)}.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-7, atol=left.get(name, 1e-9))


def test_the_state_is_the_same_here() -> None:
    found = stored()
    policy = policy_of(found["theta"])
    np.testing.assert_allclose(in_their_order(policy), found["theta"], rtol=1e-12)
    batch = reference().Batch(found["observation"], found["action"], found["advantage"])
    ours = policy.log_prob(jnp.asarray(batch.observation), jnp.asarray(batch.action))
    np.testing.assert_allclose(ours, reference().log_prob(found["theta"], batch), rtol=1e-10)
    assert partition(policy)[0].network.weights[0].shape == (3, 2)


def test_natural_gradient_without_damping_is_that_of_mjrl() -> None:
    theirs = stored()["natural"]
    ours, metrics = update(Fisher(0.0, 100), KLRadius(0.01))  # normalized_step_size is twice the KL
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-8)
    assert metrics["predicted_kl"] == pytest.approx(0.01)
    twice, _ = update(Fisher(0.0, 100), KLRadius(0.02))
    assert not np.allclose(twice, theirs, rtol=0.1), "the control: taking their number for the KL itself"


def test_natural_gradient_with_damping_goes_their_way_and_differs_by_the_stated_factor() -> None:
    theirs = stored()["natural_damped"]
    ours, metrics = update(Fisher(1e-4, 10), KLRadius(0.01))
    matrix = reference().fisher(stored()["theta"], _batch())
    length = np.linalg.norm(ours) / np.linalg.norm(theirs)
    np.testing.assert_allclose(ours / np.linalg.norm(ours), theirs / np.linalg.norm(theirs), atol=1e-4)
    # Numbered deviation 2: they divide by gᵀd, we by dᵀFd, so that the quadratic model's KL is the radius.
    quadratic = 0.5 * theirs @ matrix @ theirs
    assert length == pytest.approx(np.sqrt(0.01 / quadratic), rel=1e-4)
    assert metrics["predicted_kl"] == pytest.approx(0.01)


@pytest.mark.parametrize(("name", "kl"), [("trpo", 0.01), ("trpo_large", 0.3)])
def test_trpo_without_damping_is_that_of_sb3_contrib(name: str, kl: float) -> None:
    ours, metrics = update(Fisher(0.0, 100), LineSearch(kl))
    assert metrics["tries"] == float(stored()[f"{name}_tries"])
    np.testing.assert_allclose(ours, stored()[name], rtol=1e-4, atol=1e-7)
    assert (metrics["tries"] > 1) == (name == "trpo_large"), "one of the two has to go back"


def test_trpo_with_damping_goes_their_way_from_the_edge_of_the_ball() -> None:
    found = stored()
    theirs, switched, solved = found["trpo_damped"], found["trpo_ours"], found["trpo_solved"]
    ours, metrics = update(Fisher(0.1, 100), LineSearch(0.01))
    np.testing.assert_allclose(ours, solved, rtol=1e-7, atol=1e-10)
    # Their conjugate gradients end once the squared residual is below 1e-10: all of the difference is theirs.
    early = np.abs(switched - solved).max()
    assert 1e-7 < early < 2e-6
    np.testing.assert_allclose(ours, switched, atol=1.01 * early)
    np.testing.assert_allclose(ours / np.linalg.norm(ours), theirs / np.linalg.norm(theirs), atol=2e-5)
    # Numbered deviation 1: their first length counts the damping as curvature and stays inside its radius.
    assert np.linalg.norm(theirs) < 0.97 * np.linalg.norm(ours)
    assert metrics["predicted_kl"] == pytest.approx(0.01)


def _batch():
    return reference().Batch(*(stored()[name] for name in ("observation", "action", "advantage")))
