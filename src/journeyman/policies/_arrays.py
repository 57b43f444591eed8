"""Named arrays as one safetensors file, beside a JSON file that declares each of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from journeyman.parts import JourneymanError, did_you_mean, fingerprint, refuse
from journeyman.policies._files import check_keys, parse_json, read_file

MAX_HEADER_BYTES = 2**20
MAX_ARRAY_BYTES = 2**32

_ARRAY_SCHEMA: dict[str, tuple[type, ...]] = {"dtype": (str,), "shape": (list,), "digest": (str,)}
_TENSOR_SCHEMA: dict[str, tuple[type, ...]] = {"dtype": (str,), "shape": (list,), "data_offsets": (list,)}
_DTYPES = {
    **{
        f"{kind}{bits}": f"{letter}{bits}" for kind, letter in (("int", "I"), ("uint", "U")) for bits in (8, 16, 32, 64)
    },
    "bool": "BOOL",
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
}


def declare_arrays(arrays: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Type, shape and digest of each array: what a JSON file says about the safetensors file beside it."""
    foreign = [name for name, array in arrays.items() if array.dtype.name not in _DTYPES]
    if foreign:
        raise JourneymanError(
            f"'{foreign[0]}' is an array of {arrays[foreign[0]].dtype}, which has no form on disk; convert"
            " it to one of"
            f" {', '.join(_DTYPES)}."
        )
    return {
        name: {"dtype": array.dtype.name, "shape": list(array.shape), "digest": fingerprint(array)}
        for name, array in arrays.items()
    }


def pack_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The arrays as the bytes of a safetensors file."""
    from safetensors.numpy import save as serialize

    return serialize({name: np.array(array, order="C", ndmin=0) for name, array in arrays.items()})


def read_arrays(path: Path, declared: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file, exactly those that `declared` (of `declare_arrays`) promises.

    Raises `JourneymanError` when a byte is missing or too many, or a name, type, shape or digest differs.
    """
    size = 0
    for name, entry in declared.items():
        _check_entry(entry, _ARRAY_SCHEMA, f"The declaration of '{name}' beside '{path}'")
        size += _num_bytes(entry["dtype"], entry["shape"], name, path)
    if size > MAX_ARRAY_BYTES:
        raise JourneymanError(f"'{path}' should hold {size} bytes and {MAX_ARRAY_BYTES} is the limit; write it again.")
    data = read_file(path, 8 + MAX_HEADER_BYTES + size)
    arrays = {}
    for name, begin in _locate(data, declared, size, path).items():
        dtype, shape = _dtype(declared[name]["dtype"]), declared[name]["shape"]
        count = int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(data, dtype, count, begin).reshape(shape)
    refuse(
        [
            f"'{path}' was changed after it was written: the array '{name}' differs"
            f" ({declared[name]['digest']} is"
            f" written, {fingerprint(array)} is found); write it again."
            for name, array in sorted(arrays.items())
            if fingerprint(array) != declared[name]["digest"]
        ]
    )
    return arrays


def _dtype(name: str) -> np.dtype:
    return np.dtype(jnp.bfloat16) if name == "bfloat16" else np.dtype(name)


def _check_entry(entry: Any, schema: Mapping[str, tuple[type, ...]], where: str) -> None:
    check_keys(entry, schema, where)
    for key in ("shape", "data_offsets"):
        if any(type(n) is not int or n < 0 for n in entry.get(key, [])):
            raise JourneymanError(f"{where}: '{key}' must list integers from 0 up; it is damaged, so write it again.")


def _num_bytes(dtype: str, shape: Sequence[int], name: str, path: Path) -> int:
    if dtype not in _DTYPES:
        raise JourneymanError(
            f"'{name}' beside '{path}' has the unknown type '{dtype[:40]}'.{did_you_mean(dtype, _DTYPES)}"
            " Write it again."
        )
    count = _dtype(dtype).itemsize
    for length in shape:  # Python's integers: a shape cannot overflow its way past the limit
        count *= length
    return count


def _locate(data: bytes, declared: Mapping[str, Any], size: int, path: Path) -> dict[str, int]:
    """Where each declared array begins in `data`, after the header has been held against the declaration."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > MAX_HEADER_BYTES or len(data) != 8 + length + size:
        raise JourneymanError(
            f"'{path}' has {len(data)} bytes, which does not fit a header of {length} and {size} bytes of"
            " arrays; it"
            " is truncated or damaged, so write it again."
        )
    header = parse_json(data[8 : 8 + length], f"The header of '{path}'")
    if not isinstance(header, dict) or set(header) != set(declared):
        odd = min(set(header) ^ set(declared)) if isinstance(header, dict) else "header"
        raise JourneymanError(f"'{path}' and the JSON beside it do not agree about the array '{odd}'; write it again.")
    for name, entry in header.items():
        where, want = f"'{path}', array '{name}'", declared[name]
        _check_entry(entry, _TENSOR_SCHEMA, where)
        if (entry["dtype"], entry["shape"]) != (_DTYPES[want["dtype"]], want["shape"]):
            raise JourneymanError(
                f"{where} is {entry['dtype'][:9]} {entry['shape']} where {_DTYPES[want['dtype']]}"
                f" {want['shape']} is"
                " declared; write it again."
            )
    end, begins = 0, {}
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        bytes_wanted = _num_bytes(declared[name]["dtype"], entry["shape"], name, path)
        if entry["data_offsets"] != [end, end + bytes_wanted]:
            raise JourneymanError(
                f"'{path}' has a gap or an overlap at the array '{name}'; it is damaged, so write it again."
            )
        begins[name] = 8 + length + end
        end += bytes_wanted
    return begins
