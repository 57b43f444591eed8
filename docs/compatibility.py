"""Writes the tables of `compatibility.md` from what the parts declare: `python docs/compatibility.py`.

Every verdict comes from building the parts and asking the library itself; nothing is typed by hand.
`tests/test_compatibility.py` fails when the page is not what this would write.
"""

import itertools
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import jax

from journeyman import algorithms, collect, experts, geometry, objectives, parts, policies, training, weights, worlds
from journeyman.parts import AbstractPart, JourneymanError, problems
from journeyman.policies import Gaussian, policy
from journeyman.training import Adam, KLRadius, Learner, LineSearch, Optax
from journeyman.training._fit import Demonstrations, weighing_problems

PAGE = Path(__file__).with_name("compatibility.md")
BEGIN, END = "<!-- begin: {} -->", "<!-- end: {} -->"
STATIONS = (worlds, policies, experts, collect, weights, objectives, geometry, training)
Table = list[list[str]]


def page() -> str:
    """The page with its generated parts written anew."""
    text = PAGE.read_text(encoding="utf-8")
    for name, make in SECTIONS.items():
        begin, end = BEGIN.format(name), END.format(name)
        between = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if not between.search(text):
            raise ValueError(f"compatibility.md has no place for '{name}'")
        text = between.sub(lambda _, new=f"{begin}\n\n{make()}\n\n{end}": new, text)
    return text


# -- what each part declares ------------------------------------------------------------------------------


def public_parts() -> list[type[AbstractPart]]:
    """Every concrete public part that declares something, station by station."""
    found = []
    for station in STATIONS:
        for name in dir(station):
            item = getattr(station, name)
            if isinstance(item, type) and issubclass(item, AbstractPart) and not name.startswith(("Abstract", "_")):
                found.append(item)
    return [item for item in dict.fromkeys(found) if declares(item)]


def declares(part: type[AbstractPart]) -> bool:
    """Whether there is anything to say about it."""
    return bool(part.needs | part.gives | part.unwired) or varies(part, "provides") or varies(part, "requires")


def varies(part: type[AbstractPart], name: str) -> bool:
    """Whether what it needs or gives depends on how it was built."""
    return getattr(part, name) is not getattr(AbstractPart, name)


def declarations() -> str:
    """Part, needs, gives, has but does not connect."""
    rows = [["part", "needs", "gives", "has, not wired yet"]]
    for part in public_parts():
        cells = (
            (part.needs, varies(part, "requires")),
            (part.gives, varies(part, "provides")),
            (part.unwired, False),
        )
        words = [", ".join(sorted(names)) + (" *" if more else "") for names, more in cells]
        rows.append([f"`{part.__name__}`", *(w or "–" for w in words)])
    return markdown(rows)


def capabilities() -> str:
    """What the names mean."""
    rows = [["name", "meaning"], *([name, meaning] for name, meaning in parts.CAPABILITIES.items())]
    return markdown(rows)


# -- what goes together -----------------------------------------------------------------------------------


def verdict(build: Callable[[], Sequence[str]]) -> tuple[str, str]:
    """One of yes, no and not yet, and the sentence that the library gave."""
    try:
        found = list(build())
    except JourneymanError as refusal:
        found = [str(refusal)]
    if not found:
        return "yes", ""
    return ("not yet" if all("not wired yet" in sentence for sentence in found) else "no"), " ".join(found)


def grid(
    corner: str, rows: dict[str, AbstractPart], columns: dict[str, AbstractPart], pair: Callable[..., Sequence[str]]
) -> str:
    """One verdict for each pair, and below the table the sentence of each refusal."""
    table, told = [[corner, *columns]], []
    for name, part in rows.items():
        table.append([name])
        for other_name, other in columns.items():
            word, sentence = verdict(lambda part=part, other=other: pair(part, other))
            told += [f"{name} with {other_name}: {sentence}"] if sentence else []
            table[-1].append(f"{word} [{len(told)}]" if sentence else word)
    return "\n".join([markdown(table), "", *(f"{i}. {line}" for i, line in enumerate(told, 1))])


def learner(**chosen: AbstractPart) -> list[str]:
    """Builds a learner, which refuses by raising."""
    usual = {"weight": weights.Uniform(), "objective": objectives.WeightedLogLikelihood()}
    Learner(**{**usual, "geometry": geometry.Euclidean(), "step": Adam(), **chosen})
    return []


def geometry_and_step() -> str:
    """Which steps can use which direction."""
    geometries = {"`Euclidean`": geometry.Euclidean(), "`Fisher`": geometry.Fisher()}
    geometries["`EmpiricalFisher`"] = geometry.EmpiricalFisher()
    steps = {"`Adam`": Adam(), "`Optax`": Optax(None), "`KLRadius`": KLRadius(), "`LineSearch`": LineSearch()}
    return grid("geometry", geometries, steps, lambda g, s: learner(geometry=g, step=s))


BASELINES = {
    "`NoBaseline`": weights.NoBaseline(),
    "`ConstantBaseline`": weights.ConstantBaseline(),
    "`TimeVaryingBaseline`": weights.TimeVaryingBaseline(),
    "`LeaveOneOutBaseline`": weights.LeaveOneOutBaseline(),
    "`LinearBaseline`": weights.LinearBaseline(),
    "`NetworkBaseline`": weights.NetworkBaseline(),
}


def advantage_and_baseline() -> str:
    """λ < 1 bootstraps from a value, and not every baseline is one."""
    rows = {f"`Advantage(lambda_={one})`": weights.Advantage(lambda_=one) for one in (1.0, 0.95)}
    return grid(
        "weight", rows, BASELINES, lambda w, b: learner(weight=weights.Advantage(lambda_=w.lambda_, baseline=b))
    )


def weight_and_collection() -> str:
    """Data that is kept is weighed once."""
    advantage = {f"`Advantage` with {name}": weights.Advantage(baseline=b) for name, b in BASELINES.items()}
    rows = {"`Uniform`": weights.Uniform(), "`Return`": weights.Return(), "`RewardToGo`": weights.RewardToGo()}
    columns = {"`OnPolicy`": collect.OnPolicy(), "`Aggregate`": collect.Aggregate(_expert())}
    columns["`Inject`"] = collect.Inject(_expert())

    def pair(weight: AbstractPart, collection: AbstractPart) -> list[str]:
        # What `improve` asks of them in a world.
        made = Learner(weight, objectives.WeightedLogLikelihood(), geometry.Euclidean(), Adam(), collect=collection)
        return problems(made, policy(_world(), jax.random.key(0), hidden=()), _world())

    return grid("weight", {**rows, **advantage}, columns, pair)


def recipe_and_data() -> str:
    """Which recipe runs with which verb on what."""
    world = _world()
    one = policy(world, jax.random.key(0), hidden=())
    recipes = {
        "`bc`": algorithms.bc(),
        "`distill`": algorithms.distill(_expert().policy),
        "`dagger`": algorithms.dagger(_expert()),
        "`dart`": algorithms.dart(_expert()),
        "`gail`": algorithms.gail(),
        "`reinforce`": algorithms.reinforce(),
        "`natural_gradient`": algorithms.natural_gradient(),
        "`trpo`": algorithms.trpo(),
        "`ppo`": algorithms.ppo(),
    }
    surroundings = {
        "`fit` without rewards": Demonstrations(False),
        "`fit` with rewards": Demonstrations(True),
        "`improve` in a world": world,
    }

    def pair(recipe: Learner, where: AbstractPart) -> list[str]:
        # The same question that `fit` and `improve` ask before anything runs.
        if isinstance(where, Demonstrations):
            return problems(recipe, one, where, later=frozenset({"world"})) + weighing_problems(recipe)
        return problems(recipe, one, where)

    return grid("recipe", recipes, surroundings, pair)


SPACES = (worlds.Box, worlds.Discrete, worlds.MultiDiscrete, worlds.MultiBinary)


def head_and_actions() -> str:
    """Which head acts in which action space: by the space that it is over."""
    box = worlds.Box.symmetric(1.0, 1)
    real = (Gaussian, policies.FullGaussian, policies.GaussianMixture, policies.SquashedGaussian, policies.Beta)
    finite = (policies.Categorical(2), policies.MultiCategorical((2, 3)), policies.Bernoulli(2))
    table = [["head", *(f"`{kind.__name__}`" for kind in SPACES)]]
    for head in (*(one.make(box) for one in real), *finite):
        table.append([f"`{type(head).__name__}`", *("yes" if isinstance(head.space(), s) else "no" for s in SPACES)])
    return markdown(table)


def _world() -> worlds.LinearQuadratic:
    return worlds.LinearQuadratic(horizon=20, num_envs=1)


def _expert() -> experts.PolicyExpert:
    return experts.PolicyExpert(policy(_world(), jax.random.key(0), hidden=()))


def markdown(rows: Table) -> str:
    """A table; the first row is its head."""
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    head, *body = [f"| {' | '.join(row)} |" for row in escaped]
    return "\n".join(itertools.chain([head, "|" + "---|" * len(rows[0])], body))


SECTIONS: dict[str, Callable[[], str]] = {
    "recipe and data": recipe_and_data,
    "geometry and step": geometry_and_step,
    "advantage and baseline": advantage_and_baseline,
    "weight and collection": weight_and_collection,
    "head and actions": head_and_actions,
    "declarations": declarations,
    "capabilities": capabilities,
}

if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
