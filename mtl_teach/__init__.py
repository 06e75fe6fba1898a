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
    "small_backbone": ["new_backbone"],
    "heads": ["build_head", "TaskOutput"],
    "sharing.base": ["SharingModel", "load_model"],
    "sharing.single": ["SingleTask"],
    "sharing.hard": ["HardSharing"],
    "sharing.soft": ["SoftSharing"],
    "sharing.stitch": ["CrossStitch", "Sluice"],
    "sharing.attention": ["AttentionSharing"],
    "sharing.progressive": ["ProgressiveNetwork"],
    "training": ["fit", "History"],
    "in_order": ["fit_in_order"],
    "activations": ["ActivationCache"],
    "balancing": ["Uncertainty", "DWA", "GradNorm", "FAMO", "GeometricMean", "RandomWeights", "Fixed", "PCGrad", "GradVac",
                  "MGDA", "CAGrad", "IMTLG", "AlignedMTL", "NashMTL", "UPGrad"],
    "evaluation": ["evaluate", "over_seeds", "delta_m", "Measured"],
    "comparison": ["compare", "Method", "Comparison"],
    "significance": ["paired_test", "mcnemar", "paired_bootstrap", "adjust"],
    "ranks": ["mean_ranks", "rankings"],
    "calibration": ["check_calibration", "fit_temperature"],
    "slices": ["by_slice"],
    "selection": ["choose"],
    "leakage": ["find_leaks", "without_leaks"],
    "label_curves": ["learning_curve"],
    "transferring": ["transfer", "few_shot", "PeftSharing"],
    "merging": ["merge", "task_vector"],
    "instruments": ["GradientWatch", "AffinityWatch", "task_gradients"],
    "grouping": ["group_tasks"],
    "claims": ["claim"],
    "course.quiz": ["quiz"],
    "course.checking": ["check", "hint", "solution"],
    "course.page": ["progress"],
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
