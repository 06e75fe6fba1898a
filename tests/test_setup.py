"""The two commands on a fresh machine: pins, environments and licences stay in step, and set-up can be interrupted."""

import ast
import importlib.util
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OLDEST_PYTHONS = ("3.11.2", "3.12.0", "3.13.0")         # 3.11.2 is Debian 12's


def load_tool(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def setup_env(monkeypatch, tmp_path):
    """The set-up script, working on a copy of the files it reads."""
    tool = load_tool("setup_env")
    for name in tool.INPUTS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    monkeypatch.delenv("TORCH_INDEX", raising=False)
    return tool


@pytest.fixture
def commands(setup_env, monkeypatch):
    """Record what the script would run, instead of running it; `commands.result` is the exit status."""
    class Recorder(list):
        result = 0

        def __call__(self, command, **_):
            self.append(list(map(str, command)))
            if "venv" in command:
                (Path(command[-1]) / "bin").mkdir(parents=True, exist_ok=True)
            return subprocess.CompletedProcess(command, self.result if "install" in command else 0)

    recorder = Recorder()
    monkeypatch.setattr(setup_env.subprocess, "run", recorder)
    monkeypatch.setattr(setup_env, "torch_index", lambda: ("", False))
    return recorder


def installs(commands):
    return [command for command in commands if "install" in command]


# --- the set-up script

@pytest.mark.parametrize("version, fine", [((3, 10, 9), False), ((3, 11, 0), True), ((3, 13, 5), True),
                                           ((3, 14, 0), False)])
def test_python_versions(setup_env, version, fine):
    problem = setup_env.version_problem(version)
    assert fine == (problem == "")
    assert fine or "make setup PYTHON=" in problem


def test_versions_of_script_and_project_agree(setup_env):
    allowed = SpecifierSet(PROJECT["requires-python"])
    for minor in range(9, 16):
        assert allowed.contains(f"3.{minor}.4") == (setup_env.version_problem((3, minor, 4)) == "")


def test_missing_venv_names_the_package(setup_env):
    assert setup_env.venv_problem() == ""
    assert "apt-get install python3" in setup_env.venv_problem(("venv", "no_such_module"))


def test_second_setup_does_nothing(setup_env, commands):
    setup_env.main()
    assert installs(commands)
    commands.clear()
    setup_env.main()
    assert commands == []


def test_changed_pins_are_installed(setup_env, commands):
    setup_env.main()
    commands.clear()
    pins = setup_env.ROOT / "constraints.txt"
    pins.write_text(pins.read_text() + "extra==1\n")
    setup_env.main()
    assert installs(commands)


def test_interrupted_setup_is_done_again(setup_env, commands):
    commands.result = 1
    with pytest.raises(SystemExit, match="same command again"):
        setup_env.main()
    commands.clear()
    commands.result = 0
    setup_env.main()
    assert installs(commands)


def test_interrupted_update_leaves_no_stamp(setup_env, commands):
    setup_env.main()
    pins = setup_env.ROOT / "constraints.txt"
    before = pins.read_text()
    pins.write_text(before + "extra==1\n")
    commands.result = 1
    with pytest.raises(SystemExit):
        setup_env.main()
    pins.write_text(before)                     # the old pins again: but what is installed is unknown by now
    commands.clear()
    commands.result = 0
    setup_env.main()
    assert installs(commands)


def test_half_installed_package_is_forgotten(setup_env, commands):
    site = setup_env.ROOT / ".venv" / "lib" / "python3.11" / "site-packages"
    for name in ("whole-1.dist-info", "half-1.dist-info", "~alf"):
        (site / name).mkdir(parents=True)
    (site / "whole-1.dist-info" / "RECORD").write_text("")
    setup_env.main()
    assert [folder.name for folder in site.iterdir()] == ["whole-1.dist-info"]


def test_torch_that_is_there_is_kept(setup_env, commands, monkeypatch):
    site = setup_env.ROOT / ".venv" / "lib" / "python3.11" / "site-packages"
    monkeypatch.setattr(setup_env, "torch_index", lambda: pytest.fail("looked for another torch"))
    info = site / f"{setup_env.torch_pin().replace('==', '-')}+cpu.dist-info"
    info.mkdir(parents=True)
    (info / "RECORD").write_text("")
    setup_env.main()
    assert len(installs(commands)) == 1


def test_another_torch_is_another_setup(setup_env, commands, monkeypatch):
    setup_env.main()
    commands.clear()
    monkeypatch.setenv("TORCH_INDEX", "https://example.org/whl")
    monkeypatch.setattr(setup_env, "torch_index", lambda: ("https://example.org/whl", True))
    setup_env.main()
    torch_alone = installs(commands)[0]
    assert {"--no-deps", "--force-reinstall", "https://example.org/whl"} <= set(torch_alone)
    assert torch_alone[-1].startswith("torch==")
    commands.clear()
    monkeypatch.delenv("TORCH_INDEX")           # later calls need not name it again
    setup_env.main()
    assert commands == []


@pytest.mark.parametrize("variable, system, nvidia, answers, index", [
    ("", "Linux", False, True, "cpu"), ("", "Linux", False, False, ""), ("", "Linux", True, True, ""),
    ("", "Darwin", False, True, ""), ("pip", "Linux", False, True, ""),
    ("https://x.org/w", "Darwin", True, False, "x")])
def test_where_torch_comes_from(setup_env, monkeypatch, variable, system, nvidia, answers, index):
    monkeypatch.setenv("TORCH_INDEX", variable)
    monkeypatch.setattr(setup_env.platform, "system", lambda: system)
    monkeypatch.setattr(setup_env.shutil, "which", lambda _: "/bin/nvidia-smi" if nvidia else None)
    monkeypatch.setattr(setup_env, "reachable", lambda _: answers)
    wanted = {"cpu": (setup_env.CPU_INDEX, False), "": ("", False), "x": ("https://x.org/w", True)}[index]
    assert setup_env.torch_index() == wanted


def test_unreachable_index_is_no_error(setup_env):
    assert not setup_env.reachable("http://127.0.0.1:9/", seconds=1)


# --- pins, ranges, conda

def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def requirements():
    texts = PROJECT["dependencies"] + [text for extra in PROJECT["optional-dependencies"].values() for text in extra]
    return [need for need in map(Requirement, texts) if canonicalize_name(need.name) != PROJECT["name"]]


def installed_closure() -> dict[str, metadata.Distribution]:
    """Every installed distribution that the project needs, directly or not."""
    found, ahead = {}, [need.name for need in requirements()]
    while ahead:
        name = canonicalize_name(ahead.pop())
        if name in found:
            continue
        found[name] = metadata.distribution(name)
        needs = map(Requirement, found[name].requires or [])
        ahead += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return found


def test_pins_are_versions_only():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    for line in lines:
        assert line.startswith("#") or re.fullmatch(r"[\w.-]+==[\w.]+", line), f"not a plain pin: {line}"


@pytest.mark.parametrize("need", requirements(), ids=lambda need: need.name)
def test_pin_is_in_the_allowed_range(need):
    version = {canonicalize_name(name): version for name, version in pins().items()}[canonicalize_name(need.name)]
    assert need.specifier.contains(version), f"{need} does not allow the pinned {version}"


def third_party_imports():
    """(module, file) for every import of another project in the package, wherever in a file it stands."""
    for path in sorted((ROOT / "mtl_teach").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else \
                    [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            for name in {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"mtl_teach"}:
                yield name, path.relative_to(ROOT)


def test_every_import_is_declared():
    declared = {canonicalize_name(need.name) for need in requirements()}
    owners = metadata.packages_distributions()
    for name, path in third_party_imports():
        found = {canonicalize_name(owner) for owner in owners.get(name, [name])}
        assert found & declared, f"{path} imports {name}: pyproject.toml does not name {found}"


def test_everything_needed_is_pinned_and_installed_so():
    known = {canonicalize_name(name): version for name, version in pins().items()}
    for name, found in installed_closure().items():
        assert name in known, f"{name} is not pinned: make pins"
        assert found.version.split("+")[0] == known[name], f"{name}: installed {found.version}, pinned {known[name]}"


def test_pins_work_on_every_python_of_the_range():
    for name, found in installed_closure().items():
        allowed = SpecifierSet(found.metadata.get("Requires-Python") or "")
        for python in OLDEST_PYTHONS:
            assert allowed.contains(python), f"{name} {found.version} needs Python {allowed}: pin one for {python}"


def test_conda_environment_is_in_step(setup_env):
    parts = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    python = next(part for part in parts if isinstance(part, str) and part.startswith("python="))
    pip = next(part["pip"] for part in parts if isinstance(part, dict))
    assert SpecifierSet(PROJECT["requires-python"]).contains(python.removeprefix("python=") + ".4")
    assert [line for line in pip if not line.startswith("--extra-index-url")] == ["-c constraints.txt", "-e .[dev]"]
    assert f"--extra-index-url {setup_env.CPU_INDEX}" in pip


# --- licences and the address

# Permissive, and MPL-2.0: its copyleft covers single files, which we leave alone.
ALLOWED = ("MIT", "BSD", "Apache", "PSF", "Python Software Foundation", "ISC", "MPL", "Mozilla", "Zlib", "0BSD", "CC0",
           "HPND", "Unlicense", "matplotlib")
FORBIDDEN = re.compile(r"\b(A|L)?GPL|General Public License")
BESIDE = "GPL-3.0-with-GCC-exception"             # the GCC runtime in compiled wheels: its exception frees who links it


def licence(found: metadata.Distribution) -> str:
    """What a distribution says of its licence: the expression, else classifiers, else the first line of the field."""
    facts = found.metadata
    lines = [line for line in facts.get_all("Classifier") or [] if line.startswith("License")]
    classifiers = [line.split("::")[-1].strip() for line in lines]
    return facts.get("License-Expression") or ", ".join(classifiers) or (facts.get("License") or "").split("\n")[0]


def test_no_gpl_dependency():
    for name, found in installed_closure().items():
        text = licence(found).replace(BESIDE, "")
        assert any(word in text for word in ALLOWED), f"{name}: licence {text!r} is not among those agreed on"
        assert not FORBIDDEN.search(text), f"{name} is under {text!r}"


def test_no_torchvision():
    assert "torchvision" not in {canonicalize_name(name) for name in pins()}


def tracked_texts():
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    for name in filter(None, names):
        path = ROOT / name
        if path.is_file() and path.suffix in (".md", ".cff", ".py", ".ipynb", ".toml", ".yml", ".txt", ""):
            yield name, path.read_text(encoding="utf-8", errors="replace")


def test_one_address():
    """The repository's address is decided in pyproject.toml; whatever names it elsewhere names the same."""
    address = PROJECT["urls"]["Repository"]
    named = re.compile(r"github(?:\.com)?/([\w.-]+/mtl_teach)\b")
    for name, text in tracked_texts():
        for found in named.findall(text):
            assert address.endswith(found), f"{name} names {found}, pyproject.toml {address}"
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["repository-code"] == address


def test_citation_has_the_version():
    import mtl_teach
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == mtl_teach.__version__


def test_import_loads_no_heavy_package():
    code = "import sys, mtl_teach; print({'torch', 'transformers', 'datasets', 'pandas', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's")
def test_offline_refuses_a_network():
    """Outside a namespace of its own the tool stops, so that `make offline` cannot prove less than it says."""
    done = subprocess.run([sys.executable, ROOT / "tools" / "offline.py", "true"], capture_output=True, text=True)
    assert len(socket.if_nameindex()) == 1 or (done.returncode == 1 and "unshare -rn" in done.stderr)
