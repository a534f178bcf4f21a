"""One container of a pod: a process that is started again when it ends, until its pod is deleted."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from workqueue_operator.cluster.local.launch import Launch
from workqueue_operator.cluster.local.orphans import Orphans
from workqueue_operator.cluster.local.restarts import Restarts

#: Seconds between two looks whether the process has ended.
LOOK_SECONDS = 0.1
#: Bytes of output that are kept; what is older is dropped, about as a kubelet does.
MOST_OUTPUT_BYTES = 10 * 2**20
#: Bytes at the end of the output in which its last line is looked for.
TAIL_BYTES = 4096
#: A shell's, for a program that cannot be started.
EXIT_NOT_STARTED = 127


class ContainerRun:
    """Runs one container."""

    def __init__(
        self, name: str, launch: Launch, output: Path, orphans: Orphans, changed: Callable[[str], None]
    ) -> None:
        """`changed` is called with a line for people when it ended by itself, and with "" when it was started."""
        self.name = name
        self.output = output
        self.restarts = Restarts()
        #: Whether it was ever started.
        self.began = False
        self._launch = launch
        self._orphans = orphans
        self._changed = changed
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = asyncio.Event()
        self._kill_at = float("inf")

    @property
    def running(self) -> bool:
        """Whether its process runs now."""
        return self._process is not None

    @property
    def trouble(self) -> str:
        """The kubelet's word while it waits to be started again; else ""."""
        return "CrashLoopBackOff" if self.restarts.delay_seconds and not self.running else ""

    async def run(self) -> None:
        """Until its pod is deleted and the process has ended."""
        while not self._stopping.is_set():
            started = time.monotonic()
            exit_code = await self._run_once()
            if self._stopping.is_set():
                return
            self.restarts = self.restarts.ended(exit_code, time.monotonic() - started)
            self._changed(f"{self.name} {_how(exit_code)}{self._after()}: {self._last_line() or 'without output'}")
            await self._wait(self.restarts.delay_seconds)

    def stop(self, grace_seconds: float) -> None:
        """SIGTERM, and SIGKILL once the grace period is over."""
        self._kill_at = min(self._kill_at, time.monotonic() + grace_seconds)
        if not self._stopping.is_set():
            self._stopping.set()
            self._signal(signal.SIGTERM)

    def hurry(self, grace_seconds: float) -> None:
        """SIGTERM once more, with which a worker of ours stops its tasks, and SIGKILL after so many seconds."""
        self.stop(grace_seconds)
        self._signal(signal.SIGTERM)

    async def _wait(self, seconds: float) -> None:
        """Until its next start, or until its pod is deleted."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _run_once(self) -> int:
        """Its exit code; negative for a signal."""
        try:
            with self.output.open("ab") as output:
                self._process = subprocess.Popen(  # noqa: S603, ASYNC220 - the manifest's command; a few milliseconds
                    list(self._launch.command),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=dict(self._launch.environment),
                    cwd=self._launch.folder,
                    start_new_session=True,  # Ctrl+C in the terminal is for us, and the group ends as a whole
                )
        except OSError as error:
            with self.output.open("a", encoding="utf-8") as output_text:
                output_text.write(f"cannot start {self._launch.command[0]!r}: {error}\n")
            return EXIT_NOT_STARTED
        group = self._process.pid
        self._orphans.add(group)
        self.began = True
        self._changed("")
        try:
            return await self._ended(self._process)
        finally:
            self._process = None
            self._orphans.remove(group)

    async def _ended(self, process: "subprocess.Popen[bytes]") -> int:
        """Wait for the end of the process, and end what it leaves behind in its group."""
        try:
            while (exit_code := process.poll()) is None:
                if time.monotonic() >= self._kill_at:
                    _kill_group(process.pid)
                self._bound_output()
                await asyncio.sleep(LOOK_SECONDS)
            return exit_code
        finally:
            _kill_group(process.pid)
            if process.returncode is None:  # we were cancelled
                await asyncio.to_thread(process.wait)

    def _signal(self, number: signal.Signals) -> None:
        if self._process:
            self._process.send_signal(number)

    def _bound_output(self) -> None:
        """The process appends, and so goes on at the start."""
        if self.output.stat().st_size > MOST_OUTPUT_BYTES:
            os.truncate(self.output, 0)

    def _last_line(self) -> str:
        with self.output.open("rb") as output:
            output.seek(max(0, self.output.stat().st_size - TAIL_BYTES))
            lines = output.read().decode("utf-8", "replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def _after(self) -> str:
        delay = self.restarts.delay_seconds
        return f", it is started again in {delay:.0f} s" if delay else ", it is started again"


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _how(exit_code: int) -> str:
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    try:
        return f"was ended by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"was ended by signal {-exit_code}"
