"""The command without a broker: its imports, its errors and their exit codes."""

import subprocess
import sys
from pathlib import Path

LOCAL = [sys.executable, "-m", "workqueue_operator", "local"]


def run(*words: str, folder: Path, given: str = "") -> tuple[int, str]:
    environment = {"XDG_RUNTIME_DIR": str(folder), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([*LOCAL, *words], input=given, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_it_imports_neither_kopf_nor_kubernetes() -> None:
    """They are no part of the extra `local`."""
    code = """
import sys
sys.modules["kopf"] = sys.modules["kubernetes"] = None
import workqueue_operator.local.command, workqueue_operator.__main__
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert run("nowhere.yaml", folder=tmp_path) == (
        2,
        "workqueue-operator: nowhere.yaml cannot be read: No such file or directory\n",
    )


def test_standard_input_is_a_file_too(tmp_path: Path) -> None:
    exit_code, text = run("-", folder=tmp_path, given="kind: Secret")
    assert (exit_code, text) == (2, "workqueue-operator: standard input: Secret: metadata.name is missing: set it\n")


def test_an_image_whose_folder_is_missing_is_wrong_usage(tmp_path: Path) -> None:
    exit_code, text = run("--image", "orders=nowhere", "-", folder=tmp_path)
    assert exit_code == 2
    assert "there is no folder 'nowhere'" in text


def test_explain_without_a_local_that_runs_says_so(tmp_path: Path) -> None:
    command = [*LOCAL[:-1], "explain", "--local", "team/orders"]
    environment = {"XDG_RUNTIME_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    wanted = "workqueue-operator: no `workqueue-operator local` of yours runs WorkQueue team/orders\n"
    assert (done.returncode, done.stderr) == (1, wanted)
