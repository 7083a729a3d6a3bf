"""The reference is what the code says: commands with their options, exit codes, the Python API."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

import click
import pytest

import terrastore as package
from terrastore import api, errors
from terrastore.cli import _options, terrastore
from tests import documented

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

NEGATED = {"build", "publish", "cache", "seed"}
RENAMED = {
    "extras": "extra",
    "groups": "group",
    "signers": "signer",
    "lasts": "expires",
    "build_blindly": "on_store_error",
}


def commands() -> Iterator[str]:
    """Yield the lines of docs/reference/cli.md."""
    for name, command in terrastore.all():
        context = click.Context(command, info_name=f"terrastore {name}")
        yield from (f"## terrastore {name}", "")
        yield from (f"    terrastore {name} {' '.join(command.collect_usage_pieces(context))}", "")
        yield from (*inspect.cleandoc(command.help or "").splitlines(), "")
        options = [each for each in command.params if isinstance(each, click.Option)]
        rows = [
            (spelled(option), f"`{option.envvar}`" if option.envvar else "", option.help or "") for option in options
        ]
        yield from (*documented.table(("option", "variable", "meaning"), rows), "")


def spelled(option: click.Option) -> str:
    """Return how an option is written, with what it takes."""
    names = ", ".join(f"`{name}`" for name in option.opts)
    if option.is_flag or option.count:
        return names
    value = option.metavar or "|".join(option.type.choices if isinstance(option.type, click.Choice) else ["VALUE"])
    return f"{names} `{value}`{' …' if option.multiple else ''}"


def test_commands() -> None:
    """docs/reference/cli.md has every command, option and variable, as --help tells them."""
    documented.check_rest("reference/cli.md", commands())


def test_every_variable_is_a_setting() -> None:
    """What the page says of all options with a variable."""
    named = {
        option.envvar: option.opts[-1]
        for _, command in terrastore.all()
        for option in command.params
        if isinstance(option, click.Option) and option.envvar
    }
    assert len(named) > 50
    for variable, name in named.items():
        assert f"TERRASTORE_{name[2:].replace('-', '_').upper()}" == variable
        assert name[2:].replace("-", "_") in _options()


def test_exit_codes() -> None:
    """docs/reference/exit-codes.md has those of README, with the names that programs see."""
    readme = (documented.DOCS.parent / "README.md").read_text()
    meanings = dict(re.findall(r"^\| (\d+) \| (.+) \|$", readme, re.MULTILINE))
    kinds: list[type[errors.TerrastoreError]] = [errors.TerrastoreError, *errors.TerrastoreError.__subclasses__()]
    classes = {each.exit_code: each for each in kinds}
    others = {0: ("", ""), errors.INTERRUPTED: ("`interrupted`", "`KeyboardInterrupt`")}
    rows = [
        (code, *others.get(int(code), ()), meaning)
        if int(code) in others
        else (code, f"`{classes[int(code)].kind}`", f"`{classes[int(code)].__name__}`", meaning)
        for code, meaning in meanings.items()
    ]
    documented.check("reference/exit-codes.md", "exit codes", ("exit", "`kind`", "exception", "meaning"), rows)


def api_lines() -> Iterator[str]:
    """Yield the lines of docs/reference/python.md."""
    for function in (package.ensure, package.open_store):
        yield from (f"## terrastore.{function.__name__}", "", *signature(function), "")
        yield from (*prose(function), "")
        if function is package.ensure:
            yield from ("### Options", "", *prose(api.Options), "")
            rows = [(f"`{name}`", f"`{kind}`", f"`{flag(name)}`") for name, kind in annotated(api.Options)]
            yield from (*documented.table(("option", "type", "on the command line"), rows), "")
    for kind in (package.Outcome, package.Progress, package.EnvKey):
        yield from (f"## terrastore.{kind.__name__}", "", *prose(kind), "")
        defaults: dict[str, Any] = kind._field_defaults
        rows = [
            (f"`{name}`", f"`{type_}`", f"`{defaults[name]!r}`" if name in defaults else "")
            for name, type_ in annotated(kind)
        ]
        yield from (*documented.table(("field", "type", "default"), rows), "")
    yield from ("## terrastore.TerrastoreError", "", *prose(package.TerrastoreError), "")
    yield "The classes below it are in `terrastore.errors`; [exit codes](exit-codes.md) lists them."


def annotated(kind: type) -> Iterable[tuple[str, str]]:
    """Return the fields of a type with theirs, as they are written."""
    return [(name, str(getattr(value, "__forward_arg__", value))) for name, value in kind.__annotations__.items()]


def signature(function: Callable[..., Any]) -> list[str]:
    """Return how a function is called, as code, a parameter a line."""
    told = inspect.signature(function)
    lines = []
    for each in told.parameters.values():
        if each.kind is each.KEYWORD_ONLY and "*," not in lines:
            lines.append("*,")
        stars = "*" if each.kind is each.VAR_POSITIONAL else "**" if each.kind is each.VAR_KEYWORD else ""
        default = "" if each.default is each.empty else f" = {each.default!r}"
        lines.append(f"{stars}{each.name}: {each.annotation}{default},")
    return [f"    {function.__name__}(", *(f"        {line}" for line in lines), f"    ) -> {told.return_annotation}"]


def prose(thing: Any) -> list[str]:
    """Return a docstring as Markdown."""
    text = inspect.cleandoc(thing.__doc__ or "").replace("``", "`")
    text = re.sub(r":\w+:`~?([\w.]+)`", r"`\1`", text)
    text = re.sub(r"^:param (\w+): ", r"- `\1`: ", text, flags=re.MULTILINE)
    return re.sub(r"^:raises (\w+): ", r"- raises `\1` ", text, flags=re.MULTILINE).splitlines()


def flag(name: str) -> str:
    """Return the option of the command line that an argument of :func:`terrastore.ensure` stands for."""
    word = f"no_{name}" if name in NEGATED else RENAMED.get(name, name)
    assert word in _options(), f"{name} is no option"
    return f"--{word.replace('_', '-')}"


def test_python() -> None:
    """docs/reference/python.md has what is public, as its docstrings tell, and the options that arguments stand for."""
    documented.check_rest("reference/python.md", api_lines())


@pytest.mark.parametrize("name", sorted(set(package.__all__) - {"__version__"}))
def test_what_is_public_is_on_the_page(name: str) -> None:
    """Nothing that the package offers is left out."""
    assert f"## terrastore.{name}\n" in (documented.DOCS / "reference/python.md").read_text()
