"""The README and the docs cannot lie: their code runs.

The blocks of one page run in order in an empty folder: `python` blocks in one namespace, `bash` blocks of
`journeyman` commands in a process of their own each. `pytest -m docs` runs them, as `.ci/run` does. A block is exempt
only by a comment right above it, `<!-- no-run: why -->`; `<!-- slow: why -->` keeps it for `pytest -m slow`, which runs
the whole page.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN = {"python", "bash", "sh", "shell", "console"}
LEFT_ALONE = {"text", "json", "bibtex", "toml", "yaml", "html", "markdown", "csv", "pycon", "mermaid", "diff"}
FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,}|~{3,})(?P<info>.*)$")
COMMENT = re.compile(r"^\s*<!--\s*(?P<word>[\w-]+)(?::\s*(?P<why>.*?))?\s*-->\s*$")
SECONDS, SLOW_SECONDS = 120, 900  # a hanging command must not hang the tests


class Block(NamedTuple):
    language: str
    text: str
    line: int  # of its first line
    marks: dict[str, str]  # `no-run` or `slow` -> why


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page, each with the comments right above it."""
    lines = page.splitlines()
    marks: dict[str, str] = {}
    at = 0
    while at < len(lines):
        line, at = lines[at], at + 1
        if comment := COMMENT.match(line):
            marks[comment["word"]] = comment["why"] or ""
        elif fence := FENCE.match(line):
            start = at
            close = re.compile(rf"^ *{fence['ticks']}\s*$")
            while at < len(lines) and not close.match(lines[at]):
                at += 1
            body = "\n".join(text.removeprefix(fence["indent"]) for text in lines[start:at])
            yield Block(fence["info"].strip(), body, start + 1, marks)
            marks, at = {}, at + 1
        elif line.strip():
            marks = {}


def commands(block: Block) -> list[str]:
    """The command lines of a shell block; those of a `console` block follow a `$`, the rest is its output."""
    text = re.sub(r"\s*\\\n\s*", " ", block.text)
    lines = [line.strip() for line in text.splitlines()]
    if block.language == "console":
        lines = [line.removeprefix("$").strip() for line in lines if line.startswith("$")]
    return [line for line in lines if line and not line.startswith("#")]


def complaint(block: Block) -> str | None:
    """Why a block is neither run nor openly exempt, or None."""
    for mark in ("no-run", "slow"):
        if mark in block.marks and len(block.marks[mark].split()) < 2:
            return f"`<!-- {mark}: why -->` needs a reason"
    if block.language in LEFT_ALONE or "no-run" in block.marks:
        return None
    if block.language not in RUN:
        return f"'```{block.language}' is not a known language; write one of {sorted(RUN | LEFT_ALONE)}"
    if block.language != "python" and not commands(block):
        return "no command in it; in a `console` block a command begins with `$`"
    foreign = [c for c in commands(block) if block.language != "python" and not c.startswith("journeyman ")]
    if foreign:
        return f"'{foreign[0]}' is not a journeyman command; put `<!-- no-run: why -->` above the block"
    return None


def run_page(path: Path, page: list[Block], folder: Path) -> None:
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in page:
        if block.language == "python":
            source = "\n" * (block.line - 1) + block.text
            exec(compile(source, str(path), "exec"), namespace)
            continue
        for command in commands(block):
            run_command(
                command,
                f"{path.name}:{block.line}",
                folder,
                SLOW_SECONDS if "slow" in block.marks else SECONDS,
            )


def run_command(command: str, where: str, folder: Path, seconds: float) -> None:
    scripts = str(Path(sys.executable).parent)
    env = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}"}
    shell = ["bash", "-euo", "pipefail", "-c", command]
    done = subprocess.run(shell, cwd=folder, env=env, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, f"{where}: `{command}` ended with {done.returncode}\n{done.stdout}\n{done.stderr}"


def runnable(path: Path) -> list[Block]:
    found = blocks(path.read_text(encoding="utf-8"))
    return [b for b in found if b.language in RUN and "no-run" not in b.marks]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_every_block_is_run_or_openly_exempt(path):
    found = [(b.line, complaint(b)) for b in blocks(path.read_text(encoding="utf-8"))]
    assert not [f"{name(path)}:{line} {why}" for line, why in found if why]


@pytest.mark.docs
@pytest.mark.parametrize("path", [p for p in PAGES if runnable(p)], ids=name)
def test_the_blocks_of_a_page_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_page(path, [b for b in runnable(path) if "slow" not in b.marks], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("path", [p for p in PAGES if any("slow" in b.marks for b in runnable(p))], ids=name)
def test_the_blocks_of_a_page_run_with_the_slow_ones(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_page(path, runnable(path), tmp_path)


# -- and they can fail ----------------------------------------------------------------------

PAGE = """
Text.

<!-- no-run: needs a browser -->
```python
raise SystemExit
```

1. In a list:

    ```python
    x = 1
    ```

<!-- slow: a whole run -->

```console
$ journeyman quickstart \\
    --seed 1
Wrote quickstart.
$ journeyman worlds
```
"""


def test_blocks_are_read_with_their_marks():
    first, second, third = blocks(PAGE)
    assert (first.language, first.text, first.line) == ("python", "raise SystemExit", 6)
    assert first.marks == {"no-run": "needs a browser"}
    assert (second.text, second.marks) == ("x = 1", {})
    assert third.marks == {"slow": "a whole run"}
    assert commands(third) == ["journeyman quickstart --seed 1", "journeyman worlds"]
    assert [complaint(block) for block in blocks(PAGE)] == [None, None, None]


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("```python no-run\nx\n```", "not a known language"),
        ("```\nx\n```", "not a known language"),
        ("<!-- no-run: -->\n```python\nx\n```", "needs a reason"),
        ("```bash\npip install x\n```", "is not a journeyman command"),
        ("```console\njourneyman worlds\n```", "a command begins with `$`"),
        ("<!-- no-run: too far away -->\nText.\n```bash\nls\n```", "is not a journeyman command"),
    ],
)
def test_a_block_that_would_be_skipped_silently_is_found(page, message):
    (block,) = blocks(page)
    assert message in (complaint(block) or "")


def test_a_false_block_fails_at_its_line(tmp_path):
    page = list(blocks("```python\nx = 1\n```\n\n```python\nassert x == 2\n```\n"))
    with pytest.raises(AssertionError) as caught:
        run_page(tmp_path / "page.md", page, tmp_path)
    assert caught.traceback[-1].lineno + 1 == 6


def test_a_failing_command_fails(tmp_path):
    with pytest.raises(AssertionError, match="ended with 3"):
        run_command("exit 3", "page.md:1", tmp_path, 10)
