"""Settings become JSON and come back; defaults are what the pages say."""

import dataclasses
import json
import re
import shlex
from functools import partial
from pathlib import Path
from typing import Any, Literal

import equinox as eqx
import jax
import pytest
import tyro

from journeyman import JourneymanError, algorithms, cli, collect
from journeyman._settings import Asking, HeadName
from journeyman.cli._verbs import Verb
from journeyman.experts import PolicyExpert
from journeyman.policies import policy
from journeyman.sessions import CorrectSettings, FitSettings, ImproveSettings, PolicyShape, QuickstartSettings
from journeyman.sessions._files import from_json, relative, to_json
from journeyman.sessions._recipes import make_head, practising
from journeyman.sessions._refusals import parse_options
from journeyman.sessions._typed import typed
from journeyman.training import Learner
from journeyman.worlds import AbstractSpace, AbstractWorld, Box, LinearQuadratic, MultiDiscrete

ROOT = Path(__file__).resolve().parents[2]
INFINITE = float("inf")


@pytest.mark.parametrize(
    "settings",
    [
        FitSettings(Path("/a/d.npz"), "W", ("x=1", "y=b"), Path("/a/out"), shape=PolicyShape((8, 8), "squashed")),
        ImproveSettings("W", 100, policy=Path("/a/clone"), out=Path("/a/out")),
        ImproveSettings("W", 100, out=Path("/a/out")),
        ImproveSettings("W", 100, algorithm="dart", asking=Asking(noise="random", trace=0.3), out=Path("/a/out")),
    ],
)
def test_settings_survive_json(settings: FitSettings | ImproveSettings) -> None:
    assert from_json(type(settings), json.loads(json.dumps(to_json(settings)))) == settings


def test_an_option_left_out_is_the_recipes_own_and_one_given_is_passed_on() -> None:
    made = lambda name, **options: practising(ImproveSettings("W", 100, algorithm=name, **options))  # noqa: E731
    assert made("natural-gradient") == algorithms.natural_gradient()
    assert made("trpo") == algorithms.trpo()
    assert made("ppo") == algorithms.ppo()
    assert made("reinforce") == algorithms.reinforce()
    assert made("trpo", kl=0.05, discount=0.9) == algorithms.trpo(0.05, discount=0.9)
    assert made("gail", kl=0.01) == algorithms.gail(kl=0.01)
    assert made("airl", discount=0.9) == algorithms.airl(discount=0.9)
    assert made("fairl", lambda_=0.9) == algorithms.fairl(lambda_=0.9)
    given = {"learning_rate": 1e-3, "epochs": 4, "batch_size": 32, "clip": 0.1, "entropy": 0.01, "target_kl": 0.02}
    assert made("ppo", **given, lambda_=0.9) == algorithms.ppo(**given, lambda_=0.9)


def test_numbers_of_ppo_that_make_no_sense_are_told_at_once() -> None:
    found = ImproveSettings("W", 100, algorithm="ppo", clip=0.0, entropy=-1.0, target_kl=0.0, epochs=0).problems()
    assert len(found) == 4
    assert all(any(word in problem for problem in found) for word in ("--clip", "--entropy", "--target-kl", "--epochs"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (FitSettings(Path("d"), "W", weight_decay=INFINITE), "--weight-decay must be 0 or more, and finite, not inf"),
        (ImproveSettings("W", 9, algorithm="ppo", entropy=INFINITE), "--entropy must be 0 or more, and finite"),
        (CorrectSettings(Path("d"), noise=INFINITE), "--noise must be 0 or more, and finite, not inf; change it."),
        (CorrectSettings(Path("d"), "W", weight_decay=INFINITE), "--weight-decay must be 0 or more, and finite"),
        *(
            (made(seed=seed), f"--seed must be a whole number from 0 to 4294967295, not {seed}; change it.")
            for seed in (-1, 2**32)
            for made in (
                partial(FitSettings, Path("d"), "W"),
                partial(ImproveSettings, "W", 9),
                partial(CorrectSettings, Path("d")),
            )
        ),
    ],
)
def test_a_number_that_nothing_can_be_made_with_is_told_by_name(settings: Any, said: str) -> None:
    (problem,) = settings.problems()
    assert problem.startswith(said)


def test_how_an_expert_is_asked_is_the_recipe_s_own_unless_it_is_said() -> None:
    expert = PolicyExpert(policy(LinearQuadratic(), jax.random.key(0), hidden=(3,)))

    def made(algorithm: Literal["dagger", "dart"], seed: int = 0, **asking: Any) -> Learner:
        return practising(ImproveSettings("W", 100, algorithm=algorithm, seed=seed, asking=Asking(**asking)), expert)

    assert eqx.tree_equal(made("dagger"), algorithms.dagger(expert))
    assert eqx.tree_equal(made("dart"), algorithms.dart(expert))
    schedules = {
        "constant": (0.25, collect.Constant(0.25)),
        "exponential": (None, collect.Exponential(0.5)),
        "first-round": (None, collect.FirstRound()),
        "linear": (None, collect.Linear(10)),
    }
    for schedule, (beta, wanted) in schedules.items():
        found = made("dagger", schedule=schedule, beta=beta, every=5, refit=True)
        said = algorithms.dagger(expert, beta=wanted, query=collect.Evenly(5), refit=True)
        assert eqx.tree_equal(found, said), schedule
    queries = {
        "uncertain": (Asking(where="uncertain", share=0.3, above=1.0), collect.Uncertain(0.3, 1.0)),
        "disagree": (Asking(where="disagree", members=3, budget=9), collect.Disagree(members=3)),
    }
    for where, (asking, query) in queries.items():
        found = practising(ImproveSettings("W", 100, algorithm="dagger", asking=asking), expert)
        assert eqx.tree_equal(found, algorithms.dagger(expert, query=query, budget=asking.budget)), where
    noises = {
        "none": collect.Undisturbed(),
        "isotropic": collect.Isotropic(0.2),
        "random": collect.RandomCovariance(0.3, 7),
    }
    for noise, disturbed in noises.items():
        found = made("dart", seed=7, noise=noise, std=0.2, trace=0.3, epochs=3, batch_size=9)
        assert eqx.tree_equal(found, algorithms.dart(expert, noise=disturbed, epochs=3, batch_size=9)), noise


@pytest.mark.parametrize(
    ("asking", "said"),
    [
        (Asking(beta=1.5), r"--asking.beta must lie in \[0, 1\], not at 1.5"),
        (Asking(beta=1.0, schedule="exponential"), "must lie between 0 and 1 to fall, not at 1.0"),
        (Asking(every=0), "--asking.every must be 1 or more, not 0"),
        (Asking(batch_size=0), "--asking.batch-size must be 1 or more, not 0"),
        (Asking(noise="isotropic", std=float("nan")), "--asking.std must be 0 or more, and finite, not nan"),
        (Asking(noise="random", trace=INFINITE), "--asking.trace must be 0 or more, and finite, not inf"),
        (Asking(where="uncertain", above=INFINITE), "--asking.above must be a finite number, not inf"),
        (Asking(where="uncertain", share=0.0), r"--asking.share must lie in \(0, 1\], not at 0.0"),
        (Asking(where="disagree", members=1), "--asking.members must be 2 or more to disagree, not 1"),
        (Asking(budget=-1), "--asking.budget must be 0 labels or more, not -1"),
    ],
)
def test_an_expert_is_not_asked_nonsense(asking: Asking, said: str) -> None:
    (problem,) = asking.problems()
    assert re.search(said, problem)
    named = Path("x")
    assert (
        problem
        in ImproveSettings("W", 9, algorithm="dagger", expert=named, data=named, policy=named, asking=asking).problems()
    )


def test_paths_are_kept_absolute_and_plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    kept = to_json(FitSettings(Path("x/../../y.npz"), "W", out=Path("link/run")))
    assert kept["data"] == str(tmp_path.parent / "y.npz")
    assert kept["out"] == str(tmp_path / "link" / "run"), "a link is not followed"


def test_a_path_to_type_is_short_and_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert relative(tmp_path / "runs" / "a") == "runs/a"
    assert relative(tmp_path / "my run") == "'my run'"
    assert relative(Path("/elsewhere/run")) == "/elsewhere/run"


def test_missing_and_unknown_fields_are_errors() -> None:
    whole = to_json(ImproveSettings("W", 100))
    with pytest.raises(JourneymanError, match=r"2 things are wrong(.|\n)*unknown field 'stepz'(.|\n)*lack 'steps'"):
        from_json(ImproveSettings, {("stepz" if name == "steps" else name): value for name, value in whole.items()})


def test_options_of_a_world_are_read_like_json() -> None:
    words = ["a=1", "b=0.5", "c=true", "d=False", "e=None", "f=text", "g=[1, 2]", "h=a=b", 'i="1"', "j="]
    values = [1, 0.5, True, False, None, "text", [1, 2], "a=b", "1", ""]
    assert parse_options(words) == dict(zip("abcdefghij", values, strict=True))


def test_every_bad_option_is_told() -> None:
    with pytest.raises(JourneymanError, match="3 things are wrong"):
        parse_options(["plain", "seed=1", "a=1", "a=2"])


def test_defaults_give_no_problem() -> None:
    assert FitSettings(Path("d.npz"), "W").problems() == []
    assert ImproveSettings("W", 1000, batch=1000).problems() == []
    assert practising(ImproveSettings("W", 1000)) == practising(ImproveSettings("W", 1000))


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (QuickstartSettings(labels=10, seed=2), "quickstart --seed 2 --labels 10"),
        (
            CorrectSettings(
                Path("my data.npz"), "W", ("a=1", "b=2"), shape=PolicyShape((8, 4), "squashed", per_step=True)
            ),
            "correct --data 'my data.npz' --world W --options a=1 b=2 --shape.hidden 8 4 --shape.head squashed"
            " --shape.per-step",
        ),
        (
            ImproveSettings("W", 9, staggered=False, asking=Asking(refit=True)),
            "improve --world W --steps 9 --asking.refit --no-staggered",
        ),
    ],
)
def test_the_command_of_a_page_gives_the_settings_back(settings: Any, line: str) -> None:
    verb, *options = shlex.split(line)
    assert typed((verb,), settings, ()) == f"journeyman {line}"
    read = tyro.cli(Verb, args=[verb, *options])
    assert dataclasses.asdict(read) == dataclasses.asdict(settings)


def test_quickstart_s_page_shows_its_numbers_and_the_help_explains_them(capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "quickstart.md").read_text()
    assert "QuickstartSettings()" in page
    assert "journeyman quickstart --help" in page
    default = QuickstartSettings()
    assert (str(default.out), default.seed, default.episodes, default.overwrite) == ("quickstart", 0, 50, False)
    with pytest.raises(SystemExit):
        cli.main(["quickstart", "--help"])
    told = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for name in ("demonstrations", "kept_steps", "labels", "steps", "episodes"):
        assert re.search(rf"--{name.replace('_', '-')} INT .*?\(default: {getattr(default, name)}\)", told), name


class _Acted(AbstractWorld):
    """A world of which only the actions matter."""

    action_space: AbstractSpace
    observation_space: Box = Box.unbounded(1)
    name: str = "W"
    num_envs: int = 1
    seed: int = 0
    horizon: int | None = None

    def remake(self, *, seed: int, num_envs: int | None = None) -> "_Acted":
        return _Acted(self.action_space, num_envs=num_envs or self.num_envs, seed=seed)


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("automatic", "Gaussian"),
        ("gaussian", "Gaussian"),
        ("state-dependent", "Gaussian"),
        ("full-covariance", "FullGaussian"),
        ("mixture", "GaussianMixture"),
        ("squashed", "SquashedGaussian"),
        ("beta", "Beta"),
    ],
)
def test_each_name_of_a_head_makes_it_and_refuses_what_does_not_fit(name: HeadName, made: str) -> None:
    shape = PolicyShape(head=name)
    assert type(make_head(shape, _Acted(Box.symmetric(1.0, 2)))).__name__ == made
    choices = _Acted(MultiDiscrete((2, 3)))
    if name == "automatic":
        assert type(make_head(shape, choices)).__name__ == "MultiCategorical"
        return
    with pytest.raises(JourneymanError, match=rf"A {name} policy needs real actions, but 'W' has \[2, 3\] choices"):
        make_head(shape, choices)
    endless = _Acted(Box.unbounded(2))
    if name in ("squashed", "beta"):
        with pytest.raises(JourneymanError, match=r"needs finite bounds with room between them.*use a Gaussian"):
            make_head(shape, endless)
