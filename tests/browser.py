"""A real browser without a window: pages opened in Chromium, over its own debugging protocol on two pipes."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
# As root it has no sandbox; pages of tests are files, and nothing else is opened.
_OPTIONS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--remote-debugging-pipe",
)


class Page:
    """A page, and what the browser said of it: ``told``, and the addresses that it asked for, by number: ``requests``.

    What the page's policy forbade is not among them.
    """

    def __init__(self, commands: int, answers: int) -> None:
        self.told: list[str] = []
        self.requests: dict[str, str] = {}
        self._commands = commands
        self._answers = os.fdopen(answers, "rb")
        self._number = 0
        self._session: str | None = None

    def attach(self) -> None:
        """Take the one page that there is."""
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(each["targetId"] for each in targets if each["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """Return what the browser answers to a command of its protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self._note(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, path: Path, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Open a file as a window of so many pixels shows it, and wait until it is loaded."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.told, self.requests = [], {}
        self.call("Page.navigate", url=path.as_uri())
        while (event := self._next()).get("method") != "Page.loadEventFired":
            self._note(event)

    def run(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press a key and let it go."""
        told = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **told)
        self.call("Input.dispatchKeyEvent", type="keyUp", **told)

    def photograph(self, path: Path) -> None:
        """Write a picture of the whole page, PNG."""
        found = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def _next(self) -> dict[str, Any]:
        data = bytearray()
        while (byte := self._answers.read(1)) != b"\0":
            assert byte, "the browser ended"
            data += byte
        message: dict[str, Any] = json.loads(data)
        return message

    def _note(self, event: dict[str, Any]) -> None:
        match event.get("method"), event.get("params", {}):
            case "Log.entryAdded", {"entry": entry}:
                self.told.append(entry["text"])
            case "Runtime.exceptionThrown", {"exceptionDetails": details}:
                self.told.append(str(details))
            case "Network.requestWillBeSent", {"requestId": number, "request": request}:
                self.requests[number] = request["url"]
            case "Network.loadingFailed", {"requestId": number, "blockedReason": "csp"}:
                del self.requests[number]


@contextmanager
def opened(profile: Path) -> Iterator[Page]:
    """Yield a page of a browser that has nothing but ``profile``.

    Where there is none the test is skipped, but not in continuous integration.
    """
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        assert "CI" not in os.environ, "there is no Chromium here"
        pytest.skip("there is no Chromium here")
    theirs_in, commands = os.pipe()
    answers, theirs_out = os.pipe()
    # It reads commands from 3 and answers on 4.
    pipes = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
    browser = subprocess.Popen(
        ["bash", "-c", pipes, "-", program, *_OPTIONS, f"--user-data-dir={profile}", "about:blank"],
        pass_fds=(theirs_in, theirs_out),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for each in (theirs_in, theirs_out):
        os.close(each)
    page = Page(commands, answers)
    try:
        page.attach()
        yield page
    finally:
        os.close(commands)
        browser.terminate()
        browser.wait()
        page._answers.close()
