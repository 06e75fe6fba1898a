"""When a learner's code raises: their own lines of the traceback, and the likely cause."""

# ruff: noqa: E501  (a table of prose)

from __future__ import annotations

import difflib
import re
import sysconfig
import traceback
from pathlib import Path

from ..i18n import _

FOREIGN = tuple(str(Path(place).resolve()) for place in (
    Path(__file__).resolve().parents[1], *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))))
SHOWN = 6                               # lines of a traceback

CLASSES_SECOND = "cross_entropy wants the classes on the second axis: (N, C) with (N,), or (B, C, T) with (B, T). Flatten both, or transpose the logits."
CAUSES = [                              # (type, pattern of the message, likely cause)
    ("NameError", r"name '(F|nn|np|torch|mt|pd)'", "The import is missing. Run the set-up cell at the top of the notebook; what it does not import, such as torch.nn.functional as F, import in your own cell."),
    ("UnboundLocalError", "", "The name gets its value in a branch or a loop that was not entered, or is assigned later in the function."),
    ("NameError", "", "The name was never made, or its cell has not run since the kernel started: use Run > Run All Above Selected Cell. Or it is misspelt."),
    ("TypeError", r"positional argument|unexpected keyword", "The call and the signature do not fit. Keep the arguments as the exercise gives them."),
    ("TypeError", r"NoneType", "Something is None. A function without `return` gives None; methods such as list.sort() and list.append() do too."),
    ("TypeError", r"is not iterable|non-iterable", "One thing stands where several are expected. A loop over a count needs range(n); a list of one is [x]."),
    ("TypeError", r"is not callable", "Something with () behind it is no function: perhaps a name that you gave to a value, or a missing * between brackets."),
    ("TypeError", r"is not subscriptable", "[...] stands behind something that has no parts. Print type(...) of it on the line before."),
    ("TypeError", r"unsupported operand|bad operand", "An operator stands between types that do not go together: a list or a dict cannot be subtracted, scaled or raised as a whole. Loop over its parts, or make it an array or a tensor first."),
    ("AttributeError", r"NoneType", "Something is None. A function without `return` gives None; methods such as list.sort() and list.append() do too."),
    ("AttributeError", r"'Tensor' object has no attribute 'copy'", "The copy of a tensor is .clone()."),
    ("AttributeError", r"'dict' object", "The fields of a dict are read with brackets: row[\"text\"], not row.text."),
    ("AttributeError", r"'(list|tuple|float|int|str)' object", "You have a plain Python value where you expected a tensor or another type. Print type(...) on the line before."),
    ("TypeError", r"string indices must be integers", "A text stands where you expect a dict: going through a dict gives its keys. Use .items() or .values()."),
    ("AttributeError", r"cannot assign (module|parameter|buffer)s? before Module.__init__", "Call super().__init__() first in __init__."),
    ("AttributeError", "", "The object has no such part. Print dir(...) or type(...) on the line before, and look for a spelling mistake."),
    ("RuntimeError", r"Expected target size|match target batch_size", CLASSES_SECOND),
    ("ValueError", r"Expected input batch_size", CLASSES_SECOND),
    ("RuntimeError", r"Index tensor must have the same number of dimensions", "gather wants an index with as many axes as its input. x[torch.arange(len(x)), where] picks one place from each row."),
    ("RuntimeError", r"boolean mask", "masked_fill wants True and False: write mask == 0, or mask.bool()."),
    ("RuntimeError", r"appears to not have been used", "You ask for the gradient of a tensor that has no part in the loss: the head of an absent task, for instance. Leave it out, or use allow_unused=True, which gives None for it."),
    ("RuntimeError", r"mat1 and mat2 shapes|size mismatch", "Two matrices do not fit: the last size of the left one must be the first of the right one. Print both shapes; perhaps one is transposed or not pooled yet."),
    ("RuntimeError", r"must match the size|broadcast|expanded size|Sizes of tensors must match", "Two shapes do not fit. Print both. Often a [:, None] or .unsqueeze(-1) is missing, or a mask was made for other rows."),
    ("RuntimeError", r"does not require grad", "The result is cut off from the graph: .item(), .detach(), float(), .numpy() or torch.no_grad() stands between the input and the loss. Or what you ask the gradient of was never given .requires_grad_()."),
    ("RuntimeError", r"second time|freed", "One graph was walked twice. Add the losses and call backward once, or use retain_graph=True."),
    ("RuntimeError", r"leaf (V|v)ariable|in-place operation|modified by an inplace", "A tensor that the gradient needs was changed in place (+=, x[...] =, .add_()). Make a new tensor instead."),
    ("RuntimeError", r"same device", "Two tensors are on different devices. Make new tensors with device=x.device."),
    ("RuntimeError", r"expected scalar type|same dtype|dtype|LongTensor|implemented for", "Two number types do not fit. Class numbers are long (.long()), inputs and weights float (.float())."),
    ("RuntimeError", r"scalar outputs|implicitly created", "backward() starts from one number. Take the mean or the sum of the losses first."),
    ("RuntimeError", r"can't be cast|result type", "An in-place step cannot change a tensor's number type. Convert first: x.float()."),
    ("IndexError", r"Target \d+ is out of bounds", "A label is larger than the number of logits: the layer needs an output for every class. Or the label is that of another task."),
    ("IndexError", r"Dimension out of range|too many indices", "The tensor has fewer axes than you think. Print its shape."),
    ("IndexError", "", "An index is beyond the end. Print the length or the shape, and think of a task that is absent or has one row."),
    ("KeyError", "", "The dict has no such key. A task may be absent, a field optional: loop over the keys that are there, or use .get(...)."),
    ("ZeroDivisionError", "", "You divide by a count that can be zero: an empty text, an absent task, a run of one step. Decide what to return then."),
    ("ValueError", r"expected sequence of length", "Lists of different lengths make no tensor. Fill them up to one length first, or keep them apart."),
    ("ValueError", r"too many values to unpack|not enough values", "The right side has another number of parts than there are names on the left."),
    ("ValueError", r"(Quantiles|Percentiles) must be in the range", "np.quantile takes shares such as 0.025; np.percentile takes per cent, 2.5."),
    ("TypeError", r"unhashable type", "A list, a dict or an array cannot stand in a set or be a key. Make a tuple of it, or a text."),
    ("ValueError", r"invalid literal for int|could not convert string to float", "A text that is no number was to become one. Print it: perhaps some of the texts have another form."),
    ("RuntimeError", r"numel\(\) == 0|non-empty", "The largest of nothing: a slice or a selection is empty. Print its shape."),
    ("ValueError", r"(max|min)\(\) arg is an empty|zero-size array", "The largest of nothing: a slice or a selection is empty. Print its length."),
    ("TypeError", r"must be int, not float|slice indices must be integers|cannot be interpreted as an integer", "A whole number is needed: round(...) or int(...) makes one."),
    ("ValueError", r"ambiguous|more than one", "A tensor or array with several values stands in `if`. Use .any(), .all() or torch.where."),
    ("RuntimeError", r"Boolean value of Tensor", "A tensor with several values stands in `if`. Use .any(), .all() or torch.where."),
    ("RecursionError", "", "The function calls itself without end."),
    ("MemoryError", "", "A shape has become far too large. Print it before the line."),
    ("SystemExit", "", "exit() or quit() would close the kernel. Use `return`."),
]


def likely_cause(error: BaseException) -> str:
    names = {kind.__name__ for kind in type(error).__mro__}
    for kind, pattern, cause in CAUSES:
        if kind in names and re.search(pattern, str(error)):
            return f"{_(cause)}{_meant(error)}"
    return ""


def _meant(error) -> str:
    """' Did you mean ...?' for a misspelt attribute, where Python keeps the object."""
    if not isinstance(error, AttributeError) or getattr(error, "obj", None) is None:
        return ""
    close = difflib.get_close_matches(str(error.name), dir(error.obj), n=2, cutoff=0.7)
    return " " + _("Did you mean {names}?").format(names=_(" or ").join(close)) if close else ""


def own_lines(error: BaseException) -> list[str]:
    """'line 3 in mixed_loss:  loss = losses.men()' for each of the learner's own lines, outermost first.

    Lines of libraries, and of this package, are left out; so are names of files.
    """
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(FOREIGN)
              and not frame.filename.startswith("<frozen")]
    lines = [_("line {n} in {where}:  {code}").format(n=frame.lineno, where=frame.name, code=frame.line or "")
             for frame in frames]
    lines = [line for line, before in zip(lines, ["", *lines]) if line.split(" in <")[0] != before.split(" in ")[0]]
    return lines if len(lines) <= SHOWN else [*lines[:2], "...", *lines[2 - SHOWN:]]


def message(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:400]}" if text else type(error).__name__
