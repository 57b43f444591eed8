"""What a run tells beside its score: steps that broke, what is unfinished, what was not held out; and its numbers."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.collect import Sample, play
from journeyman.datasets import write
from journeyman.policies import policy, save
from journeyman.sessions import FitSettings
from journeyman.sessions import _page as pages
from journeyman.sessions import _refusals as refusals
from journeyman.sessions._clone import NOT_HELD_OUT
from journeyman.training import Run
from journeyman.verify import erring_policy, linear_policy
from journeyman.worlds import ErrorChain, Frames, LinearQuadratic, Outcome
from tests.sessions.conftest import Journeyman, numbers

WORLD = ("--world", "LinearQuadratic", "--options", "horizon=6", "start_std=0.5")
IMPROVE = ("improve", *WORLD, *"--algorithm reinforce --batch 60 --num-envs 5 --shape.hidden 4".split())
FIT = ("fit", *WORLD, *"--epochs 4 --episodes 3 --shape.hidden 4".split())


@pytest.fixture(autouse=True)
def reports() -> None:
    pytest.importorskip("jinja2", reason="needs the extra 'report', which is not installed")


class _Breaks(LinearQuadratic):
    """Its reward is no number where the state is far out."""

    def step(self, state: Any, action: Any, key: Any) -> tuple[Any, Outcome]:
        after, outcome = super().step(state, action, key)
        far = jnp.abs(self.observe(after)).max() > 1
        return after, outcome._replace(reward=jnp.where(far, jnp.nan, outcome.reward))


def shown(path: Path, episodes: int) -> Path:
    world = LinearQuadratic(horizon=6, start_std=0.5, num_envs=3)
    return write(play(world, Sample(linear_policy(world, -0.3, 0.05)), episodes=episodes, seed=0), path)


def test_steps_that_broke_are_told_of(tmp_path: Path, journeyman: Journeyman, monkeypatch: pytest.MonkeyPatch) -> None:
    made = lambda name, *, num_envs, seed, **options: _Breaks(num_envs=num_envs, seed=seed, **options)  # noqa: E731
    monkeypatch.setattr(refusals, "world", made)
    code, out, err = journeyman(*IMPROVE, "--steps", 240, "--episodes", 20, "--out", tmp_path / "run")
    assert code == 0, err
    count = sum(row.get("broken_steps", 0) for row in numbers(tmp_path / "run"))
    told = json.loads((tmp_path / "run" / "summary.json").read_text())["broken_steps"]
    assert told["learning"] == count > 0
    assert told["evaluated"] > 0
    said = f"While learning, {count} of 240 steps gave what is not finite: each ended its episode"
    for text in (out, (tmp_path / "run" / "report.html").read_text()):
        assert said in text
        assert f"While policies were evaluated, {told['evaluated']} steps gave what is not finite" in text
    words = ("--data", shown(tmp_path / "six.npz", 6), "--out", tmp_path / "clone")
    code, out, err = journeyman(*FIT[:-3], 20, *FIT[-2:], *words)
    assert code == 0, err
    assert "While policies were evaluated, " in out
    assert "While policies were evaluated, " in (tmp_path / "clone" / "report.html").read_text()


def test_the_numbers_of_practice_stand_in_summary_json(tmp_path: Path, journeyman: Journeyman) -> None:
    code, out, err = journeyman(*IMPROVE, *"--steps 240 --episodes 3 --seeds 2".split(), "--out", tmp_path / "run")
    assert code == 0, err
    told = json.loads((tmp_path / "run" / "summary.json").read_text())
    for name in ("start", "improved"):
        one = told[name]
        assert f"{name}: {one['mean']:.4g} [{one['low']:.4g}, {one['high']:.4g}] over 2 seeds." in out
    assert (told["score"], told["seeds"], told["steps"], told["asked_steps"]) == ("return", 2, 240, 240)
    assert told["broken_steps"] == {"learning": 0, "evaluated": 0}
    assert "distinct start states: " in out
    begun = max(
        (sum(row.get("starts", [0])), sum(row.get("distinct_starts", [0]))) for row in numbers(tmp_path / "run")
    )
    assert begun[0] == begun[1] > 0
    assert f"distinct start states: {begun[1]} of {begun[0]}, in the batch of practice where most began" in out
    assert (told["starts"], told["distinct_starts"]) == begun
    assert "broke" not in out
    assert "unfinished" not in out


def test_the_numbers_of_a_clone_stand_in_summary_json(tmp_path: Path, journeyman: Journeyman) -> None:
    words = ("--data", shown(tmp_path / "six.npz", 6), "--out", tmp_path / "run")
    code, out, err = journeyman(*FIT, *words)
    assert code == 0, err
    told = json.loads((tmp_path / "run" / "summary.json").read_text())
    one = told["clone"]
    assert f"clone: {one['mean']:.4g} [{one['low']:.4g}, {one['high']:.4g}] over {one['episodes']} episodes" in out
    assert f"log-likelihood: {told['held_out_nll']:.3f} nats" in out
    assert (told["demonstrations"]["episodes"], told["epoch"], told["asked_epochs"]) == (6, 4, 4)
    page = (tmp_path / "run" / "report.html").read_text()
    assert f"return of −{abs(one['mean']):.4g} [−" in page, "a true minus in sentences, as in the tables"


def test_one_demonstration_can_be_cloned_with_nothing_held_out(tmp_path: Path, journeyman: Journeyman) -> None:
    words = ("--data", shown(tmp_path / "one.npz", 1), "--out", tmp_path / "run")
    code, _, err = journeyman(*FIT, *words)
    assert code == 2
    assert "hold nothing out (--held-out 0)" in err
    code, out, err = journeyman(*FIT, *words, "--held-out", 0)
    assert code == 0, err
    assert NOT_HELD_OUT in out
    page = (tmp_path / "run" / "report.html").read_text()
    assert NOT_HELD_OUT in page
    assert "1 demonstration, all for training" in page
    assert all("held_out_nll" not in row for row in numbers(tmp_path / "run"))
    for verb in ("report", "resume"):
        assert journeyman(verb, tmp_path / "run")[0] == 0
    assert FitSettings(Path("d"), "W", held_out=1.0).problems() == [
        "--held-out must lie in [0, 1), not 1.0; 0.1 is usual, and 0 keeps none."
    ]


def test_the_page_counts_the_demonstrations_that_were_trained_on(tmp_path: Path, journeyman: Journeyman) -> None:
    words = ("--data", shown(tmp_path / "three.npz", 3), "--epochs", 1, "--out", tmp_path / "run")
    assert journeyman(*FIT, *words)[0] == 0
    # A tenth of three rounds to none, and one at least is held out.
    assert "2 of 3 demonstrations for training" in (tmp_path / "run" / "report.html").read_text()


def test_of_one_episode_nobody_knows_the_bounds(tmp_path: Path, journeyman: Journeyman) -> None:
    run, once = tmp_path / "run", ("--episodes", 1)
    words = ("--data", shown(tmp_path / "six.npz", 6), *"--epochs 1 --score".split(), "best reward", "--out", run)
    told = [journeyman(*FIT, *words, *once), journeyman("evaluate", run, *once)]
    told.append(journeyman(*IMPROVE, "--steps", 120, *once, "--evaluation-episodes", 0, "--out", tmp_path / "practice"))
    for code, out, err in told:
        assert code == 0, err
        assert " over 1 episode" in out
        assert "nan" not in out
        assert "1 episodes" not in out
    code, out, _ = journeyman("evaluate", run, *once, "--json")
    found = json.loads(out, parse_constant=pytest.fail)  # NaN is no JSON
    assert found["mean action"]["episodes"] == 1
    assert found["mean action"]["low"] is found["sampled"]["high"] is None


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_that_is_none_is_one_sentence(tmp_path: Path, journeyman: Journeyman, seed: int) -> None:
    data = shown(tmp_path / "six.npz", 6)
    save(linear_policy(LinearQuadratic(horizon=6), -0.3, 0.05), tmp_path / "policy")
    for words in (
        (*FIT, "--data", data),
        ("correct", *WORLD, "--data", data),
        (*IMPROVE, "--steps", 240),
        ("evaluate", tmp_path / "policy", *WORLD),
    ):
        out = () if words[0] == "evaluate" else ("--out", tmp_path / "out")
        code, _, err = journeyman(*words, *out, "--seed", seed)
        assert (code, err) == (
            2,
            f"journeyman: --seed must be a whole number from 0 to 4294967295, not {seed}; change it.\n",
        )
    assert not (tmp_path / "out").exists()


def test_a_floor_is_refused_for_a_policy_of_choices(tmp_path: Path, journeyman: Journeyman) -> None:
    chain = ErrorChain(signs=4, horizon=6)
    save(erring_policy(chain, 1), tmp_path / "clone")
    words = ("improve", "--world", "ErrorChain", "--options", "signs=4", "horizon=6", "--policy", tmp_path / "clone")
    words = (*words, *"--algorithm reinforce --batch 60 --num-envs 5 --steps 240 --minimum-std 0.3".split())
    code, _, err = journeyman(*words, "--out", tmp_path / "run")
    assert code == 2
    assert "--minimum-std is 0.3, and a Categorical has no deviation to raise; leave it out." in err
    assert not (tmp_path / "run").exists()


def test_a_run_that_would_learn_nothing_is_refused(tmp_path: Path, journeyman: Journeyman) -> None:
    words = (*IMPROVE[:-2], "--out", tmp_path / "run")
    code, _, err = journeyman(*words, "--steps", 60)
    assert code == 2
    assert "--steps 60 is no more than the first batch of 60 steps, which only fits the baseline and tells" in err
    assert "ask for more than 60 steps, or for a smaller --batch" in err
    assert not (tmp_path / "run").exists()
    assert journeyman(*words, *"--steps 61 --episodes 2 --evaluation-episodes 0".split())[0] == 0


@pytest.mark.parametrize("verb", ["improve", "fit"])
def test_an_unfinished_run_says_so(verb: str, tmp_path: Path, journeyman: Journeyman) -> None:
    run = tmp_path / "run"
    data = ("--data", shown(tmp_path / "six.npz", 6))
    words = (*IMPROVE, *"--steps 240 --episodes 2".split()) if verb == "improve" else (*FIT, *data)
    assert journeyman(*words, "--out", run)[0] == 0
    rows = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(rows[:-1]))  # as after Ctrl-C in the last but one iteration
    code, out, err = journeyman("report", run)
    assert code == 0, err
    done = "180 of 240 environment steps" if verb == "improve" else "3 of 4 passes"
    said = f"This run is unfinished: {done} are done; go on with: journeyman resume"
    assert said in out
    assert said in (run / "report.html").read_text()


@pytest.mark.parametrize(
    ("found", "steps", "told"),
    [(-0.4321, 6, "6 steps with a return of −0.432"), (-1234.56, 1, "1 step with a return of −1,235")],
)
def test_the_caption_of_a_film_has_the_digits_of_the_table(
    monkeypatch: pytest.MonkeyPatch, found: float, steps: int, told: str
) -> None:
    pictures = np.zeros((2, 4, 4, 3), np.uint8)
    monkeypatch.setattr(pages, "frames", lambda *given, **more: Frames(pictures, found, steps, ""))
    world = LinearQuadratic(horizon=6)
    film = pages.film("clone", policy(world, jax.random.key(0), hidden=()), world, seed=3)
    assert film.caption == f"A whole episode: {told}, start seed 3."


@pytest.mark.parametrize("text", [None, "", '{"iteration": 1,'])
def test_a_page_of_nothing_told_is_one_sentence(tmp_path: Path, journeyman: Journeyman, text: str | None) -> None:
    run = tmp_path / "run"
    assert journeyman(*IMPROVE, *"--steps 120 --episodes 2".split(), "--out", run)[0] == 0
    metrics = run / "metrics.jsonl"
    metrics.unlink() if text is None else metrics.write_text(text)
    code, _, err = journeyman("report", run)
    assert code == 2
    assert f"'{metrics}' has no row, so nobody knows what this run did; put the file back" in err
    assert metrics.exists() == (text is not None)
    assert text is None or metrics.read_text() == text


def test_a_page_is_written_beside_who_holds_the_run(tmp_path: Path, journeyman: Journeyman) -> None:
    run = tmp_path / "run"
    assert journeyman(*IMPROVE, *"--steps 120 --episodes 2".split(), "--out", run)[0] == 0
    with Run.open(run):  # as another process does that goes on with it
        code, _, err = journeyman("report", run)
    assert code == 0, err
