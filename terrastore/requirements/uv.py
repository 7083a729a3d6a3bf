"""What the machine's own uv settings say about resolution: ``UV_*`` variables and uv's configuration files.

Every setting has its place in one of the tables: it counts, it is without effect, it is terrastore's to say, it is of
other commands, or it is refused. What stands in none of them is refused too, so that nothing is dropped.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from terrastore.errors import UsageError, reason
from terrastore.redaction import without_secrets
from terrastore.requirements.lines import (
    LineError,
    Wanted,
    as_path,
    index_identity,
    is_file_url,
    is_url,
    parse,
)
from terrastore.requirements.text import logical_lines
from terrastore.requirements.uv_projects import pyproject, settings_of, upwards, workspace_root

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from terrastore.requirements.reader import Reader

_INDEXES: Final = frozenset({"index", "index-url", "extra-index-url"})
_REQUIREMENTS: Final = frozenset(
    {
        "build-constraint-dependencies", "constraint-dependencies", "exclude-dependencies", "extra-build-dependencies",
        "override-dependencies", "upgrade-package",
    }
)  # fmt: skip
SHAPING: Final = _INDEXES | _REQUIREMENTS | {
    "config-settings", "config-settings-package", "dependency-metadata", "exclude-newer", "exclude-newer-package",
    "extra-build-variables", "find-links", "fork-strategy", "index-strategy", "no-binary", "no-binary-package",
    "no-build", "no-build-isolation", "no-build-isolation-package", "no-build-package", "no-deps", "no-index",
    "no-sources", "no-sources-package", "offline", "only-binary", "prerelease", "prerelease-package", "preview",
    "preview-features", "reinstall", "reinstall-package", "require-build-hashes", "require-hashes", "resolution",
    "torch-backend", "upgrade", "verify-hashes",
}  # fmt: skip
"""Settings that decide what is installed: uv gets them, and they are part of the key."""
WITHOUT_EFFECT: Final = frozenset(
    {
        "allow-insecure-host", "concurrent-builds", "concurrent-downloads", "concurrent-installs", "http-proxy",
        "https-proxy", "keyring-provider", "native-tls", "no-proxy", "required-version", "strict", "system-certs",
    }
)  # fmt: skip
"""Settings that decide how uv works: it gets them, and they are not part of the key."""
OURS: Final = frozenset(
    {
        "break-system-packages", "cache-dir", "compile-bytecode", "link-mode", "no-cache", "pypy-install-mirror",
        "graalpy-install-mirror", "pyodide-install-mirror", "python", "python-downloads", "python-downloads-json-url",
        "python-install-mirror", "python-preference", "system",
    }
)  # fmt: skip
"""Settings of what terrastore decides: which environment, from which cache, in which way."""
OF_OTHER_COMMANDS: Final = frozenset(
    {
        "add-bounds", "allow-empty-requirements", "annotation-style", "audit", "build-backend", "cache-keys",
        "check-url", "conflicts", "custom-compile-command", "default-groups", "dependency-groups", "dev-dependencies",
        "emit-build-options", "emit-find-links", "emit-index-annotation", "emit-index-url", "emit-marker-expression",
        "environments", "generate-hashes", "managed", "minimum-libc-version", "no-annotate", "no-emit-package",
        "no-header", "no-strip-extras", "no-strip-markers", "output-file", "package", "publish-url",
        "required-environments", "sources", "trusted-publishing", "universal", "workspace",
    }
)  # fmt: skip
"""Settings that ``uv pip install`` does not look at; what ``sources`` say of a project that is installed is looked at
where that project is named."""
REFUSED: Final = {
    **dict.fromkeys(("target", "prefix"), "it would lead uv out of the environment"),
    **dict.fromkeys(("python-platform", "python-version"), "it would install for another interpreter than this one"),
    **dict.fromkeys(("all-extras", "extra", "group", "no-extra"), "no requirements file has extras or groups"),
}
"""Settings that cannot be obeyed, and why."""

_REQUIREMENTS_FILES: Final = frozenset({"UV_BUILD_CONSTRAINT", "UV_CONSTRAINT", "UV_EXCLUDE", "UV_OVERRIDE"})
_SAME: Final = {
    "UV_EXCLUDE_NEWER": "exclude-newer",
    "UV_FORK_STRATEGY": "fork-strategy",
    "UV_INDEX_STRATEGY": "index-strategy",
    "UV_PRERELEASE": "prerelease",
    "UV_RESOLUTION": "resolution",
    "UV_TORCH_BACKEND": "torch-backend",
}
_INDEX_VARIABLES: Final = frozenset({"UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_INDEX", "UV_INDEX_URL"})
OF_INDEXES: Final = _INDEXES | _INDEX_VARIABLES | {
    *(f"pip.{name}" for name in (*_INDEXES, "find-links", "index-strategy")),
    "UV_FIND_LINKS", "find-links", "index-strategy", "no-index",
}  # fmt: skip
"""What says where to look, and no more: settings, variables, and the same in ``[pip]``."""
SHAPING_VARIABLES: Final = _REQUIREMENTS_FILES | _SAME.keys() | _INDEX_VARIABLES | {
    "UV_AMD_GPU_ARCHITECTURE", "UV_CUDA_DRIVER_VERSION", "UV_FIND_LINKS", "UV_GIT_LFS", "UV_INSECURE_NO_ZIP_VALIDATION",
    "UV_NO_BINARY", "UV_NO_BINARY_PACKAGE", "UV_NO_BUILD", "UV_NO_BUILD_ISOLATION", "UV_NO_BUILD_PACKAGE",
    "UV_NO_EDITABLE", "UV_NO_SOURCES", "UV_NO_SOURCES_PACKAGE", "UV_NO_VERIFY_HASHES", "UV_OFFLINE", "UV_PREVIEW",
    "UV_PREVIEW_FEATURES", "UV_REQUIRE_BUILD_HASHES", "UV_REQUIRE_HASHES", "UV_SKIP_WHEEL_FILENAME_CHECK",
}  # fmt: skip
VARIABLES_WITHOUT_EFFECT: Final = frozenset(
    {
        "UV_API_KEY", "UV_AUTH_TOKEN", "UV_AZURE_ENDPOINT_URL", "UV_CONCURRENT_BUILDS", "UV_CONCURRENT_CACHE_READS",
        "UV_CONCURRENT_DOWNLOADS", "UV_CONCURRENT_INSTALLS", "UV_CREDENTIALS_DIR", "UV_GCS_ENDPOINT_URL",
        "UV_HIDE_BUILD_OUTPUT", "UV_HTTP_CONNECT_TIMEOUT", "UV_HTTP_RETRIES", "UV_HTTP_TIMEOUT", "UV_INSECURE_HOST",
        "UV_KEYRING_PROVIDER", "UV_LEGACY_TAR_BACKEND", "UV_LOCK_TIMEOUT", "UV_MALWARE_CHECK", "UV_MALWARE_CHECK_URL",
        "UV_NATIVE_TLS", "UV_NO_GITHUB_FAST_PATH", "UV_NO_HF_TOKEN", "UV_NO_WRAP", "UV_REQUEST_TIMEOUT",
        "UV_REQUIRE_METADATA_RANGE_REQUESTS", "UV_S3_ENDPOINT_URL", "UV_STACK_SIZE", "UV_SYSTEM_CERTS",
        "UV_UPLOAD_HTTP_TIMEOUT",
    }
)  # fmt: skip
_WHERE_SETTINGS_STAND: Final = frozenset({"UV_CONFIG_FILE", "UV_ISOLATED", "UV_NO_CONFIG", "UV_NO_SYSTEM_CONFIG"})
VARIABLES_OF_OURS: Final = _WHERE_SETTINGS_STAND | {
    "UV_ASTRAL_MIRROR_URL", "UV_BREAK_SYSTEM_PACKAGES", "UV_CACHE_DIR", "UV_COMPILE_BYTECODE",
    "UV_COMPILE_BYTECODE_TIMEOUT", "UV_GRAALPY_INSTALL_MIRROR", "UV_LIBC", "UV_LINK_MODE", "UV_LOG_CONTEXT",
    "UV_MANAGED_PYTHON", "UV_NO_CACHE", "UV_NO_MANAGED_PYTHON", "UV_NO_PROGRESS", "UV_PYODIDE_INSTALL_MIRROR",
    "UV_PYPY_INSTALL_MIRROR", "UV_PYTHON", "UV_SHOW_RESOLUTION", "UV_SYSTEM_PYTHON",
}  # fmt: skip
VARIABLES_OF_OTHER_COMMANDS: Final = frozenset(
    {
        "UV_CUSTOM_COMPILE_COMMAND", "UV_DEV", "UV_DOWNLOAD_URL", "UV_ENV_FILE", "UV_FROZEN", "UV_GITHUB_TOKEN",
        "UV_LOCKED", "UV_NO_DEFAULT_GROUPS", "UV_NO_DEV", "UV_NO_ENV_FILE", "UV_NO_GROUP", "UV_NO_INSTALL_LOCAL",
        "UV_NO_INSTALL_PROJECT", "UV_NO_INSTALL_WORKSPACE", "UV_NO_MODIFY_PATH", "UV_NO_PROJECT", "UV_NO_SYNC",
        "UV_ONLY_INSTALL_LOCAL", "UV_ONLY_INSTALL_PROJECT", "UV_ONLY_INSTALL_WORKSPACE", "UV_PROJECT_ENVIRONMENT",
        "UV_UNMANAGED_INSTALL",
    }
)  # fmt: skip
REFUSED_VARIABLES: Final = {
    **dict.fromkeys(("UV_PROJECT", "UV_WORKING_DIR", "UV_WORKING_DIRECTORY"), "it would lead uv to other files"),
    "UV_NO_INSTALLER_METADATA": "without that metadata nobody could tell what was built from source",
}
_PREFIXES_WITHOUT_EFFECT: Final = re.compile(r"UV_INDEX_\w+_(USERNAME|PASSWORD)")
# uv sets the first two itself, for what it starts.
_PREFIXES_LEFT_OUT: Final = ("UV_INTERNAL__", "UV_RUN_", "UV_INIT_", "UV_INSTALL", "UV_PUBLISH_", "UV_PYTHON_",
    "UV_TOOL_", "UV_VENV_")  # fmt: skip
# A user name is in URLs alone; hidden everywhere it would take every "aws" out of a message.
_SECRET: Final = re.compile(r"UV_\w*(PASSWORD|TOKEN|KEY)")
_SCALARS: Final = frozenset({*_SAME.values(), "no-index", "no-sources"})
_NOT_OF_AN_INDEX: Final = frozenset({"authenticate", "cache-control", "publish-url"})
_FALSE: Final = frozenset({"", "0", "f", "false", "n", "no", "off"})
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_MEND: Final = "correct it, or take it away"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """uv's settings as they are in effect; they may hold credentials.

    ``document`` is what configuration files say, as one ``uv.toml`` that means the same in any directory;
    ``variables`` what is left of the environment.
    """

    document: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that must not be written anywhere; those in URLs are not among them."""
        return tuple(value for name, value in self.variables.items() if _SECRET.fullmatch(name))

    @property
    def texts(self) -> tuple[str, ...]:
        """Every text of variables and files; a URL in it may hold a login."""
        return (*self.variables.values(), *_texts(self.document))

    @property
    def places(self) -> tuple[str, ...]:
        """Those of the texts that say where to look."""
        tables = (self.document, self.document.get("pip", {}))
        said = (table[name] for table in tables for name in (*_INDEXES, "find-links") if name in table)
        variables = (self.variables[name] for name in (*_INDEX_VARIABLES, "UV_FIND_LINKS") if name in self.variables)
        return (*variables, *_texts(list(said)))

    @property
    def demands_hashes(self) -> bool:
        """Whether nothing is to be installed that no hash fixes."""
        said = self.variables.get("UV_REQUIRE_HASHES")
        if said is not None:
            return said.lower() not in _FALSE
        return bool(self.document.get("pip", {}).get("require-hashes", self.document.get("require-hashes", False)))

    @property
    def has_index(self) -> bool:
        """Whether they say which index is asked by default, or that none is."""
        if {"UV_DEFAULT_INDEX", "UV_INDEX_URL"} & self.variables.keys():
            return True
        tables = (self.document, self.document.get("pip", {}))
        said = any(table.get("index-url") or table.get("no-index") for table in tables)
        return said or any(index.get("default") for table in tables for index in table.get("index", ()))

    @property
    def sources(self) -> bool:
        """Whether what projects say in ``tool.uv.sources`` is obeyed."""
        said = self.variables.get("UV_NO_SOURCES")
        if said is not None:
            return said.lower() in _FALSE
        return not self.document.get("pip", {}).get("no-sources", self.document.get("no-sources", False))


def effective_settings(variables: Mapping[str, str], directory: str, *, reader: Reader) -> Settings:
    """Return uv's settings in a directory, an absolute path.

    :raises UsageError: for one that cannot be obeyed, or that nobody knows, and for a file that cannot be read
    """
    document: dict[str, Any] = {}
    for path, table in configuration_files(variables, directory, reader=reader):
        document = _combined(document, _checked(_table(path, table, reader), path))
    kept = {name: value for name, value in sorted(variables.items()) if value.strip() and _is_for_uv(name)}
    backends = (
        kept.get("UV_TORCH_BACKEND"),
        document.get("torch-backend"),
        document.get("pip", {}).get("torch-backend"),
    )
    if "auto" in backends:
        raise UsageError(
            "uv's setting torch-backend is auto: what is installed would depend on this machine's GPU",
            hint="name the backend, such as cpu or cu128",
        )
    return Settings(document=document, variables=kept)


def uv_settings(settings: Settings, *, reader: Reader) -> dict[str, str]:
    """Return the settings that shape a resolution, without credentials, by name; those of ``[pip]`` begin with it.

    Local files and directories that a setting names count by content.

    :raises UsageError: when what a setting names cannot be read
    """
    pip = settings.document.get("pip", {})
    said = {name: value for name, value in settings.document.items() if name in SHAPING}
    said |= {name if name in _SCALARS else f"pip.{name}": value for name, value in pip.items() if name in SHAPING}
    canonical = _Canonical(reader)
    found = {name: canonical.setting(name, value) for name, value in said.items()}
    for name, value in settings.variables.items():
        if name in SHAPING_VARIABLES:
            found[_SAME.get(name, name)] = canonical.variable(name, value)
    return dict(sorted(found.items()))


def configuration_files(
    variables: Mapping[str, str], directory: str, *, reader: Reader
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return where uv finds its settings in a directory, the strongest first: paths, and tables in them."""
    if special := variables.get("UV_CONFIG_FILE"):
        return ((os.path.join(directory, special), ()),)
    if _is_set(variables, "UV_NO_CONFIG") or _is_set(variables, "UV_ISOLATED"):
        return ()
    config = variables.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    found = [*_of_the_project(directory, reader), (f"{config}/uv/uv.toml", ())]
    if not _is_set(variables, "UV_NO_SYSTEM_CONFIG"):
        folders = [folder for folder in (variables.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":") if folder]
        places = (*(f"{folder}/uv/uv.toml" for folder in folders), "/etc/uv/uv.toml")
        found += [(path, ()) for path in places if reader.exists(path)][:1]
    return tuple((path, table) for path, table in found if reader.exists(path))


def _of_the_project(directory: str, reader: Reader) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the nearest settings at or above the workspace, or the directory when it is in none."""
    for place in upwards(workspace_root(reader, directory) or directory):
        if reader.exists(f"{place}/uv.toml"):
            yield f"{place}/uv.toml", ()
            return
        if settings_of(pyproject(reader, place)) is not None:
            yield f"{place}/pyproject.toml", ("tool", "uv")
            return


def _table(path: str, table: tuple[str, ...], reader: Reader) -> dict[str, Any]:
    try:
        document: Any = tomllib.loads(reader.read(path).decode())
    except (OSError, ValueError) as error:
        problem = without_secrets(reason(error).splitlines()[0])
        raise UsageError(f"uv's configuration file {path} cannot be read: {problem}", hint=_MEND) from None
    for name in table:
        document = document[name]
    return dict(document)


def _checked(table: dict[str, Any], path: str, where: str = "") -> dict[str, Any]:
    """Return what uv is to get of a file's settings, with paths that mean the same in any directory."""
    found = {}
    for name, value in table.items():
        if name == "pip" and not where:
            if not isinstance(value, dict):
                raise UsageError(f"{path}: pip is no table", hint=_MEND)
            found[name] = _checked(value, path, "pip.")
        elif name in SHAPING or name in WITHOUT_EFFECT:
            found[name] = _absolute(name, value, os.path.dirname(path))
        elif name not in OURS and name not in OF_OTHER_COMMANDS:
            why = REFUSED.get(name, "terrastore does not know what it does")
            raise UsageError(f"{path}: uv's setting {where}{name} cannot be obeyed: {why}", hint="take it away")
    return found


def _absolute(name: str, value: Any, directory: str) -> Any:
    if name not in _INDEXES and name != "find-links":
        return value
    if isinstance(value, list):
        return [_absolute(name, each, directory) for each in value]
    if isinstance(value, dict):
        return value | ({"url": _absolute(name, value["url"], directory)} if "url" in value else {})
    return os.path.join(directory, value) if isinstance(value, str) and not _SCHEME.match(value) else value


def _combined(strong: Any, weak: Any, name: str = "") -> Any:
    """Return two files' settings as one: lists are joined, tables too, for all else the stronger is heard."""
    if isinstance(strong, dict) and isinstance(weak, dict):
        inside = name if name.startswith("config-settings") else ""
        joined = {each: _combined(strong[each], weak[each], inside or each) for each in strong if each in weak}
        return weak | strong | joined
    if isinstance(strong, list) and isinstance(weak, list):
        return [*strong, *weak]
    if name.startswith("config-settings"):
        # What a build backend is told twice it gets as a list.
        return [each for value in (strong, weak) for each in (value if isinstance(value, list) else [value])]
    return strong


def _is_for_uv(name: str) -> bool:
    """Whether uv gets a variable.

    :raises UsageError: when it cannot be obeyed
    """
    if not name.startswith("UV_"):
        return False
    if name in SHAPING_VARIABLES or name in VARIABLES_WITHOUT_EFFECT or _PREFIXES_WITHOUT_EFFECT.fullmatch(name):
        return True
    known = name in VARIABLES_OF_OURS or name in VARIABLES_OF_OTHER_COMMANDS or name.startswith(_PREFIXES_LEFT_OUT)
    if known and name not in REFUSED_VARIABLES:
        return False
    why = REFUSED_VARIABLES.get(name, "terrastore does not know what it does")
    raise UsageError(f"uv's variable {name} cannot be obeyed: {why}", hint=f"unset {name}")


def _is_set(variables: Mapping[str, str], name: str) -> bool:
    return variables.get(name, "").lower() not in _FALSE


class _Canonical:
    """Says settings without credentials, local files by content."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def setting(self, name: str, value: Any) -> str:
        plain = name.removeprefix("pip.")
        if plain == "extra-build-variables":
            # Their values can be secrets, and the key's document is shown and published.
            return "sha256:" + hashlib.sha256(_json(value).encode()).hexdigest()
        if plain == "index":
            value = [self._index(each) for each in value] if isinstance(value, list) else value
        elif plain in _INDEXES:
            value = _each(value, index_identity)
        elif plain == "find-links":
            value = _each(value, self._links)
        elif plain in _REQUIREMENTS:
            value = _each(value, self._requirement)
        else:
            value = _each(value, without_secrets)
        return value if isinstance(value, str) else _json(value)

    def variable(self, name: str, value: str) -> str:
        if name in _REQUIREMENTS_FILES:
            return " ".join(self._file(name, word) for word in value.split())
        if name in _INDEX_VARIABLES:
            return " ".join(map(_named_index, value.split()))
        if name == "UV_FIND_LINKS":
            return ",".join(self._links(place) for place in value.split(",") if place)
        return without_secrets(value)

    def _index(self, index: Any) -> Any:
        if not isinstance(index, dict):
            return _each(index, _named_index)
        said = {name: value for name, value in index.items() if name not in _NOT_OF_AN_INDEX}
        place = index.get("url")
        if isinstance(place, str):
            said["url"] = self._links(place) if index.get("format") == "flat" else index_identity(place)
        return said

    def _links(self, place: str) -> str:
        if is_url(place):
            return index_identity(place)
        try:
            return f"sha256:{self._reader.links(as_path(place))}"
        except (OSError, ValueError) as error:
            shown = without_secrets(place)
            raise UsageError(f"uv's setting find-links: {shown} cannot be read: {reason(error)}", hint=_MEND) from None

    def _file(self, name: str, path: str) -> str:
        """Return what a file of requirements says; includes and options in it are refused."""
        if is_url(path):
            raise UsageError(f"{name} names a URL: {without_secrets(path)}", hint="download it, and name the copy")
        try:
            text = self._reader.read(path).decode("utf-8-sig")
        except (OSError, ValueError) as error:
            raise UsageError(f"{name}: {path} cannot be read: {reason(error)}", hint=_MEND) from None
        lines = [line for _, line in logical_lines(text)]
        if options := [line for line in lines if line.startswith("-")]:
            raise UsageError(
                f"{name}: {path} holds {options[0].split()[0]}, and only requirements are looked for there",
                hint="name what it includes directly",
            )
        said = sorted(self._requirement(line) for line in lines)
        return "sha256:" + hashlib.sha256("\n".join(said).encode()).hexdigest()

    def _requirement(self, text: str) -> str:
        try:
            wanted = parse(text).wanted
        except LineError:
            if "@" in text:
                shown = without_secrets(text)
                raise UsageError(f"uv's settings name {shown} by a path", hint="write NAME @ file:///…") from None
            return without_secrets(text)
        if not isinstance(wanted, Wanted):
            return without_secrets(text)
        marker = f" ; {wanted.marker}" if wanted.marker else ""
        if wanted.local is None:
            return wanted.canonical() + marker
        if not is_file_url(wanted.local):
            raise UsageError(f"uv's settings name {wanted.local} by a path", hint="write NAME @ file:///…")
        return wanted.canonical(self._digest(wanted.local, wanted.local)) + marker

    def _digest(self, name: str, place: str) -> str:
        try:
            return f"sha256:{self._reader.digest(as_path(place))}"
        except (OSError, ValueError) as error:
            shown = without_secrets(place)
            raise UsageError(f"uv's setting {name}: {shown} cannot be read: {reason(error)}", hint=_MEND) from None


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in ``value``, names of tables excepted."""
    if isinstance(value, str):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(each)


def _each(value: Any, change: Any) -> Any:
    """Return ``value`` with every text in it changed, names of tables excepted."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_each(each, change) for each in value]
    return {name: _each(each, change) for name, each in value.items()} if isinstance(value, dict) else value


def _named_index(text: str) -> str:
    name, equals, url = text.partition("=")
    return f"{name}={index_identity(url)}" if equals and ":" not in name else index_identity(text)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
