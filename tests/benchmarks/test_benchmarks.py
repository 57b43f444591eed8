"""The benchmarks run and print what they promise, on sizes that measure nothing. No times are judged here."""

import dataclasses
import importlib.util
import json
import math
import runpy
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import (
    alternatives,
    asking,
    cloning,
    compounding,
    corrective,
    data,
    feedback,
    imitation,
    lasa,
    memory,
    noise_injection,
    occupancy,
    peers,
    pure_worlds,
    reacher,
    results,
    seeds,
    startup,
    throughput,
)
from benchmarks._opponent import answering
from journeyman.algorithms import ppo
from journeyman.weights import NetworkBaseline
from journeyman.worlds import lasa_shapes

needs_envpool = pytest.mark.skipif(importlib.util.find_spec("envpool") is None, reason="EnvPool is not installed")


def _told(capsys: pytest.CaptureFixture[str]) -> dict:
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1, "with --json there is one line and nothing else"
    return json.loads(lines[0])


@needs_envpool
def test_throughput_prints_the_speeds_and_the_ratios(capsys: pytest.CaptureFixture[str]) -> None:
    throughput.main(["--json", "--rounds", "1", "--envs", "4", "--steps", "8", "--threads", "1"])
    found = _told(capsys)
    assert list(found) == ["HalfCheetah-v5"]
    figures = found["HalfCheetah-v5"]
    for key in "raw collect natural_gradient ppo collect_ratio natural_gradient_ratio ppo_ratio".split():
        assert math.isfinite(figures[key])
        assert figures[key] > 0
    assert {"transfer", "weigh", "update", "baseline"} <= set(figures["milliseconds"])


@needs_envpool
def test_cloning_prints_samples_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    cloning.main(["--json", "--without", "--samples", "300", "--rounds", "1", "--epochs", "1"])
    found = _told(capsys)
    assert found["journeyman"] > 0
    assert found["first_call_seconds"] > 0
    assert "ratio" not in found


def test_pure_worlds_prints_steps_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--envs", "2", "--steps", "4", "--timesteps", "8", "--rounds", "1", "--options", '{"horizon": 3}']
    pure_worlds.main(["--json", "--world", "LinearQuadratic", *small])
    found = _told(capsys)["LinearQuadratic"]
    assert found["rollout"] > 0
    assert (found["envs"], found["steps"], found["iterations"], found["minibatches"]) == (2, 4, 1, 16)


def test_an_opponent_is_run_on_its_own_worlds_only() -> None:
    with pytest.raises(SystemExit, match=r"brax is run on worlds of brax and playground, not on 'LinearQuadratic'"):
        pure_worlds.main(["--world", "LinearQuadratic", "--envs", "2", "--steps", "4", "--opponents", "brax"])


def test_the_seconds_of_stable_baselines_are_those_of_training_as_ours_are(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def taking(seconds: float, answer: Any = None) -> Any:
        clock[0] += seconds
        return answer

    model = SimpleNamespace(learn=lambda steps: taking(1.0))
    stubs: dict[str, dict[str, Any]] = {
        "stable_baselines3": {"PPO": lambda *_, **__: taking(10.0, model)},
        "stable_baselines3.common.env_util": {"make_vec_env": lambda *_, **__: taking(100.0)},
        "stable_baselines3.common.evaluation": {"evaluate_policy": None},
        "stable_baselines3.common.vec_env": {"VecNormalize": None},
        "torch": {"set_num_threads": None},
    }
    for name, held in stubs.items():
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(**held))  # type: ignore[arg-type]
    worker = runpy.run_path(str(peers.WORKER))
    monkeypatch.setattr(worker["time"], "perf_counter", lambda: clock[0])
    assert worker["trained"]("sb3", "Hopper-v5", 1, 8, 0) == (model, 1.0)


@pytest.mark.slow
def test_brax_trains_beside_ours_in_a_process_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("brax")
    small = ["--envs", "16", "--steps", "4", "--timesteps", "64", "--rounds", "1", "--opponents", "brax"]
    pure_worlds.main(["--json", "--world", "brax:inverted_pendulum", *small])
    found = _told(capsys)["brax:inverted_pendulum"]
    assert found["brax"] > 0
    assert found["ppo_to_brax"] > 0


@pytest.mark.slow
def test_compounding_tells_each_seed_and_why_one_has_no_exponent(capsys: pytest.CaptureFixture[str]) -> None:
    compounding.main(["--json", "--seeds", "1", "--episodes", "50"])
    found = _told(capsys)["exponents"]
    assert list(found) == ["ε = 0.001, never back", "ε = 0.001, back by itself", *compounding.LABELS]
    for one in found.values():
        assert one["seeds"] == 1
        assert (one["exponents"] == [None]) == bool(one["not_identified"])


@pytest.mark.slow
@needs_envpool
def test_corrective_tells_seconds_and_labels(capsys: pytest.CaptureFixture[str]) -> None:
    corrective.main(["--json", "--transitions", "400", "--epochs", "2"])
    found = _told(capsys)
    assert found["transitions"] == 400
    assert found["again"]["total"] == pytest.approx(found["again"]["model"] + found["again"]["labels"], abs=0.011)


@pytest.mark.slow
@needs_envpool
def test_corrective_judges_labels_by_their_clones_and_keeps_runs_apart(shared_data: Path, tmp_path: Path) -> None:
    case = corrective.Case(
        imitation.Task("Hopper-v5", 1, 40, gradient_steps=20), 0.01, corrective.DisturbedAction(0.05)
    )
    folder, file = shared_data / "mujoco_experts", tmp_path / "kept.jsonl"
    asked = (case, folder, ("clone", "noisy", "true"), [0, 1], 2)
    found = corrective.returns(*asked, corrective.Kept(file))
    labels, _ = found["true"]["labels"]
    assert 0 < labels["labels"] <= labels["tried"] <= 40
    assert labels["beyond_bound"] == 0
    assert found["true_over_the_better"] == pytest.approx(
        found["true"]["mean"] / max(found["clone"]["mean"], found["noisy"]["mean"]), abs=1e-3
    )
    gained = found["true"]["mean"] - found["noisy"]["mean"]
    assert found["true_less_noisy"]["mean"] == pytest.approx(gained, abs=1e-3)
    again = corrective.returns(*asked, corrective.Kept(file))
    assert again["true"]["each"] == found["true"]["each"]
    assert len(file.read_text().splitlines()) == 6, "nothing was run twice"


@pytest.mark.slow
@needs_envpool
def test_feedback_tells_where_a_demonstrator_leads(shared_data: Path, tmp_path: Path) -> None:
    case = corrective.Case(
        imitation.Task("HalfCheetah-v5", 1, 40, gradient_steps=20), 0.01, corrective.Steered(0.02, 3.0)
    )
    folder, file = shared_data / "mujoco_experts", tmp_path / "kept.jsonl"
    found = feedback.feedback(case, folder, [0.0, 0.1], [0, 1], states=40)
    assert list(found["0.1"]) == ["1", "2", "5", "10", "20", "40"]
    assert max(found["0.0"]["1"]["expert"]) < 1e-6, "who was not moved goes where it went"
    assert found["0.0"]["40"]["held_to_path"][0] < found["0.1"]["40"]["held_to_path"][0]
    assert 0 < found["0.1"]["1"]["expert_is_nearer"][0] < 0.5
    asked = (case, folder, feedback.Moved(0.1, 2, 1.0), [0], 2)
    clones = feedback.returns(*asked, feedback.Kept(file))
    assert len({clones[action]["mean"][0] for action in feedback.ACTIONS}) == 3, "the actions are different ones"
    again = feedback.returns(*asked, feedback.Kept(file))
    assert [again[action]["each"] for action in feedback.ACTIONS] == [clones[one]["each"] for one in feedback.ACTIONS]
    assert len(file.read_text().splitlines()) == 3, "nothing was run twice"


@pytest.mark.slow
def test_asking_gives_everybody_as_many_labels(capsys: pytest.CaptureFixture[str]) -> None:
    asking.main(["--json", "--seeds", "0", "--rounds", "1", "--episodes", "2", "--epochs", "1"])
    found = _told(capsys)
    labels = {name: found[name]["labels"] for name in asking.QUERIES}
    most = asking.BATCH // asking.PART
    assert labels["first"] == [most]
    assert all(0 < labels[name][0] <= most for name in ("evenly", "uncertain", "disagree")), labels
    assert labels["everything"][0] > 10 * most
    assert all(len(found[name]["runs"][0]["cost"]) == 2 for name in asking.QUERIES)


@pytest.mark.slow
def test_reacher_makes_its_expert_and_judges_by_where_the_fingertip_ends() -> None:
    found = reacher.measure([0], 4, 6400, 1, reacher.Kept(None))
    assert found["dagger"]["labels"] > 900
    assert found["clone"]["labels"] == 0
    assert all(0 <= found[name]["success"]["mean"] <= 1 > found[name]["return"]["mean"] for name in ("clone", "dagger"))


@pytest.mark.slow
def test_occupancy_stops_where_the_target_is_reached_and_tells_where_not(shared_data: Path) -> None:
    data = shared_data / "mujoco_experts" / "hopper_demos.npz"
    reached, not_yet = (
        occupancy.measure(data, "gail", [0], 8192, share, 1.0, False, occupancy.Kept(None)) for share in (1e-3, 2.0)
    )
    assert reached["ours"][0]["reached"]
    assert reached["ours"][0]["steps"] == 0
    assert not_yet["ours"][0] == {"seconds": not_yet["ours"][0]["seconds"], "steps": 8192, "reached": False}


@pytest.mark.slow
@needs_envpool
def test_imitation_gives_every_method_as_many_demonstrations(shared_data: Path) -> None:
    task = imitation.Task("Hopper-v5", demonstrations=4, kept=20, labels=2000, gradient_steps=50, plain=2)
    found = imitation.measure(task, shared_data / "mujoco_experts", imitation.METHODS, [0], 2, imitation.Kept(None))
    assert found["expert"] == pytest.approx(3722, abs=30), "the published figure"
    for method in ("undisturbed", "isotropic", "random"):
        assert found[method]["labels"] == [2 * 20], "all but the two plain ones, thinned as the others"
    # Under the noise of a clone this poor the expert may fall; the round then holds the first step of another episode.
    assert found["dart"]["labels"][0] in (2 * 20, 2 * 20 + 1)
    assert found["undisturbed"]["supervised_share"] == pytest.approx(1, abs=0.01)
    assert found["undisturbed"]["noise_trace"] == [[0.0, 0.0]]
    (first, second), *_ = found["dart"]["noise_trace"]
    assert first == 0 < second
    assert 1900 < found["dagger"]["labels"][0] <= 2000


@pytest.mark.slow
@needs_envpool
def test_noise_injection_begins_with_one_clone_for_all_and_counts_demonstrations(shared_data: Path) -> None:
    sizes = imitation.Task("Hopper-v5", demonstrations=10, kept=10, horizon=60, gradient_steps=20, plain=5)
    methods, folder = ("dart", "dagger", "undisturbed"), shared_data / "mujoco_experts"
    found = noise_injection.measure(sizes, folder, methods, [0, 1], 2, imitation.Kept(None))
    assert found["dart"]["5"] == found["dagger"]["5"] == found["undisturbed"]["5"], "the same five demonstrations"
    assert found["dart"]["10"] != found["undisturbed"]["10"]
    assert found["undisturbed"]["supervised_share"] == pytest.approx(1, abs=0.05)
    difference = found["dart_less_dagger"]
    assert difference["low"] <= difference["mean"] <= difference["high"]
    assert difference["mean"] == pytest.approx(found["dart"]["10"]["mean"] - found["dagger"]["10"]["mean"], abs=2e-3)


@pytest.mark.slow
@needs_envpool
def test_results_tells_each_seed_and_their_interval(capsys: pytest.CaptureFixture[str]) -> None:
    results.main(
        ["--json", "--task", "natural-gradient/Hopper-v5", "--seeds", "0", "1", "--steps", "8192", "--episodes", "2"]
    )
    found = _told(capsys)["natural-gradient/Hopper-v5"]
    assert [run["seed"] for run in found["runs"]] == [0, 1]
    assert found["evaluation"]["low"] <= found["evaluation"]["mean"] <= found["evaluation"]["high"]
    assert len(found["runs"][0]["curve"]) == 2


def test_seeds_are_relative_to_the_first_number_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four that are the first are not a quarter of themselves."""
    monkeypatch.setattr(seeds, "_timed", lambda count, envs, steps, seconds: {"per_seed": 2.0 + count})
    found = seeds.measure([4, 16], envs=1, steps=1, seconds=0.0)
    assert {count: one["relative"] for count, one in found.items()} == {"4": 1.0, "16": 3.0}


@pytest.mark.slow
def test_seeds_prints_the_time_of_each(capsys: pytest.CaptureFixture[str]) -> None:
    seeds.main(["--json", "--seeds", "1,2", "--envs", "2", "--steps", "8", "--seconds", "0.1"])
    found = _told(capsys)["seeds"]
    assert list(found) == ["1", "2"]
    assert found["1"]["relative"] == 1
    assert all(found[n][key] > 0 for n in found for key in ("per_seed", "steps", "first"))


@pytest.mark.slow
@needs_envpool
def test_startup_tells_where_the_first_step_goes(capsys: pytest.CaptureFixture[str]) -> None:
    startup.main(["--json", "--rounds", "1", "--envs", "2", "--steps", "4"])
    found = _told(capsys)
    assert min(found["import"], found["help"]) > 0
    parts = found["first_step"]
    assert {"seconds", "import", "world", "policy", "initial", "decide", "weigh", "refit", "learn"} <= set(parts)


@pytest.mark.slow
@needs_envpool
def test_memory_compares_a_run_with_one_ten_times_as_long(capsys: pytest.CaptureFixture[str]) -> None:
    memory.main(["--json", "--envs", "2", "--batch", "8", "--steps", "16"])
    found = _told(capsys)["Hopper-v5"]
    assert found["iterations"] == [2, 20]
    assert found["ratio"] == pytest.approx(found["tenfold"] / found["once"], abs=1e-3)


@pytest.mark.slow
def test_data_compares_a_file_with_one_ten_times_as_large(capsys: pytest.CaptureFixture[str]) -> None:
    data.main(["--json", "--steps", "2000", "--kinds", "npz", "own"])
    found = _told(capsys)
    assert set(found) == {"idle", "lint npz", "read npz", "lint own", "map own", "machine"}
    for name in ("lint npz", "read npz", "lint own", "map own"):
        assert found[name]["steps"] == [2000, 20_000]
        assert min(found[name]["megabytes"]) >= 0.9 * found["idle"]


@pytest.mark.slow
def test_alternatives_gives_a_curve_with_intervals_for_every_method(capsys: pytest.CaptureFixture[str]) -> None:
    alternatives.main(["--json", "--seeds", "2", "--scale", "0.1"])
    tasks = _told(capsys)["tasks"]
    assert list(tasks) == ["gridworld", "linear-quadratic", "pendulum"]
    for task in tasks.values():
        assert len({curve["kind"] for curve in task["curves"].values()}) >= 2
        for curve in task["curves"].values():
            gap = curve["gap"]
            assert len(curve["evaluations"]) == len(gap["mean"]) == len(gap["low"]) == len(gap["high"])
            assert min(gap["mean"]) > -1e-4  # nothing is better than the best
    assert tasks["gridworld"]["curves"]["policy iteration"]["gap"]["mean"][-1] == pytest.approx(0, abs=1e-9)


@pytest.mark.slow
@pytest.mark.skipif(not lasa_shapes(), reason="the LASA data are not installed")
def test_lasa_compares_four_clones_of_each_shape_and_keeps_them(tmp_path: Path) -> None:
    quick, file = lasa.Choice(gradient_steps=16, model_epochs=50), tmp_path / "kept.jsonl"
    found = lasa.measure(["Sshape", "Worm"], [0], 4, lasa.Kept(file), quick)
    for method in lasa.METHODS:
        assert 0 <= found[method]["reached"]["mean"] <= 1
        assert 0 < found[method]["distance"]["low"] <= found[method]["distance"]["high"] < 100
    assert found["true"]["kept"] > 0.5
    assert found["true"]["beyond_bound"] == 0
    assert len(found["against"]) == 6
    assert found["against"]["noisy − clone"]["reached"]["p"] >= 0.5, "two shapes are four signs"
    assert len(file.read_text().splitlines()) == 8
    again = lasa.measure(["Sshape", "Worm"], [0], 4, lasa.Kept(file), quick)
    assert again["against"] == found["against"]


def test_a_peer_is_asked_and_compared_by_the_permutation_test(tmp_path: Path) -> None:
    low, high = np.arange(5.0), np.arange(5.0) + 10
    apart = peers.compare(high, low)
    assert apart["p"] == pytest.approx(2 / 252), "of the 252 splits this one and its mirror"
    assert apart["difference"]["low"] < apart["difference"]["mean"] == 10 < apart["difference"]["high"]
    assert peers.compare(low, low)["p"] == 1
    worker = tmp_path / "worker.py"
    worker.write_text("import sys\nprint('ready', flush=True)\nfor line in sys.stdin: print(2 * int(line), flush=True)")
    with answering(sys.executable, worker) as ask:
        assert [ask("1"), ask("21")] == [2, 42]


def test_runs_beside_a_peer_are_kept_and_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def worker(*_: object) -> AbstractContextManager:
        return nullcontext(lambda seed: asked.append(seed) or {"seconds": 8.0, "evaluation": float(seed)})

    def ours(task: results.Task, seed: int, episodes: int) -> dict:
        return {"seconds": 2.0, "evaluation": seed + 10.0}

    monkeypatch.setattr(peers, "_asked", worker)
    monkeypatch.setattr(peers, "run", ours)
    task, file = results.TASKS["ppo/Hopper-v5"], tmp_path / "kept.jsonl"

    def measured(sides: tuple[str, ...], seeds: list[int]) -> dict:
        return peers.measure("ppo/Hopper-v5", task, "sb3", 1, seeds, 5, sides, peers.Kept(file))

    assert measured(("theirs",), [0, 1])["theirs"] == [0.0, 1.0]
    found = measured(("ours", "theirs"), [0, 1, 2])
    assert (found["ours"], found["theirs"]) == ([10.0, 11.0, 12.0], [0.0, 1.0, 2.0])
    assert asked == ["0", "1", "2"]
    assert found["difference"]["mean"] == pytest.approx(10)
    # A recipe that is another one now is run anew under its old name.
    monkeypatch.setattr(peers, "run", lambda *_: {"seconds": 2.0, "evaluation": 7.0})
    assert measured(("ours",), [0])["ours"] == [10.0]
    task = dataclasses.replace(task, learner=ppo(baseline=NetworkBaseline(epochs=3)))
    assert measured(("ours",), [0])["ours"] == [7.0]
    assert len(file.read_text().splitlines()) == 7
    assert peers.Kept(None).run({"seed": 0}, lambda: {"evaluation": 1.0})["evaluation"] == 1.0
