"""mtl_teach: the helper package of a course on multi-task learning with language models.

Nothing is defined here. Names load their module when first used, so that `import mtl_teach` stays quick.
"""

from importlib import import_module

_MODULES = {
    "tasks": ["Task", "TaskData", "TaskSet", "TaskError"],
    "loading": ["load_tasks"],
    "profiles": ["profile"],
    "quality": ["check_quality", "make_dirty"],
    "batching": ["Batch", "MixedBatches", "collate", "encode"],
    "backbones": ["Backbone", "load_backbone"],
    "heads": ["build_head", "TaskOutput"],
    "sharing.base": ["SharingModel", "load_model"],
    "sharing.single": ["SingleTask"],
    "sharing.hard": ["HardSharing"],
    "sharing.soft": ["SoftSharing"],
    "sharing.stitch": ["CrossStitch", "Sluice"],
    "sharing.attention": ["AttentionSharing"],
    "sharing.progressive": ["ProgressiveNetwork"],
    "training": ["fit", "History"],
    "evaluation": ["evaluate", "over_seeds", "delta_m", "Measured"],
    "claims": ["claim"],
    "course.quiz": ["quiz"],
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOME)
__version__ = "0.1.0"


def __getattr__(name):
    if name in _HOME:
        value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
