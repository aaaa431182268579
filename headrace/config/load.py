"""Read YAML with overlays and --set, and turn every complaint into file, key, found, wanted."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from headrace.config.model import Config
from headrace.errors import ConfigError
from headrace.shipped import shipped_folder

__all__ = ["conf_dir", "config_from", "load_config"]

_IN_FILES = {
    "features": "feature groups",
    "gates": "gates",
    "train": "the model",
}  # keys that may name a file of their own
# Mappings that are one thing: whoever names these parts of them declares another, and changes nothing of the one below.
_WHOLE = {"fusion": ("form",), "tune": ("utility",)}
_SPARK_CONF = "spark.conf."
_SHIPPED = {"features": "features.yaml", "gates": "coverage.yaml", "train": "model.yaml"}


def conf_dir() -> Path:
    """Folder of the configuration files that ship with the package."""
    return shipped_folder("conf")


def load_config(path: str | Path | None = None, *, settings: Sequence[str] = ()) -> Config:
    """Read a configuration file with what it extends, apply `settings`, validate.

    Parameters
    ----------
    path : path, default conf/local.yaml of the package
    settings : sequence of "key.sub=value"
        Values are YAML; they win over every file.

    Raises
    ------
    ConfigError
        A file is missing or not YAML, a key is unknown, or a value is not what was wanted.
    """
    source = Path(path) if path is not None else conf_dir() / "local.yaml"
    origins = [(str(file), layer) for file, layer in _layers(source, seen=())]
    origins += [("--set", _parse_setting(s)) for s in settings]
    values: dict[str, Any] = {}
    for file, layer in list(origins):
        for key in _IN_FILES:
            if isinstance(layer.get(key), str):
                values.pop(key, None)  # a path replaces what stands below it, a mapping changes it
            layer = _with_file(layer, key, origins, file=file)
        values = _merge(values, layer)
    return _validated(values, origins)


def config_from(values: Mapping[str, Any], *, origin: str) -> Config:
    """A configuration from its plain values (`Config.settings`); complaints name `origin`. Raises as `load_config`."""
    return _validated(dict(values), [(origin, dict(values))])


def _validated(values: dict[str, Any], origins: list[tuple[str, dict[str, Any]]]) -> Config:
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise _explain(error, origins) from None
    config._settings.update(json.loads(json.dumps(values, default=str)))
    return config


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(
            str(path),
            found="no such file",
            wanted="a YAML configuration file",
            remedy="check --config, or start from conf/local.yaml",
        )
    try:
        with path.open(encoding="utf-8") as stream:  # a stream, so that complaints name the file
            loaded = yaml.load(stream, Loader=_UniqueKeys)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(
            str(path), found=" ".join(str(error).split()), wanted="valid YAML", remedy="mend it"
        ) from None
    if not isinstance(loaded, dict):
        raise ConfigError(
            str(path),
            found=f"a {type(loaded).__name__}",
            wanted="keys and values",
            remedy="see conf/base.yaml for the keys",
        )
    return loaded


class _UniqueKeys(yaml.SafeLoader):
    """SafeLoader that refuses a key written twice, which YAML would silently overwrite."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _layers(path: Path, *, seen: tuple[Path, ...]) -> list[tuple[Path, dict[str, Any]]]:
    """The file and what it extends, base first. Paths inside are made relative to their own file."""
    if path.resolve() in seen:
        raise ConfigError(f"{path}: extends", found="a circle", wanted="a chain that ends", remedy="break it")
    layer = _read(path)
    parent = layer.pop("extends", None)
    for key in ("root", "landing", *_IN_FILES):
        if isinstance(layer.get(key), str) and "://" not in layer[key]:
            layer[key] = _anchor(layer[key], key=key, file=path)
    if parent is None:
        return [(path, layer)]
    if not isinstance(parent, str):
        raise ConfigError(
            f"{path}: extends", found=repr(parent), wanted="one file name", remedy="name the file to extend"
        )
    parent_path = path.parent / parent
    if not parent_path.is_file():
        parent_path = conf_dir() / parent
    if not parent_path.is_file():
        raise ConfigError(
            f"{path}: extends",
            found=f"no file {parent}, neither beside it nor among the shipped ones",
            wanted="a configuration file to build on",
            remedy="correct the name; extends: base.yaml is the usual one",
        )
    return [*_layers(parent_path, seen=(*seen, path.resolve())), (path, layer)]


def _anchor(value: str, *, key: str, file: Path) -> str:
    """Paths of the shipped files stand in the working folder; those of a user's file beside it."""
    if Path(value).is_absolute():
        return value
    if key in _IN_FILES:
        beside = file.parent / value
        return str(beside if beside.is_file() else conf_dir() / value)
    base = Path.cwd() if file.resolve().parent == conf_dir().resolve() else file.resolve().parent
    return str((base / value).resolve())


def _merge(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(low)
    for key, value in high.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        whole = isinstance(value, Mapping) and any(part in value for part in _WHOLE.get(key, ()))
        merged[key] = _merge(merged[key], value) if both and not whole else value
    return merged


def _parse_setting(setting: str) -> dict[str, Any]:
    key, equals, text = setting.partition("=")
    if not equals or not key.strip():
        raise ConfigError(
            " ".join(["--set", *setting.split()[:1]]),  # what follows a blank may be a secret
            found="no key=value",
            wanted="key.sub=value",
            remedy="for example --set sampling.negative_rate=0.05",
        )
    name = key.strip()
    if name.startswith(_SPARK_CONF):  # one setting of Spark, whose name has dots of its own
        return {"spark": {"conf": {name.removeprefix(_SPARK_CONF): text}}}
    try:
        value: Any = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    for part in reversed(name.split(".")):
        value = {part: value}
    return dict(value)


def _with_file(
    layer: dict[str, Any], key: str, origins: list[tuple[str, dict[str, Any]]], *, file: str
) -> dict[str, Any]:
    """A path under `features`, `gates` or `train` becomes what the file says."""
    path = layer.get(key)
    if not isinstance(path, str):
        return layer
    if not Path(path).is_file():
        raise ConfigError(
            f"{file}: {key}",
            found=f"no file {Path(path).name}, neither beside it nor among the shipped ones",
            wanted=f"a YAML file of {_IN_FILES[key]}",
            remedy=f"correct the path, or start from conf/{_SHIPPED[key]}",
        )
    loaded = _read(Path(path))
    place = next(n for n, (name, _) in enumerate(origins) if name == file)
    origins.insert(place + 1, (path, {key: loaded}))  # above the file that names it and what that extends
    return {**layer, key: loaded}


def _explain(error: ValidationError, origins: list[tuple[str, dict[str, Any]]]) -> ConfigError:
    """First complaint as file: key, found, wanted."""
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    key = ".".join(path) or "configuration"
    where = f"{_origin(path, origins)}: {key}"
    message = str(first["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    given = first.get("input")
    more = f" ({error.error_count() - 1} more after this one)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        return ConfigError(
            where,
            found=f"an unknown key {path[-1]!r}",
            wanted="a key that conf/base.yaml or conf/features.yaml documents",
            remedy=f"check the spelling, or remove it{more}",
        )
    if first["type"] == "missing":
        return ConfigError(where, found="nothing", wanted="a value", remedy=f"add it; see conf/base.yaml{more}")
    if first["type"] == "value_error" and ", wanted " in message:
        found, wanted = message.split(", wanted ", 1)
        head, _, found = found.rpartition("found ")
        inner = head.strip(" :").split(".") if head.strip(" :") else []
        full = inner if inner[:1] == path[:1] or not path else [*path, *inner]
        where = f"{_origin(full, origins)}: {'.'.join(full) or key}"
        return ConfigError(where, found=found, wanted=wanted, remedy=f"change it there{more}")
    found = "one of another kind, not shown" if path[:1] == ["spark"] else repr(given)[:120]  # it may hold a secret
    return ConfigError(where, found=found, wanted=message, remedy=f"change it there{more}")


def _origin(path: Sequence[str], origins: list[tuple[str, dict[str, Any]]]) -> str:
    """The last layer that names the longest part of the key."""
    best, depth = origins[0][0], 0
    for file, layer in origins:
        at: Any = layer
        reached = 0
        for part in path:
            if not isinstance(at, Mapping) or part not in at:
                break
            at, reached = at[part], reached + 1
        if reached >= depth:
            best, depth = file, reached
    return best
