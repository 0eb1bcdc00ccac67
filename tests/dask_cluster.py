"""A Dask scheduler and its workers, each a process of its own that listens to this machine alone."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import smearsynth

PACKAGES = str(Path(str(smearsynth.__file__)).parents[1])
ALONE = ["--host", "127.0.0.1", "--no-dashboard"]


class Cluster:
    """As a context manager it ends all its processes. Their output goes to files in `folder`."""

    def __init__(self, folder: Path, **settings: str) -> None:
        """settings: environment of the scheduler."""
        self._folder, self._file = folder, folder / "scheduler.json"
        folder.mkdir(parents=True)
        words = [sys.executable, "-m", "distributed.cli.dask_scheduler", *ALONE, "--port", "0"]
        self.scheduler = self._start("scheduler", [*words, "--scheduler-file", str(self._file)], settings)
        self.workers: list[subprocess.Popen[bytes]] = []
        wait_for(lambda: self._file.exists() and self._file.read_text().endswith("}"))

    @property
    def address(self) -> str:
        return str(json.loads(self._file.read_text())["address"])

    def work(self, *, threads: int = 1, before: Sequence[str] = (), **settings: str) -> subprocess.Popen[bytes]:
        """Starts a worker. before: words before its command. settings: its environment."""
        words = [*before, sys.executable, "-m", "distributed.cli.dask_worker", *ALONE, "--no-nanny", "--nthreads"]
        words += [str(threads), "--scheduler-file", str(self._file), "--local-directory", str(self._folder)]
        self.workers.append(self._start(f"worker{len(self.workers)}", words, settings))
        return self.workers[-1]

    def settle(self) -> None:
        """Until the scheduler knows all workers."""
        from distributed import Client  # which takes seconds to load

        with Client(self.address) as client:
            client.wait_for_workers(len(self.workers), timeout=600)

    def _start(self, name: str, words: list[str], settings: dict[str, str]) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": PACKAGES, **settings}
        with (self._folder / f"{name}.txt").open("w") as told:
            return subprocess.Popen(words, stdout=told, stderr=told, env=environment, cwd=self._folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


def wait_for(true: Callable[[], bool], seconds: float = 600.0, *, poll: float = 0.02) -> None:
    """Until `true()` is so; compilation on a busy machine takes minutes."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(poll)
