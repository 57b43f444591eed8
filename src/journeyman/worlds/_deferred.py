"""Modules that a package imports and hardly ever uses, imported when it does."""

import contextlib
import pkgutil
import sys
import types
from collections.abc import Iterator
from typing import Any


class _Deferred(types.ModuleType):
    """Stands for what its name says, a module or something in one, until that is used."""

    importing = True

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # such a question is about the module, and not for what is in it
            raise AttributeError(name)
        if type(self).importing:
            return _Deferred(f"{self.__name__}.{name}")
        return getattr(pkgutil.resolve_name(self.__name__), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return pkgutil.resolve_name(self.__name__)(*args, **kwargs)


@contextlib.contextmanager
def deferred(*names: str) -> Iterator[None]:
    """What is imported here gets stand-ins for these modules, unless they are loaded already; nobody else does.

    They must be named with the packages that they are in. Using anything of a stand-in later imports the module.
    """
    absent = [name for name in names if name not in sys.modules]
    _Deferred.importing = True
    sys.modules.update({name: _Deferred(name) for name in absent})
    try:
        yield
    finally:
        _Deferred.importing = False
        for name in absent:
            sys.modules.pop(name, None)
