"""The benchmarks run and print what they promise, on sizes that measure nothing. No times are judged here."""

import importlib.util
import json
import math

import pytest

from benchmarks import cloning, memory, pure_worlds, startup, throughput

needs_envpool = pytest.mark.skipif(importlib.util.find_spec("envpool") is None, reason="EnvPool is not installed")


def _told(capsys: pytest.CaptureFixture[str]) -> dict:
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1, "with --json there is one line and nothing else"
    return json.loads(lines[0])


@needs_envpool
def test_throughput_prints_the_three_speeds_and_the_two_ratios(capsys: pytest.CaptureFixture[str]) -> None:
    throughput.main(["--json", "--rounds", "1", "--envs", "4", "--steps", "8", "--threads", "1"])
    found = _told(capsys)
    assert list(found) == ["HalfCheetah-v5"]
    figures = found["HalfCheetah-v5"]
    for key in ("raw", "collect", "natural_gradient", "collect_ratio", "natural_gradient_ratio"):
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
