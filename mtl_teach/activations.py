"""A memory for what frozen layers compute: the same text gives the same hidden states, so compute them once.

Every token of a text has one row in the store of each block. Texts are computed without padding, among texts of
their own length: what is remembered of a text depends on no other text and on no batch. Compared with computing a
padded batch anew, the numbers differ by rounding alone: up to 3e-6 in float32 was measured on GPT-2-, BERT- and
Llama-like blocks. With one CPU thread they are the same bits whichever batch a text came with first.

A store lives in memory, or as plain files in a folder: appended to, and mapped into memory for reading, so that it
may be larger than the memory and survives the program. A text needs L x T x C x 4 bytes (L blocks, T tokens, C the
frozen columns' widths added up): 12 KB for a sentence of 12 tokens and one tiny column with L = 2 and D = 128,
7 MB for 64 tokens and three columns of the size of GPT-2.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import torch

from .tasks import TaskError

TEXTS = "texts.jsonl"                   # line 1: what the cache belongs to; then the token ids of each text, in order


class ActivationCache:
    """Hidden states of frozen layers by text (its token ids).

    folder  where to keep them, e.g. "cache/third_column"; None: in memory
    hits, misses  how many texts were found, and how many had to be computed
    """

    def __init__(self, folder=None):
        self.folder = None if folder is None else _own(Path(folder))
        self.owner, self._seen = None, None                 # a hash of the weights that filled the cache
        self.stores, self.starts, self.used = [], {}, 1     # a store per block; {text: first row}; row 0 is for padding
        self.hits, self.misses = 0, 0
        if self.folder is not None and (self.folder / TEXTS).exists():
            self._open()

    def __len__(self) -> int:
        """How many texts are remembered."""
        return len(self.starts)

    @property
    def nbytes(self) -> int:
        return sum(self.used * store.width * store.dtype.itemsize for store in self.stores)

    def __repr__(self):
        place, size = self.folder or "memory", self.nbytes / 2**20
        return f"ActivationCache({len(self)} texts, {size:.1f} MiB in {place}; {self.hits} hits, {self.misses} misses)"

    def check(self, weights: list[torch.Tensor]) -> None:
        """TaskError unless the cache is empty or was filled by layers with exactly these weights.

        Weights are hashed when they are first seen, and again only after they were written to, moved or cast. Writes
        through `weight.data` go unseen, as PyTorch counts none of them.
        """
        seen = [(id(weight), weight._version, weight.dtype, weight.data_ptr()) for weight in weights]
        if seen == self._seen:
            return
        mark = fingerprint(weights)
        if self.owner not in (None, mark):
            raise TaskError(f"the cache in {self.folder or 'memory'} does not fit its model: it was filled by other "
                            "weights than the frozen ones here. Use a new ActivationCache(), or another folder.")
        self.owner, self._seen = mark, seen

    def read(self, input_ids, attention_mask, compute) -> list[torch.Tensor]:
        """Hidden states of a batch, one (B, T, C) per block, zeros on padding.

        input_ids, attention_mask  (B, T)
        compute                    (ids, mask) -> one (b, t, C) per block; called for the texts that are not known yet
        """
        ids, mask = input_ids.cpu(), attention_mask.cpu().bool()
        keys = [row[real].numpy().tobytes() for row, real in zip(ids, mask)]
        unknown = dict.fromkeys(key for key in keys if key and key not in self.starts)
        self._learn(unknown, input_ids.device, compute)
        self.hits, self.misses = self.hits + len(keys) - len(unknown), self.misses + len(unknown)
        starts = torch.tensor([self.starts.get(key, 0) for key in keys])
        places = torch.where(mask, starts[:, None] + mask.cumsum(1) - 1, 0)                  # (B, T) rows of the stores
        return [store.rows(places.flatten()).unflatten(0, places.shape).to(input_ids.device) for store in self.stores]

    def _learn(self, unknown, device, compute):
        """Compute and keep the unknown texts, those of one length together."""
        by_length = {}
        for key in unknown:
            by_length.setdefault(len(key), []).append(key)
        for length in sorted(by_length):
            ids = torch.stack([torch.frombuffer(bytearray(key), dtype=torch.int64) for key in by_length[length]])
            with torch.no_grad(), torch.autocast(device.type, enabled=False):
                blocks = compute(ids.to(device), torch.ones_like(ids, device=device))        # L of (b, t, C)
            self._keep(ids, [_storable(block).flatten(0, 1) for block in blocks])

    def _keep(self, ids, blocks):
        try:
            if not self.stores:
                self._begin({"owner": self.owner, "blocks": len(blocks), "width": blocks[0].size(-1),
                             "dtype": str(blocks[0].dtype).removeprefix("torch.")})
            for store, block in zip(self.stores, blocks):
                store.append(block, self.used)
            if self.folder is not None:                      # last: what is listed is whole, whenever we are stopped
                self._list(ids.tolist())
        except OSError as error:
            raise TaskError(f"the activation cache could not be written to {str(self.folder)!r} ({error}). Is the disk "
                            "full? Free space, or keep the cache in memory: ActivationCache().") from error
        self._index(ids.tolist())

    def _list(self, texts):
        path = self.folder / TEXTS
        size = path.stat().st_size
        try:
            with open(path, "a", encoding="utf-8") as file:
                file.writelines(f"{json.dumps(text)}\n" for text in texts)
        except OSError:
            os.truncate(path, size)
            raise

    def _index(self, texts):
        for text in texts:
            self.starts[np.array(text, dtype=np.int64).tobytes()] = self.used
            self.used += len(text)

    def _begin(self, facts):
        """Make the stores, with the row of zeros; facts: owner, number of blocks, width C, dtype."""
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
        stores = self._stores(facts)
        for store in stores:
            store.append(torch.zeros(1, store.width, dtype=store.dtype), 0)
        if self.folder is not None:
            (self.folder / TEXTS).write_text(json.dumps(facts) + "\n", encoding="utf-8")
        self.stores = stores

    def _stores(self, facts):
        width, dtype = facts["width"], getattr(torch, facts["dtype"])
        if self.folder is None:
            return [MemoryStore(width, dtype) for _ in range(facts["blocks"])]
        return [FileStore(self.folder / f"block-{i:02d}.bin", width, dtype) for i in range(facts["blocks"])]

    def _open(self):
        """Take up the files of an earlier program; a text that was only half written is dropped."""
        path = self.folder / TEXTS
        whole, _, torn = path.read_bytes().rpartition(b"\n")
        if torn:
            os.truncate(path, len(whole) + 1)
        try:
            facts, *texts = [json.loads(line) for line in whole.splitlines()]
            self.owner, self.stores = facts["owner"], self._stores(facts)
            self._index(texts)
            sound = all(store.holds(self.used) for store in self.stores)
        except (ValueError, KeyError, AttributeError, TypeError):
            sound = False
        if not sound:
            raise TaskError(f"the cache in {str(self.folder)!r} is damaged; delete the folder, it will be made anew.")


class MemoryStore:
    """Rows (C,) in one tensor that doubles when it is full."""

    def __init__(self, width, dtype):
        self.width, self.dtype, self.data = width, dtype, torch.empty(0, width, dtype=dtype)

    def append(self, rows, at):
        if at + len(rows) > len(self.data):
            bigger = torch.empty(max(2 * len(self.data), at + len(rows)), self.width, dtype=self.dtype)
            bigger[:at] = self.data[:at]
            self.data = bigger
        self.data[at:at + len(rows)] = rows

    def rows(self, places):
        return self.data.index_select(0, places)


class FileStore:
    """Rows (C,) in a file: written as any file, so that a full disk is an error and not a crash; read through a map."""

    def __init__(self, path, width, dtype):
        self.path, self.width, self.dtype, self.map = path, width, dtype, None

    def append(self, rows, at):
        with open(self.path, "r+b" if at else "wb") as file:
            file.seek(at * self.width * self.dtype.itemsize)  # over what an interrupted program may have left
            file.write(rows.contiguous().numpy().tobytes())
        self.map = None

    def holds(self, rows):
        return self.path.exists() and self.path.stat().st_size >= rows * self.width * self.dtype.itemsize

    def rows(self, places):
        if self.map is None:                                  # "c" is a private map; nothing is written through it
            kind = torch.empty(0, dtype=self.dtype).numpy().dtype
            flat = np.memmap(self.path, kind, "c")
            self.map = torch.from_numpy(flat[:len(flat) // self.width * self.width].reshape(-1, self.width))
        return self.map.index_select(0, places)


def fingerprint(weights: list[torch.Tensor]) -> str:
    """A hash of the weights' types, shapes and bytes."""
    digest = hashlib.blake2b(digest_size=16)
    for weight in weights:
        digest.update(f"{weight.dtype}{tuple(weight.shape)}".encode())
        digest.update(weight.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _storable(block):
    """On the CPU, in float32 (float64 stays)."""
    return block.detach().to("cpu", torch.float64 if block.dtype == torch.float64 else torch.float32)


def _own(folder: Path) -> Path:
    """Each of several processes keeps files of its own."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return folder / f"process-{torch.distributed.get_rank()}"
    return folder
