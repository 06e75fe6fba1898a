"""Make the environment of the course: `python3 tools/setup_env.py [.venv]`, or `make setup`.

Standard library only: it runs before anything is installed, on any system with Python 3.11 to 3.13. A stamp in the
environment remembers what was installed, so that a second call is quick and an interrupted one is done again.

TORCH_INDEX decides where torch comes from:
    unset    the CPU index on Linux without an NVIDIA GPU, if it answers; else pip's own index
    pip      pip's own index (on Linux: the CUDA build, several gigabytes)
    a URL    that index, for example https://download.pytorch.org/whl/cu126
"""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
OLDEST, NEWEST = (3, 11), (3, 13)
STAMP = "mtl-teach-setup"
LAB_SETTINGS = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
INPUTS = ("pyproject.toml", "constraints.txt", "tools/setup_env.py")


def stop(message: str):
    """End with a message for a person, not a traceback."""
    raise SystemExit(f"setup: {message}")


def version_problem(version: tuple) -> str:
    """What is wrong with this Python, or an empty string."""
    if OLDEST <= tuple(version[:2]) <= NEWEST:
        return ""
    found, oldest, newest = (".".join(map(str, v[:2])) for v in (version, OLDEST, NEWEST))
    return (f"Python {found} cannot run the course, it needs {oldest} to {newest}. Name another one, for example:\n"
            f"       make setup PYTHON=python{newest}")


def venv_problem(modules=("venv", "ensurepip")) -> str:
    """What is missing to make a virtual environment, or an empty string (Debian packs these apart)."""
    for module in modules:
        try:
            __import__(module)
        except ImportError:
            minor = f"{sys.version_info[0]}.{sys.version_info[1]}"
            return (f"this Python lacks `{module}`, so it cannot make a virtual environment.\n"
                    f"       On Debian and Ubuntu: sudo apt-get install python{minor}-venv (or python3-venv)")
    return ""


def fingerprint() -> str:
    """What an environment depends on. It has the folder in it: an environment that was moved is broken."""
    parts = [str(ROOT), platform.python_version()]
    parts += [(ROOT / name).read_text(encoding="utf-8") for name in INPUTS]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def reachable(url: str, seconds: float = 3.0) -> bool:
    """Whether a server answers. In a thread of its own: a name look-up knows no time limit."""
    answers = []

    def ask():
        try:
            with urllib.request.urlopen(url, timeout=seconds) as reply:
                answers.append(reply.status == 200)
        except (OSError, ValueError):
            answers.append(False)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(answers and answers[0])


def torch_index() -> tuple[str, bool]:
    """(index for torch, whether it must work). An empty index leaves the choice to pip."""
    wanted = os.environ.get("TORCH_INDEX", "")
    if wanted:
        return ("", False) if wanted == "pip" else (wanted, True)
    if platform.system() != "Linux" or shutil.which("nvidia-smi"):
        return "", False                # elsewhere pip's own index has the right build
    if reachable(f"{CPU_INDEX}/torch/"):
        return CPU_INDEX, False
    print(f"setup: {CPU_INDEX} does not answer; torch comes from pip's own index.\n"
          "       If pip now starts a download of gigabytes (nvidia-...): stop it, and see README, 'CPU-only torch'.")
    return "", False


def torch_pin() -> str:
    return re.search(r"^torch==\S+", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)[0]


def has_torch(venv: Path) -> bool:
    """Whether the pinned torch is there, whichever build."""
    return any(list(site.glob(f"{torch_pin().replace('==', '-')}*.dist-info")) for site in site_packages(venv))


def install_torch(pip: list[str], index: str, required: bool):
    """torch alone, from its own index: nothing else is ever taken from there."""
    pin = torch_pin()
    print(f"setup: {pin} from {index}", flush=True)
    anew = ["--force-reinstall"] if required else []
    failed = subprocess.run([*pip, "install", "--no-deps", *anew, "--index-url", index, pin]).returncode
    if failed and required:
        stop(f"pip could not install {pin} from TORCH_INDEX={index}; its message is above.")


def prepare(venv: Path) -> Path:
    """An environment with a Python that starts; a broken one is made again."""
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    works = python.exists() and subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode == 0
    if not works:
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
    return python


def site_packages(venv: Path) -> list[Path]:
    return [*venv.glob("lib/python3*/site-packages"), *venv.glob("Lib/site-packages")]


def forget_halves(venv: Path):
    """Take out what a killed pip left: it writes RECORD last, yet would take a package without one for installed."""
    for site in site_packages(venv):
        halves = [info for info in site.glob("*.dist-info") if not (info / "RECORD").exists()]
        for leftover in [*halves, *site.glob("~*")]:
            print(f"setup: {leftover.name} is left from an interrupted installation; doing it again")
            shutil.rmtree(leftover, ignore_errors=True)


def quiet_lab(venv: Path):
    """JupyterLab of this environment neither asks about news nor looks for updates: the course opens no connection."""
    folder = venv / "share" / "jupyter" / "lab" / "settings"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "overrides.json").write_text(json.dumps(LAB_SETTINGS, indent=2) + "\n", encoding="utf-8")


def up_to_date(stamp: Path, wanted: str) -> bool:
    """Whether the environment is whole and of these inputs; naming another TORCH_INDEX asks for another torch."""
    if not stamp.exists():
        return False
    found, index = (stamp.read_text().splitlines() + ["", ""])[:2]
    return found == wanted and os.environ.get("TORCH_INDEX", "") in ("", index)


def main(folder: str = ".venv"):
    problem = version_problem(sys.version_info) or venv_problem()
    if problem:
        stop(problem)
    venv = ROOT / folder
    stamp, wanted = venv / STAMP, fingerprint()
    if up_to_date(stamp, wanted):
        return
    print(f"setup: installing into {venv.name}; the first time this takes some minutes", flush=True)
    pip = [str(prepare(venv)), "-m", "pip", "--disable-pip-version-check"]
    stamp.unlink(missing_ok=True)
    forget_halves(venv)
    if os.environ.get("TORCH_INDEX") or not has_torch(venv):
        index, required = torch_index()
        if index:
            install_torch(pip, index, required)
    done = subprocess.run([*pip, "install", "-c", "constraints.txt", "-e", ".[dev]"], cwd=ROOT)
    if done.returncode:
        stop("pip failed; its message is above. Mend the cause and run the same command again: it goes on from there.")
    quiet_lab(venv)
    stamp.write_text(f"{wanted}\n{os.environ.get('TORCH_INDEX', '')}\n")
    print("setup: ready")


if __name__ == "__main__":
    main(*sys.argv[1:])
