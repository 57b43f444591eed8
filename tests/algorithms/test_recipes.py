"""The recipes: what they are made of, that they survive the disk, and that a page can be written from them."""

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import pytest

from journeyman import algorithms
from journeyman.algorithms import (
    airl,
    bc,
    dagger,
    dart,
    distill,
    fairl,
    gail,
    match_occupancy,
    natural_gradient,
    ppo,
    reinforce,
    trpo,
)
from journeyman.collect import Aggregate, Evenly, Exponential, Inject, Linear, OnPolicy, RandomCovariance
from journeyman.experts import PolicyExpert
from journeyman.geometry import Euclidean, Fisher
from journeyman.objectives import ClippedSurrogate, Divergence, Surrogate, WeightedLogLikelihood
from journeyman.parts import CAPABILITIES, citations, describe, rebuild, walk
from journeyman.policies import policy
from journeyman.training import Adam, KLRadius, Learner, LineSearch
from journeyman.weights import (
    Advantage,
    Alpha,
    ConstantBaseline,
    Discriminator,
    LifetimeDiscount,
    NetworkBaseline,
    NoBaseline,
    Standardized,
    Uniform,
)
from journeyman.worlds import LinearQuadratic

EXPERT = PolicyExpert(policy(LinearQuadratic(), jax.random.key(0), hidden=(3,)))
RECIPES: dict[str, Callable[[], Learner]] = {
    "bc": bc,
    "bc with options": lambda: bc(3e-4, epochs=7, batch_size=32, weight_decay=1e-4),
    "dagger": lambda: dagger(EXPERT),
    "dagger with options": lambda: dagger(EXPERT, beta=Exponential(0.5), query=Evenly(3), refit=True, epochs=3),
    "dagger with a line": lambda: dagger(EXPERT, beta=Linear(4)),
    "dart": lambda: dart(EXPERT),
    "dart with options": lambda: dart(EXPERT, noise=RandomCovariance(0.1, seed=3), refit=True),
    "distill": lambda: distill(EXPERT.policy),
    "distill with options": lambda: distill(EXPERT.policy, Alpha(0.5), draws=4, epochs=3),
    "gail": gail,
    "airl": airl,
    "fairl": lambda: fairl(bound=1.0),
    "match_occupancy": lambda: match_occupancy(Alpha(0.5), living=0.1, discriminator=Discriminator(limit=2.0)),
    "reinforce": reinforce,
    "reinforce with options": lambda: reinforce(0.1, discount=1.0, lambda_=1.0, baseline=NoBaseline()),
    "natural_gradient": natural_gradient,
    "natural_gradient with options": lambda: natural_gradient(
        0.05, discount=0.9, lambda_=1.0, baseline=ConstantBaseline(), damping=0.1, iterations=3
    ),
    "trpo": trpo,
    "trpo with options": lambda: trpo(0.02, lambda_=1.0, baseline=NoBaseline(), shrink=0.5, tries=4),
    "ppo": ppo,
    "ppo with options": lambda: ppo(1e-3, baseline=NetworkBaseline(), clip=0.1, entropy=0.01, target_kl=0.02),
}
every_recipe = pytest.mark.parametrize("name", RECIPES)


@every_recipe
def test_a_recipe_survives_json(name: str) -> None:
    learner = RECIPES[name]()
    tree, arrays = describe(learner)
    back = rebuild(json.loads(json.dumps(tree, allow_nan=False)), arrays)
    assert eqx.tree_equal(back, learner)
    assert jax.tree.structure(back) == jax.tree.structure(learner)
    assert json.dumps(describe(back)[0]) == json.dumps(tree)


@every_recipe
def test_a_recipe_declares_only_what_has_a_meaning_and_cites_what_it_owes(name: str) -> None:
    for part in walk(RECIPES[name]()):
        assert part.requires() | part.provides() <= set(CAPABILITIES), type(part).__name__
    owed = " ".join(citations(RECIPES[name]()))
    for recipe, key in {
        "bc": "kingma2015adam",
        "dagger": "ross2011reduction",
        "dart": "laskey2017dart" if name == "dart" else "kingma2015adam",
        "distill": "ke2020imitation",
        "reinforce": "schulman2016high",
        "natural_gradient": "kakade2001natural",
        "trpo": "schulman2015trust",
        "ppo": "schulman2017proximal",
    }.items():
        if name.split()[0] == recipe:
            assert key in owed


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("bc", (Uniform, WeightedLogLikelihood, Euclidean, Adam, OnPolicy)),
        ("trpo", (Advantage, Surrogate, Fisher, LineSearch, OnPolicy)),
        ("ppo", (Advantage, ClippedSurrogate, Euclidean, Adam, OnPolicy)),
        ("dagger", (Uniform, WeightedLogLikelihood, Euclidean, Adam, Aggregate)),
        ("dart", (Uniform, WeightedLogLikelihood, Euclidean, Adam, Inject)),
        ("distill", (Uniform, Divergence, Euclidean, Adam, OnPolicy)),
        ("reinforce", (Advantage, WeightedLogLikelihood, Euclidean, Adam, OnPolicy)),
        ("natural_gradient", (LifetimeDiscount, WeightedLogLikelihood, Fisher, KLRadius, OnPolicy)),
    ],
)
def test_a_recipe_is_the_composition_that_its_page_says(name: str, parts: tuple[type, ...]) -> None:
    learner = RECIPES[name]()
    found = (learner.weight, learner.objective, learner.geometry, learner.step, learner.collect)
    assert tuple(map(type, found)) == parts
    said = getattr(algorithms, name).__doc__
    assert said is not None
    assert "Composition:" in said
    assert "Deviations" in said
    if parts[1] is WeightedLogLikelihood:
        assert learner.objective == WeightedLogLikelihood("steps")


def test_bc_and_distill_differ_in_the_objective_alone() -> None:
    known = distill(EXPERT.policy, epochs=5)
    assert eqx.tree_equal(dataclasses.replace(known, objective=WeightedLogLikelihood()), bc(epochs=5))


def test_reinforce_and_natural_gradient_differ_in_geometry_and_step_alone() -> None:
    shared = {"discount": 0.9, "lambda_": 1.0, "baseline": NetworkBaseline(epochs=3)}
    first, second = reinforce(**shared), natural_gradient(**shared)  # type: ignore[arg-type]
    swapped = dataclasses.replace(second, geometry=first.geometry, step=first.step)
    assert eqx.tree_equal(swapped, first)
    assert isinstance(reinforce().weight.baseline, NetworkBaseline)  # type: ignore[attr-defined]


def test_the_recipe_that_the_readme_shows_is_the_recipe() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"```python\n(def natural_gradient.*?)```", readme, re.DOTALL)
    parts = (
        Advantage,
        Fisher,
        KLRadius,
        Learner,
        LifetimeDiscount,
        NetworkBaseline,
        Standardized,
        WeightedLogLikelihood,
    )
    names: dict[str, Any] = {part.__name__: part for part in parts}
    exec(shown[0], names)
    assert names["natural_gradient"]() == natural_gradient()


def test_trpo_and_natural_gradient_differ_in_objective_and_step_alone() -> None:
    shared = {"discount": 0.9, "lambda_": 1.0, "baseline": NoBaseline(), "damping": 0.1, "iterations": 15}
    first, second = natural_gradient(0.01, **shared), trpo(0.01, **shared)  # type: ignore[arg-type]
    swapped = dataclasses.replace(second, objective=first.objective, step=first.step)
    assert eqx.tree_equal(swapped, first)


def test_the_baseline_of_ppo_is_fitted_like_its_policy() -> None:
    baseline = ppo(1e-3, epochs=4, batch_size=32).weight.baseline  # type: ignore[attr-defined]
    assert (baseline.hidden, baseline.epochs, baseline.batch_size, baseline.learning_rate) == ((64, 64), 4, 32, 1e-3)


@pytest.mark.parametrize("recipe", [dagger, dart])
def test_bc_dagger_and_dart_differ_in_collecting_alone(recipe: Callable[..., Learner]) -> None:
    corrected = recipe(EXPERT, epochs=5)
    assert eqx.tree_equal(dataclasses.replace(corrected, collect=OnPolicy()), bc(epochs=5))
