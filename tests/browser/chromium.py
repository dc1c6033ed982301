"""A headless Chromium, spoken to over its debugging pipe: nothing between it and the tests.

The protocol is JSON in both directions, a NUL after each message. Chromium reads file descriptor 3
and writes 4; it ends when its parent's ends of the pipe close, so none is left behind.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BINARIES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PATIENCE_S = 30.0
# It would look up its maker's hosts at every start; pages here have no business beyond their file.
_FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--hide-scrollbars",
    "--mute-audio",
    "--no-default-browser-check",
    "--no-first-run",
    "--force-color-profile=srgb",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
_READ = {"Tab": 9, "Enter": 13, " ": 32}
Message = dict[str, Any]


def found() -> str | None:
    """Return the path of a Chromium, or None where there is none."""
    named = os.environ.get("CHROMIUM")
    return named or next((path for name in BINARIES if (path := shutil.which(name))), None)


class Chromium:
    """One running browser."""

    def __init__(self, binary: str) -> None:
        self._profile = tempfile.mkdtemp(prefix="logpr-chromium-")
        # As root its sandbox refuses to start; the pages are ours, and hostile only in their texts.
        sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()
        told = (binary, *_FLAGS, *sandbox, f"--user-data-dir={self._profile}", "about:blank")
        hears, self._write = os.pipe()
        self._read, says = os.pipe()
        # On systems without it, the tests are skipped before they come here.
        import fcntl  # noqa: PLC0415 - as said

        # Copies beyond 4, so that neither descriptor is put where the other one lies.
        high = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, 10) for each in (hears, says)]
        log = Path(self._profile, "log")
        writes = os.O_CREAT | os.O_WRONLY
        self._pid = os.posix_spawn(
            binary,
            told,
            os.environ | {"HOME": self._profile},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, high[0], 3),
                (os.POSIX_SPAWN_DUP2, high[1], 4),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, str(log), writes, 0o600),
            ],
            setpgroup=0,
        )
        for each in (hears, says, *high):
            os.close(each)
        self._numbers = itertools.count(1)
        self._rest = b""
        self._hears: dict[str, Callable[[Message], None]] = {}

    def call(self, method: str, session: str | None = None, **params: object) -> Message:
        """Return the result of a command.

        Raises:
            RuntimeError: Chromium refuses it.
        """
        number = self.say(method, session, **params)
        answer: Message = {}
        while answer.get("id") != number:
            answer = self.hear()
        if "error" in answer:
            msg = f"{method}: {answer['error'].get('message')}"
            raise RuntimeError(msg)
        result: Message = answer["result"]
        return result

    def say(self, method: str, session: str | None = None, **params: object) -> int:
        """Send a command, and return the number that its answer will have."""
        number = next(self._numbers)
        message: Message = {"id": number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        return number

    def hear(self) -> Message:
        """Return the next message, after telling its event to the tab that it is of.

        Raises:
            TimeoutError: there was none for half a minute.
            EOFError: Chromium ended; with what it said.
        """
        while b"\0" not in self._rest:
            if not select.select([self._read], [], [], _PATIENCE_S)[0]:
                msg = f"Chromium said nothing for {_PATIENCE_S:.0f} s"
                raise TimeoutError(msg)
            part = os.read(self._read, 1 << 20)
            if not part:
                said = Path(self._profile, "log").read_text("utf-8", "replace")
                msg = f"Chromium ended; it said: {said[-2000:]}"
                raise EOFError(msg)
            self._rest += part
        first, self._rest = self._rest.split(b"\0", 1)
        message: Message = json.loads(first)
        told = self._hears.get(message.get("sessionId", ""))
        if "method" in message and told is not None:
            told(message)
        return message

    def tab(self) -> Tab:
        """Return a new empty tab."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, session)
        self._hears[session] = tab.noted
        tab.prepare()
        return tab

    def close(self) -> None:
        """End the browser and what it started."""
        os.close(self._write)
        until = time.monotonic() + 5
        while not os.waitpid(self._pid, os.WNOHANG)[0]:
            if time.monotonic() > until:
                os.killpg(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
                break
            time.sleep(0.01)
        os.close(self._read)
        shutil.rmtree(self._profile, ignore_errors=True)


class Tab:
    """One page: what it fetched, what it complained of, and what a reader would do to it."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser, self._session = browser, session
        self._loaded = False
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.opened = 0

    def call(self, method: str, **params: object) -> Message:
        """Return the result of a command to this tab."""
        return self._browser.call(method, self._session, **params)

    def prepare(self) -> None:
        """Listen to all that a page could do wrong."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)

    def clear(self) -> None:
        """Leave the page, and forget it and all that was set for it."""
        self.call("Page.navigate", url="about:blank")
        self.call("Emulation.setScriptExecutionDisabled", value=False)
        self._browser.call("Browser.resetPermissions")
        self.media()
        self.requests.clear()
        self.complaints.clear()
        self.opened = 0

    def noted(self, event: Message) -> None:
        """Keep what an event says of the page."""
        name, params = event["method"], event["params"]
        match name:
            case "Page.loadEventFired":
                self._loaded = True
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Runtime.consoleAPICalled":
                texts = [str(each.get("value", each.get("description"))) for each in params["args"]]
                self.complaints.append(f"console.{params['type']}: {' '.join(texts)}")
            case "Runtime.exceptionThrown":
                self.complaints.append(f"exception: {params['exceptionDetails']}")
            case "Log.entryAdded":
                self.complaints.append(f"{params['entry']['level']}: {params['entry']['text']}")
            case "Page.javascriptDialogOpening":
                # What a hostile text would show, had it run. Unanswered it would hold up the page.
                self.complaints.append(f"dialog: {params['message']}")
                self._browser.say("Page.handleJavaScriptDialog", self._session, accept=False)
            case "Page.frameRequestedNavigation" | "Page.windowOpen":
                self.complaints.append(f"{name}: {params['url']}")

    def open(self, path: Path, *, width: int = 1280, height: int = 900) -> None:
        """Load a file, and wait until it stands."""
        self.resize(width, height)
        self._loaded = False
        self.opened += 1
        self.call("Page.navigate", url=path.as_uri())
        while not self._loaded:
            self._browser.hear()

    def js(self, expression: str) -> Any:  # noqa: ANN401 - whatever the page answers
        """Return the value of a JavaScript expression in the page, a promise's when it settles.

        Raises:
            RuntimeError: it threw.
        """
        answer = self.call(
            "Runtime.evaluate",
            expression=expression,
            returnByValue=True,
            awaitPromise=True,
            userGesture=True,
        )
        if "exceptionDetails" in answer:
            thrown = answer["exceptionDetails"]
            msg = thrown.get("exception", {}).get("description", thrown["text"])
            raise RuntimeError(msg)
        return answer["result"].get("value")

    def resize(self, width: int, height: int = 900) -> None:
        """Give the page a window of so many CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def media(self, *, dark: bool = False, paper: bool = False) -> None:
        """Show the page in dark colours, or as it prints."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media="print" if paper else "", features=[scheme])

    def without_scripts(self) -> None:
        """Run no script of the pages opened from now on."""
        self.call("Emulation.setScriptExecutionDisabled", value=True)

    def allow(self, *permissions: str) -> None:
        """Grant what a reader would be asked for."""
        self._browser.call("Browser.grantPermissions", permissions=permissions)

    def press(self, key: str) -> None:
        """Press and let go of a key."""
        text = {"Enter": "\r", " ": " "}.get(key, "")
        known = {"key": key, "code": "Space" if key == " " else key, "text": text}
        for kind in ("keyDown" if text else "rawKeyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, windowsVirtualKeyCode=_READ[key], **known
            )

    def screenshot(self, path: Path) -> None:
        """Write the whole page as a PNG."""
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(picture["data"]))

    def accessible(self) -> list[Message]:
        """Return the nodes that a screen reader is told of."""
        self.call("Accessibility.enable")
        return [
            node
            for node in self.call("Accessibility.getFullAXTree")["nodes"]
            if not node.get("ignored")
        ]
