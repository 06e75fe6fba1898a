"""Progressive networks (Rusu et al. 2016): a column per task, and nothing learned is ever overwritten.

    model = ProgressiveNetwork("tiny", tasks.only("topic"))
    mt.fit(model, tasks.only("topic"))            # the first column is a language model of its own
    model.add_task(tasks["sentiment"])            # now it is frozen for good; a second column starts
    mt.fit(model, tasks.only("sentiment"))        # ... and may use whatever the first one has found

Each task gets a column: its own copy of the backbone. Earlier columns are frozen, so what they answer cannot change,
to the last bit. The new column reads them through laterals, one at every block. For a network of plain layers:

    h_i^(k) = σ( W_i h_{i-1}^(k) + U_i σ( V_i α_i h_{i-1}^(<k) ) )                        Rusu et al. 2016, eq. 2

α is a learned scale for each earlier column, V projects all of them, laid side by side, down to one narrow width,
U maps back up. Layer i is fed by its own column's h_{i-1} and the others'; h_0 is the input, which all share.

In a Transformer h_i is what leaves block i: the stream that every block reads and adds to. The lateral is added to
that stream between block i and block i + 1:

    x_i^(k) = h_i^(k) + U_i σ( V_i α_i norm(x_i^(<k)) )          h_{i+1}^(k) = block_{i+1}( x_i^(k) )       i = 1 ... L

Why there: block i + 1 reads own and lateral features together, as a layer does in the paper, and as a block adds to
its input, the lateral also goes straight into h_{i+1}: the sum of eq. 2. The last lateral brings the earlier columns'
topmost features to the final norm and the head. The outer σ is the norm with which the next block begins. Streams
differ in size by orders of magnitude between blocks and models; whatever reads them reads them through a norm, and so
do the laterals (a norm without weights, so that it belongs to what is frozen).
"""

from __future__ import annotations

import warnings
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from ..backbones import Backbone, load_backbone
from ..blocks import Blocks
from ..heads import build_head, seeded
from ..tasks import Task, TaskError, nearest
from .base import SharingModel, as_key

NOT_SHAPE = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version")


class Lateral(nn.Module):
    """What one block's lateral adds: U σ(V α h).

    earlier (n, T, J·D), the states of J earlier columns side by side  ->  (n, T, D)

    scale α (J,) starts small and random, down V (W, J·D), up U (D, W); σ is a ReLU, as in the paper.
    """

    def __init__(self, columns: int, width: int, bottleneck: int):
        super().__init__()
        self.scale = nn.Parameter(0.1 * torch.randn(columns))
        self.down = nn.Linear(columns * width, bottleneck, bias=False)
        self.up = nn.Linear(bottleneck, width, bias=False)

    def forward(self, earlier):
        scales = self.scale.repeat_interleave(earlier.size(-1) // len(self.scale))             # (J·D,)
        return self.up(F.linear(earlier, self.down.weight * scales).relu())                    # V(αh) = (Vα)h


class Column(nn.Module):
    """One task's language model with its laterals.

    laterals  one per block; none in the first column
    texts     how many texts it was trained on; 0: never trained
    """

    def __init__(self, backbone: Backbone, earlier: int, bottleneck: int):
        super().__init__()
        self.backbone, self.blocks = backbone, Blocks(backbone)
        self.laterals = nn.ModuleList(Lateral(earlier, backbone.width, bottleneck)
                                      for _ in range(backbone.depth if earlier else 0))
        self.register_buffer("texts", torch.zeros((), dtype=torch.long))

    def forward(self, input_ids, attention_mask, earlier=None):
        """(n, T) ids and mask; earlier: one (n, T, J·D) per block -> hidden (n, T, D), and x_i (n, T, D) per block."""
        hidden, context = self.blocks.embed(input_ids, attention_mask)
        states = []
        for i in range(len(self.blocks)):
            hidden = self.blocks.block(i, hidden, context)
            if self.laterals:
                hidden = hidden + self.laterals[i](earlier[i])
            states.append(hidden)
        return self.blocks.finish(hidden), states


class ProgressiveNetwork(SharingModel):
    """A column per task, in the order in which they are learned; one of them, `current`, trains.

    width     W, the features that pass a lateral; None: half the hidden size (in the paper: all of it)
    laterals  False: columns that do not read one another
    current   the task whose column trains, in a network that was saved; a new one begins with the first task

    With several tasks there is a column for each from the beginning; `mt.fit_in_order(model, tasks)` trains them one
    after the other. With `model.cache = ActivationCache()` the frozen columns are run once per training text.
    """

    in_order = True

    def __init__(self, backbone, tasks, *, width: int | None = None, laterals: bool = True, current: str | None = None,
                 seed: int = 0, **options):
        if width is not None and width < 1:
            raise TaskError(f"width={width}: at least one feature must pass a lateral; laterals=False cuts them all.")
        super().__init__(backbone, tasks, seed=seed, width=width, laterals=laterals, **options)
        self.knobs["seed"] = seed                                               # for the columns to come
        self._start = [] if current else [self.backbone.clone()]                # in a list: no part of the network
        self._open(current or next(iter(self.tasks)))

    def build(self, backbone, seed):
        self.columns, self.current, self.cache = nn.ModuleDict(), "", None
        for name in self.tasks:
            self.columns[as_key(name)] = self._new_column(name, backbone.clone(), seed)

    def _new_column(self, name, backbone, seed):
        earlier = len(self.columns) if self.knobs["laterals"] else 0
        with seeded(seed, name):
            return Column(backbone, earlier, self.knobs["width"] or max(1, backbone.width // 2))

    def column(self, name: str) -> Column:
        return self.columns[as_key(name)]

    def before(self, name: str) -> list[str]:
        """The tasks whose columns this one reads."""
        names = list(self.tasks)
        if name not in names:
            raise TaskError(f"unknown task {name!r}.{nearest(name, names)}")
        return names[:names.index(name)] if self.knobs["laterals"] else []

    def add_task(self, task, backbone=None) -> None:
        """Freeze what there is and start a column for another task: a Task, or a TaskData such as tasks["topic"].

        backbone: what the column starts from, of the same architecture as the others; None: what they started from.
        """
        spec = getattr(task, "task", task)
        if not isinstance(spec, Task):
            raise TaskError('add_task takes one task, e.g. add_task(tasks["topic"]); fit_in_order takes many.')
        if as_key(spec.name) in self.columns:
            raise TaskError(f"the network has a column for {spec.name!r} already. Give the new task another name.")
        seed, like = self.knobs["seed"], next(self.parameters())
        backbone = self._new_backbone(backbone)
        head = build_head(spec, backbone, getattr(task, "train", ()), seed).to(like)
        column = self._new_column(spec.name, backbone, seed).to(like)
        self.tasks[spec.name], self.columns[as_key(spec.name)], self.heads[as_key(spec.name)] = spec, column, head
        self.turn_to(spec.name)

    def _new_backbone(self, given):
        if given is None and not self._start:
            raise TaskError("a network that was loaded does not know what its columns started from. "
                            'Say what the new one starts from: add_task(task, backbone="tiny").')
        found = load_backbone(given or self._start[0]).clone()
        mine, new = ({**b.model.config.to_dict(), "tokenizer": b.tokenizer.get_vocab()} for b in (self.backbone, found))
        other = [key for key in mine | new if key not in NOT_SHAPE and mine.get(key) != new.get(key)]
        if other:
            raise TaskError(f"columns share architecture and tokenizer; the new backbone differs in {other[0]!r}.")
        return found

    def turn_to(self, name: str) -> None:
        """Let this task's column train and freeze all others. The cache belongs to what was frozen before: it goes.

        TaskError once a later column has been trained: it has learned from this one, which therefore stays as it is.
        """
        trained = [other for other in self.tasks if self.column(other).texts > 0]
        readers = [other for other in trained if name in self.before(other)]
        if readers:
            raise TaskError(f"the column of {name!r} is frozen: that of {readers[0]!r} came after it and reads it. "
                            "To go on learning, add the task under a new name, as a new column.")
        idle = [other for other in self.before(name) if other not in trained]
        if idle:
            warnings.warn(f"the column of {name!r} reads that of {idle[0]!r}, which was never trained.", stacklevel=3)
        self._open(name)

    def _open(self, name):
        self.current, self.cache = name, None
        self._frozen = [p for other in self.before(name) for p in self.column(other).parameters()]
        for other in self.tasks:
            for parameter in self.task_parameters(other):
                parameter.requires_grad_(other == name)
                if other != name:
                    parameter.grad = None
        self.train(self.training)

    def may_train(self, names):
        if len(names) > 1:
            raise TaskError("a progressive network learns one task at a time: mt.fit_in_order(model, tasks) trains one "
                            f"after the other, mt.fit(model, tasks.only({self.current!r})) the current one.")
        if names != [self.current]:
            raise TaskError(f"the column of {names[0]!r} is frozen; that of {self.current!r} trains now. "
                            "A column that no later one has learned from can be opened: model.turn_to(...).")

    def train(self, mode: bool = True):
        """As usual, but frozen columns and heads stay in eval mode: no dropout, nothing that moves."""
        super().train(mode)
        for name in self.tasks:
            if name != self.current:
                self.column(name).eval()
                self.head(name).eval()
        return self

    def share(self, batch):
        for name, rows in batch.rows.items():
            input_ids, mask, column = batch.input_ids[rows], batch.attention_mask[rows], self.column(name)
            learns = self.training and name == self.current
            hidden, _ = column(input_ids, mask, self._earlier(name, input_ids, mask, learns))
            if learns and hidden.requires_grad:
                column.texts += len(rows)
            yield name, hidden, column.backbone.pool(hidden, mask)

    def _earlier(self, name, input_ids, mask, learns):
        """What the task's column reads, one (n, T, J·D) per block. Only training uses the cache, answers never do."""
        names = self.before(name)
        if not names or self.cache is None or not learns:
            return self.states(names, input_ids, mask)
        self.cache.check(self._frozen)
        like = next(self.parameters())
        return [states.to(like.dtype) for states in self.cache.read(input_ids, mask, partial(self.states, names))]

    @torch.no_grad()
    def states(self, names: list[str], input_ids, attention_mask) -> list[torch.Tensor]:
        """norm(x_i) of these columns side by side, one (n, T, J·D) per block; no graph is kept."""
        found = []                                                               # per column, per block
        for name in names:
            _, states = self.column(name)(input_ids, attention_mask, side_by_side(found))
            found.append([F.layer_norm(x, x.shape[-1:]) for x in states])
        return side_by_side(found)

    @property
    def backbone(self) -> Backbone:
        """The first column's; all columns have the same architecture, tokenizer and pooling."""
        return next(iter(self.columns.values())).backbone

    def backbone_of(self, name):
        return self.column(name).backbone

    def shared_parameters(self):
        return []                                           # a column is trained by its own task, though others read it

    def task_parameters(self, name):
        return [*super().task_parameters(name), *self.column(name).parameters()]

    def facts(self):
        return super().facts() | {"knobs": self.knobs | {"current": self.current}}


def side_by_side(columns):
    """J lists of (n, T, D), one per block  ->  one list of (n, T, J·D)."""
    return [torch.cat(block, -1) for block in zip(*columns)]
