"""The watcher ends what a killed process leaves, with its children, and leaves alone what ended in order."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.waiting import wait_until

#: Starts a program whose child is in its group, and which ignores SIGTERM; says its number, and is killed.
KILLED = """
import os, subprocess, sys
from workqueue_operator.cluster.local.orphans import Orphans
orphans = Orphans()
script = "trap '' TERM; sleep 1000 & echo $! $$ > pids; wait; wait; wait"
orphans.add(subprocess.Popen(["sh", "-c", script], start_new_session=True).pid)
while not os.path.exists("pids") or not open("pids").read(): pass
os.kill(os.getpid(), 9)
"""
#: The same with a program that it takes back.
TAKEN_BACK = """
import subprocess
from workqueue_operator.cluster.local.orphans import Orphans
orphans = Orphans()
process = subprocess.Popen(["sleep", "1000"], start_new_session=True, stdout=-3, stderr=-3)  # /dev/null
orphans.add(process.pid)
orphans.remove(process.pid)
orphans.close()
print(process.pid)
"""


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_group_that_a_killed_process_leaves_is_ended_with_all_in_it(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, check=False)
    assert done.returncode == -signal.SIGKILL
    child, leader = map(int, (tmp_path / "pids").read_text().split())
    wait_until(lambda: not is_alive(child) and not is_alive(leader), 30, "both have ended")


def test_a_group_that_was_taken_back_is_left_alone(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", TAKEN_BACK], cwd=tmp_path, check=True, capture_output=True, text=True)
    process = int(done.stdout)
    try:
        assert is_alive(process)
    finally:
        os.kill(process, signal.SIGKILL)
