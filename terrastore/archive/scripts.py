"""Scripts whose interpreter is in the environment: their first line, made for where the environment stands.

A kernel takes a first line that is short and names a path without white space. Where that cannot be, ``/bin/sh``
starts the interpreter, by lines that are a string or a comment in the script's own language. Needs the standard
library alone, and touches no disk.
"""

from __future__ import annotations

import io
import re
import tokenize
from typing import TYPE_CHECKING, Final, NamedTuple

from terrastore.archive import shells
from terrastore.archive.literals import encoding_of, python
from terrastore.archive.placeholder import PLACEHOLDER, NotRelocatableError

if TYPE_CHECKING:
    from collections.abc import Iterator

SHEBANG_LIMIT: Final = 127
"""Longest ``#!`` line that every supported kernel runs (execve(2): 127 bytes before Linux 5.1)."""

PLAIN_SHEBANG: Final = re.compile(rb"#!(?P<interpreter>" + PLACEHOLDER + rb"/[^\s]++)(?P<arguments>[^\r\n]*+)\r?\n")
SH_SHEBANG: Final = re.compile(
    rb"#!/bin/sh\n'''exec' (?P<quote>[\"']?)(?P<interpreter>" + PLACEHOLDER + rb"/[^\"'\s]++)(?P=quote)"
    rb"(?P<arguments>[^\n]*?) \"\$0\" \"\$@\"\n' '''\n",
)
_SHELL: Final = re.compile(rb"(ba|da|z|k|mk)?sh")


def script(canonical: bytes, prefix: str) -> bytes:
    """Return a script with its first line derived anew: plain where a kernel takes it, else started by ``/bin/sh``.

    :raises NotRelocatableError: when its first line names no interpreter of the environment, or no form of it does
    """
    match = PLAIN_SHEBANG.match(canonical) or SH_SHEBANG.match(canonical)
    if match is None:
        reason = "its first line does not name the environment's interpreter"
        raise NotRelocatableError(reason)
    interpreter = match["interpreter"].replace(PLACEHOLDER, prefix.encode())
    arguments = match["arguments"].rstrip()
    name = match["interpreter"].rpartition(b"/")[2]
    body = canonical[match.end() :]
    shebang = b"#!" + interpreter + arguments
    if len(shebang) <= SHEBANG_LIMIT and not re.search(rb"\s", interpreter):
        if name.startswith(b"python"):
            _decoded(shebang, encoding_of(body))
        return shebang + b"\n" + _body(name, body, prefix)
    if name.startswith(b"python"):
        return _python_behind_sh(interpreter, arguments, body, prefix)
    if name in {b"node", b"nodejs"}:
        # The second line is sh's command, and for JavaScript a string and a comment.
        quoted = b"'" + interpreter.replace(b"'", rb"'\''") + b"'"
        start = b"#!/bin/sh\n':' //; exec " + quoted + arguments + b' "$0" "$@"\n'
        return start + _body(name, body, prefix)
    reason = "its first line would be too long or hold a space, and for its interpreter there is no other form"
    raise NotRelocatableError(reason)


def _body(interpreter: bytes, body: bytes, prefix: str) -> bytes:
    return shells.sh(body, prefix) if _SHELL.fullmatch(interpreter) else python(b"\n" + body, prefix)[1:]


def _python_behind_sh(interpreter: bytes, arguments: bytes, body: bytes, prefix: str) -> bytes:
    """Return the ``/bin/sh`` form of a Python script.

    Its second line is sh's command and, with the third, a Python string. No backslash may enter it: it would be an
    escape there. Coding lines (PEP 263) stay where they count. A docstring stays the first statement, as future
    imports demand: the string is joined to it, and cut off again when the module runs.
    """
    encoding = encoding_of(body)
    layout = _Layout.of(body.decode(encoding, "replace"))
    quoted = b"'" + interpreter.replace(b"'", b"""'"'"'""") + b"'"
    content = b"exec' " + quoted + arguments + b' "$0" "$@"\n' + b"' "
    hidden = len(_decoded(content, encoding))
    lines = _body(b"python", body, prefix).split(b"\n")
    first = layout.docstring if layout.is_docstring or encoding != "utf-8" else 0
    # sh reads these too.
    leading = [line.rstrip() for line in lines[:first]]
    if any(line and not re.match(rb"[ \t]*#", line) for line in leading):
        reason = "its first lines would be no comments for sh"
        raise NotRelocatableError(reason)
    head = [b"#!/bin/sh", *leading, *(b"'''" + content + b"'''").split(b"\n")]
    if not layout.is_docstring:
        return b"\n".join([*head, *lines[first:]])
    cut = b"__doc__ = __doc__ and __doc__[%d:]" % hidden
    head[-1] += b" \\"
    return b"\n".join([*head, *lines[first : layout.end], cut, *lines[layout.end :]])


class _Layout(NamedTuple):
    """How a script begins: the line of its first statement, and the line behind docstring and future imports."""

    docstring: int
    end: int
    is_docstring: bool

    @classmethod
    def of(cls, body: str) -> _Layout:
        """Read the tokens of Python up to the end of the future imports; lines count from 0, behind the first line.

        :raises NotRelocatableError: when there are future imports that the ``/bin/sh`` form would move
        """
        statements = _statements(body)
        first = next(statements, [])
        start = first[0].start[0] - 1 if first else 0
        strings = [token for token in first if token.type == tokenize.STRING]
        # A literal with these letters is no docstring, and one followed by an operator none either.
        alone = bool(strings) and first[: len(strings)] == strings
        alone = alone and not any(re.match(r"\w*[bBfFtT]", token.string) for token in strings)
        alone = alone and (len(first) == len(strings) or first[len(strings)].string == ";")
        end = first[-1].end[0] if alone else start
        for statement in statements if alone else ():
            if [token.string for token in statement[:2]] != ["from", "__future__"]:
                break
            end = statement[-1].end[0]
        begins_future = [token.string for token in first[:2]] == ["from", "__future__"]
        if not alone and not begins_future and re.search(r"^from __future__ ", body, re.MULTILINE):
            reason = "its future import would no longer be among the first statements"
            raise NotRelocatableError(reason)
        return cls(start, end, alone)


def _statements(body: str) -> Iterator[list[tokenize.TokenInfo]]:
    """Yield the tokens of each logical line, without comments, as far as ``body`` can be read as Python."""
    line: list[tokenize.TokenInfo] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(body, newline="\n").readline):
            if token.type == tokenize.NEWLINE:
                yield line
                line = []
            elif token.type not in {tokenize.COMMENT, tokenize.NL}:
                line.append(token)
    except (tokenize.TokenError, SyntaxError):
        return


def _decoded(line: bytes, encoding: str) -> str:
    """Return a line that Python reads in ``encoding`` and the kernel or sh as it is.

    :raises NotRelocatableError: when the two would not see the same quotes
    """
    try:
        text = line.decode(encoding)
    except UnicodeError:
        text = ""
    if "".join(filter(str.isascii, text)).encode() != bytes(byte for byte in line if byte < 0x80):  # noqa: PLR2004
        reason = f"it is in {encoding}, in which its first line cannot name this path"
        raise NotRelocatableError(reason)
    return text
