"""Runs Airflow and the server of the pages until Ctrl-C, then ends both and all that they started.

Started by scripts/airflow_demo.sh, whose environment holds every setting.
"""

import json
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import psutil

__all__ = ["main"]

_READY_S, _PATIENCE_S = 300, 20


def main() -> None:
    """Start, say where, wait, stop."""
    folder, port, reports_port = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    running: list[subprocess.Popen] = []
    try:
        running.append(_start(["airflow", "standalone"], folder / "airflow.log"))
        pages = ["-m", "http.server", "--bind", "127.0.0.1", "--directory", str(folder / "reports"), reports_port]
        running.append(_start([sys.executable, *pages], folder / "reports.log"))
        print("airflow-demo: starting Airflow (half a minute)", flush=True)
        _wait_until_ready(port, running[0], log=folder / "airflow.log")
        _unpause(folder / "airflow.log")
        print(f"airflow-demo: http://127.0.0.1:{port}  (no password; log: {folder / 'airflow.log'})")
        print(f"airflow-demo: coverage pages at http://127.0.0.1:{reports_port}")
        print("airflow-demo: Ctrl-C ends all of it", flush=True)
        ended = running[0].wait()
        sys.exit(f"airflow-demo: Airflow ended by itself (exit code {ended}): read {folder / 'airflow.log'}")
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("\nairflow-demo: stopping", flush=True)
        _stop(running)


def _start(command: list[str], log: Path) -> subprocess.Popen:
    """In a group of its own: a Ctrl-C in the terminal reaches this program alone, which then stops them in order."""
    with log.open("ab") as stream:
        return subprocess.Popen(
            command, stdout=stream, stderr=stream, stdin=subprocess.DEVNULL, cwd=log.parent, start_new_session=True
        )


def _wait_until_ready(port: str, server: subprocess.Popen, *, log: Path) -> None:
    until = time.monotonic() + _READY_S
    while server.poll() is None and time.monotonic() < until:
        with suppress(OSError, ValueError):
            answer = urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v2/monitor/health", timeout=5)
            health = json.load(answer)
            if all(health[part]["status"] == "healthy" for part in ("scheduler", "dag_processor", "triggerer")):
                return
        time.sleep(1)
    tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
    sys.exit(
        f"airflow-demo: Airflow did not become ready\n  found:  {tail}\n  wanted: all parts healthy\n  do:     read {log}"
    )


def _unpause(log: Path) -> None:
    """Only now: a task that is queued before the server listens would fail its first try."""
    with log.open("ab") as stream:
        for dag in ("headrace_nightly", "headrace_train"):
            subprocess.run(["airflow", "dags", "unpause", dag], stdout=stream, stderr=stream, check=True)


def _stop(running: list[subprocess.Popen]) -> None:
    """Ask all, then force: tasks run their programs in groups of their own, so these are looked up while they have parents."""
    everyone: list[psutil.Process] = []
    for process in running:
        with suppress(psutil.Error):
            parent = psutil.Process(process.pid)
            everyone += [parent, *parent.children(recursive=True)]
    for ask in (psutil.Process.terminate, psutil.Process.kill):
        for one in everyone:
            with suppress(psutil.Error):
                ask(one)
        _, everyone = psutil.wait_procs(everyone, timeout=_PATIENCE_S)


if __name__ == "__main__":
    main()
