"""Compiled programs kept on disk for the next process: opt-in, and bounded."""

import os
import platform
from pathlib import Path

import jax

from journeyman.parts import JourneymanError, fingerprint, require

MEGABYTES = 512


def compile_cache(folder: str | Path | None = None, *, megabytes: float = MEGABYTES) -> Path:
    """Keep compiled programs in `folder`, so that the next process need not compile them. Returns where they lie.

    Nothing is kept unless this is called (or `--compile-cache` given): importing the library never turns it on. It is
    JAX's own persistent cache, with every program admitted however quickly it was compiled. At most `megabytes` are
    kept; beyond them the program unused for longest goes. A program is found again by its text, the versions of JAX and
    XLA, and the compiler's flags; machine code also depends on the processor, so each kind of processor has a folder of
    its own inside `folder`. Numbers do not change: it is the same program.

    `folder` is by default `journeyman/compiled` in `$XDG_CACHE_HOME`, or in `~/.cache`. Call it before anything is
    compiled: what was compiled earlier in this process is not kept.

    Raises `JourneymanError` for a bound that is not positive, a folder that cannot be made, and without `filelock`, by
    which processes share the folder.
    """
    if not megabytes > 0:
        raise JourneymanError(f"The compile cache is bounded by a positive number of megabytes, not {megabytes}.")
    require("filelock", extra="cache")
    place = (_default() if folder is None else Path(folder).expanduser()).absolute() / _processor()
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise JourneymanError(
            f"The compile cache '{place}' cannot be made ({error.strerror}); choose another folder."
        ) from error
    jax.config.update("jax_compilation_cache_dir", str(place))
    jax.config.update("jax_compilation_cache_max_size", int(megabytes * 2**20))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    from jax.experimental.compilation_cache import compilation_cache

    # JAX decides once, at the first compilation, whether and where it caches; this makes it decide again.
    compilation_cache.reset_cache()
    return place


def _default() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "journeyman" / "compiled"


def _processor() -> str:
    """A name for what machine code may use here: architecture and instruction sets."""
    words = [platform.machine(), platform.processor()]
    try:
        told = Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux
        told = ""
    flags = next((line for line in told.splitlines() if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()}-{fingerprint([*words, ' '.join(sorted(flags.split()))])}"
