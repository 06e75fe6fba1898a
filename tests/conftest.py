"""What all tests share: no network, no windows, no caches of the person who runs them."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

# Read by the libraries when they are imported, so they are set here, before any test imports one.
HF_HOME = Path(tempfile.mkdtemp(prefix="mtl-teach-tests-"))
os.environ.update(HF_HOME=str(HF_HOME), MTL_CACHE=str(HF_HOME / "mtl"), MTL_HOME=str(HF_HOME / "progress"), HF_HUB_OFFLINE="1",
                  TOKENIZERS_PARALLELISM="false", MPLBACKEND="Agg")
for variable in ("HF_HUB_CACHE", "HF_DATASETS_CACHE", "TRANSFORMERS_CACHE"):
    os.environ.pop(variable, None)


def pytest_unconfigure():
    shutil.rmtree(HF_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets: $MTL_REAL_DATA, or shared/data beside the repository."""
    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("MTL_REAL_DATA") or root.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("real data sets not found; set MTL_REAL_DATA")
    return folder


@dataclass
class HubCache:
    """A Hugging Face cache that looks as if models and data sets had been downloaded into it."""

    home: Path

    def add_model(self, name: str, folder) -> None:
        """Make the files of `folder` loadable as the model `name`, e.g. "gpt2" or "owner/name"."""
        place = self.home / "hub" / f"models--{name.replace('/', '--')}"
        shutil.copytree(folder, place / "snapshots" / "local")
        (place / "refs").mkdir()
        (place / "refs" / "main").write_text("local")

    def add_dataset(self, name: str, config: str, splits: dict, features=None) -> None:
        """Make {split: rows} loadable as `datasets.load_dataset(name, config)`; features: a datasets.Features."""
        import datasets
        place = self.home / "datasets" / name.replace("/", "___") / config / "0.0.0" / "0123456789abcdef"
        place.mkdir(parents=True)
        infos = datasets.SplitDict(dataset_name=name.split("/")[-1])
        for split, rows in splits.items():
            data = datasets.Dataset.from_list(rows, features=features)
            path = place / f"{name.split('/')[-1]}-{split}.arrow"
            with datasets.arrow_writer.ArrowWriter(path=str(path), features=data.features) as writer:
                writer.write_table(data.data.table)
                count, size = writer.finalize()
            infos.add(datasets.SplitInfo(split, num_examples=count, num_bytes=size))
            features = data.features
        info = datasets.DatasetInfo(features=features, splits=infos, config_name=config, version="0.0.0",
                                    builder_name="parquet", dataset_name=name.split("/")[-1])
        info.write_to_directory(str(place))


@pytest.fixture
def hub_cache():
    """An empty hub cache; what a test adds to it is gone after the test."""
    yield HubCache(HF_HOME)
    for folder in ("hub", "datasets"):
        shutil.rmtree(HF_HOME / folder, ignore_errors=True)
