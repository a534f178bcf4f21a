"""The peers' virtual environment, made once and kept in the user's cache until their requirements change."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def programs() -> Path:
    """The folder of its programs; makes it when it is missing."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "workqueue"
    key = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = cache / f"benchmark-peers-{key}"
    if not (folder / "complete").exists():
        print(f"making the peers' virtual environment in {folder} (half a minute, once) …", file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        install = [folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "-r", REQUIREMENTS]
        subprocess.run(install, check=True)
        (folder / "complete").touch()
    return folder / "bin"


def versions() -> dict[str, str]:
    """As pinned."""
    lines = (line.split("#")[0].strip() for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines())
    pins = dict(line.split("==") for line in lines if line)
    return {"Celery": pins["celery"], "Dramatiq": pins["dramatiq"], "pika of Dramatiq": pins["pika"]}
