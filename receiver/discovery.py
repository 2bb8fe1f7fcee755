"""Finding plugins: the modules that settings or entry points name, and the handlers in them."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from receiver.errors import PluginError, SettingsError
from receiver.plugin_settings import check_names
from receiver.plugins import Handler, Handlers

GROUP = "receiver.handlers"
BUILT_IN = ("handlers.helper_bot",)


def load(names: Iterable[str] = ()) -> dict[str, Handler]:
    """Import the modules `names` (default: installed plugins and the built-in ones); return their handlers.

    A name is a module's, or a Python file's path.

    Raises:
        PluginError: a module does not import or holds no Handlers, or two handlers share a name.
        SettingsError: plugins' settings are wrong: all that are, at once.
    """
    handlers: dict[str, Handler] = {}
    for name, groups in _import_all(tuple(names)).items():
        for group in groups:
            for handler in group:
                if handler.name in handlers:
                    raise PluginError(
                        f"the handler {handler.name} is registered twice, the second time by {name}. "
                        "Two plugins must not share the name given to Handlers(...)."
                    )
                handlers[handler.name] = handler
    return handlers


def _import_all(named: tuple[str, ...]) -> dict[str, list[Handlers]]:
    """Import the modules, and read every plugin's settings."""
    here = str(Path.cwd())
    if named and here not in sys.path:
        sys.path.append(here)  # at the end: a redis.py there must not hide the one that we import
    found: dict[str, list[Handlers]] = {}
    wrong: list[str] = []
    for name in named or installed():
        try:
            found[name] = _groups(_import(name), name)
            for group in found[name]:
                if group.settings_class is not None:
                    _ = group.settings
        except SettingsError as error:  # where the module reads them itself, it ends there
            wrong += str(error).splitlines()
    classes = {group.settings_class: None for groups in found.values() for group in groups}
    wrong = wrong or check_names(one for one in classes if one is not None)
    if wrong:
        raise SettingsError("\n".join(dict.fromkeys(wrong)))
    return found


def installed() -> tuple[str, ...]:
    """Return the modules of the plugins that are installed, and those built in."""
    return tuple(dict.fromkeys([*BUILT_IN, *sorted(entry.module for entry in entry_points(group=GROUP))]))


def _import(name: str) -> ModuleType:
    path = Path(name).resolve()
    if path.suffix == ".py" and not path.is_file():
        raise PluginError(f"there is no handler file {path}. RECEIVER_HANDLERS names it.")
    try:
        if path.suffix == ".py":
            return _import_file(path)
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise PluginError(
                f"the handler module {name!r} was not found. RECEIVER_HANDLERS takes names of modules that "
                f"Python can import from {Path.cwd()} or from what is installed, or paths of .py files."
            ) from error
        raise PluginError(f"the handler module {name!r} does not import:\n{_own_frames(error)}") from error
    except SettingsError:
        raise
    except Exception as error:
        raise PluginError(f"the handler module {name!r} does not import:\n{_own_frames(error)}") from error


def _import_file(path: Path) -> ModuleType:
    """Import a file under a name of its own: another module may be called handlers, or json, as well."""
    digest = hashlib.blake2b(bytes(path), digest_size=4).hexdigest()
    name = f"{re.sub(r'[^A-Za-z0-9]', '_', path.stem)}_{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # at the end: a file beside it must not hide what others import
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _own_frames(error: BaseException) -> str:
    """Return the traceback of `error` without the import machinery above the plugin's own code."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen ") and frame.filename not in (__file__, importlib.__file__)
    ]
    lines = traceback.format_list(frames) + traceback.format_exception_only(error)
    return "".join(lines).rstrip()


def _groups(module: ModuleType, name: str) -> list[Handlers]:
    groups = [value for value in vars(module).values() if isinstance(value, Handlers)]
    if not groups:
        raise PluginError(
            f"the handler module {name!r} holds no Handlers object. "
            'It needs one at its top level: handlers = Handlers("some_name")'
        )
    return list(dict.fromkeys(groups))
