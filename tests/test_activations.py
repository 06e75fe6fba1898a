"""The cache of activations: what it returns, what it saves, and that it never fits a wrong model."""

import json

import pytest
import torch
from small_models import ARCHITECTURES, backbone, task_set
from test_sharing_progressive import THREE, a_batch, logits, network, totals

import mtl_teach as mt
from mtl_teach.activations import TEXTS, ActivationCache
from mtl_teach.in_order import fit_in_order
from mtl_teach.sharing.progressive import ProgressiveNetwork
from mtl_teach.tasks import TaskError


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def read(model, cache, ids, mask):
    names = model.before(model.current)
    cache.check(model._frozen)
    return cache.read(ids, mask, lambda i, m: model.states(names, i, m))


@pytest.mark.parametrize("place", ["memory", "folder"])
@pytest.mark.parametrize("style", ARCHITECTURES)
def test_what_is_remembered_is_what_the_columns_compute_without_padding(style, place, tmp_path):
    model, tasks = network(style)
    batch = a_batch(model, tasks)
    cache = ActivationCache(None if place == "memory" else tmp_path)
    found = read(model, cache, batch.input_ids, batch.attention_mask)
    again = read(model, cache, batch.input_ids, batch.attention_mask)
    for number, states in enumerate(found):
        assert torch.equal(states, again[number]) and not states[batch.attention_mask == 0].any()
        for row, (ids, mask) in enumerate(zip(batch.input_ids, batch.attention_mask)):
            ids = ids[mask.bool()][None]
            alone = model.states(["mood", "stars"], ids, torch.ones_like(ids))[number][0]
            assert torch.allclose(states[row][mask.bool()], alone, atol=1e-5)
    assert len(cache) == cache.misses == cache.hits == len(batch)
    assert cache.nbytes == 2 * (int(batch.attention_mask.sum()) + 1) * 2 * 16 * 4      # blocks, tokens + 1, columns, D


def test_a_text_is_remembered_alike_whatever_batch_it_came_in(one_thread):
    model, tasks = network()
    batch = a_batch(model, tasks, 16)
    first, other = ActivationCache(), ActivationCache()
    all_at_once = read(model, first, batch.input_ids, batch.attention_mask)
    for row in reversed(range(len(batch))):
        ids, mask = (torch.nn.functional.pad(t[row:row + 1], (2, 3)) for t in (batch.input_ids, batch.attention_mask))
        for states, whole in zip(read(model, other, ids, mask), all_at_once):
            assert torch.equal(states[0][mask[0].bool()], whole[row][batch.attention_mask[row].bool()])


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_training_with_the_cache_is_training_without_it(style, tmp_path):
    runs = {}
    for place in ("none", "memory", "folder"):
        model, tasks = network(style)
        model.cache = {"none": None, "memory": ActivationCache(), "folder": ActivationCache(tmp_path)}[place]
        runs[place] = totals(mt.fit(model, tasks.only("places"), steps=8, lr=1e-3))
    assert runs["memory"] == runs["folder"]
    assert runs["memory"] == pytest.approx(runs["none"], abs=1e-5)


def test_frozen_columns_run_once_per_text_and_answers_do_without_the_cache():
    model, tasks = network()
    batch, runs = a_batch(model, tasks.only("places")), []
    expected = logits(model, batch)["places"]
    model.column("mood").register_forward_hook(lambda module, args, out: runs.append(len(args[0])))
    model.cache = ActivationCache()
    assert torch.equal(logits(model, batch)["places"], expected) and len(model.cache) == 0
    runs.clear()
    mt.fit(model, tasks.only("places"), steps=12)
    texts = {row["text"] if "text" in row else " ".join(row["tokens"]) for row in tasks["places"].train}
    assert sum(runs) == len(model.cache) == model.cache.misses == len(texts)
    model.add_task(mt.Task("new", "classify", ("a", "b")))
    assert model.cache is None                                           # it belonged to two frozen columns, not three


def test_fit_in_order_gives_every_column_a_cache_of_its_own(tmp_path):
    runs = []
    tasks = task_set(kinds=THREE)
    for cache in (None, True, tmp_path):
        model = ProgressiveNetwork(backbone("gpt2"), tasks)
        runs.append(totals(fit_in_order(model, tasks, steps=15, cache=cache)))
    assert runs[1] == pytest.approx(runs[0], abs=1e-5) and runs[1] == runs[2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["01-stars", "02-places"]


# ---- files ------------------------------------------------------------------------------------------------------


def filled(folder):
    """A folder with the activations of one batch; the network they came from, and the batch."""
    model, tasks = network()
    batch = a_batch(model, tasks)
    return model, batch, read(model, ActivationCache(folder), batch.input_ids, batch.attention_mask)


def test_a_folder_is_taken_up_by_a_later_program(tmp_path):
    model, batch, expected = filled(tmp_path)
    later = ActivationCache(tmp_path)
    found = read(model, later, batch.input_ids, batch.attention_mask)
    assert later.misses == 0 and all(torch.equal(a, b) for a, b in zip(found, expected))


def test_an_interrupted_write_is_dropped_and_written_over(tmp_path):
    model, batch, expected = filled(tmp_path)
    path = tmp_path / TEXTS
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-3]) + lines[-3][:2])               # killed while it wrote: 2 texts lost, 1 torn
    later = ActivationCache(tmp_path)
    found = read(model, later, batch.input_ids, batch.attention_mask)
    assert later.misses == 3 and all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, expected))
    third = ActivationCache(tmp_path)
    found = read(model, third, batch.input_ids, batch.attention_mask)
    assert third.misses == 0 and all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, expected))


def test_damaged_files_are_refused(tmp_path):
    filled(tmp_path / "short")
    with open(tmp_path / "short" / "block-01.bin", "r+b") as file:
        file.truncate(100)
    filled(tmp_path / "garbled")
    (tmp_path / "garbled" / TEXTS).write_text('{"owner": 1}\n[1, 2]\n')
    filled(tmp_path / "missing")
    (tmp_path / "missing" / "block-00.bin").unlink()
    for name in ("short", "garbled", "missing"):
        with pytest.raises(TaskError, match=f"{name}' is damaged; delete the folder"):
            ActivationCache(tmp_path / name)


def test_a_cache_that_does_not_fit_its_model_is_refused(tmp_path):
    model, batch, _ = filled(tmp_path)
    other, tasks = network()
    with torch.no_grad():
        other.column("mood").backbone.model.h[1].mlp.c_fc.weight[3, 5] += 1e-4
    other.cache = ActivationCache(tmp_path)
    before = {key: value.clone() for key, value in other.state_dict().items() if "texts" not in key}
    with pytest.raises(TaskError, match="does not fit its model.*other weights"):
        mt.fit(other, tasks.only("places"), steps=2)
    assert all(torch.equal(other.state_dict()[key], value) for key, value in before.items())
    model.cache = ActivationCache()
    mt.fit(model, tasks.only("places"), steps=2)
    with torch.no_grad():                                                # written to behind the cache's back
        model.column("stars").laterals[0].scale[0] = 0.5
    with pytest.raises(TaskError, match="cache in memory does not fit"):
        mt.fit(model, tasks.only("places"), steps=2)


def test_a_cast_model_does_not_read_the_numbers_of_another_precision():
    model, tasks = network()
    model.cache = ActivationCache()
    mt.fit(model, tasks.only("places"), steps=1)
    model.double()
    with pytest.raises(TaskError, match="cache in memory does not fit"):
        mt.fit(model, tasks.only("places"), steps=1)


def test_a_full_disk_is_an_error_and_leaves_a_sound_cache(tmp_path, monkeypatch):
    model, batch, expected = filled(tmp_path)
    cache, dumps, calls = ActivationCache(tmp_path), json.dumps, []
    new = batch.input_ids.flip(1), batch.attention_mask.flip(1)

    def failing(text):
        calls.append(text)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return dumps(text)
    with monkeypatch.context() as patch, pytest.raises(TaskError, match="could not be written.*No space.*in memory"):
        patch.setattr(json, "dumps", failing)
        read(model, cache, *new)
    freed = read(model, cache, *new)                                     # space was made, and the program goes on
    later = ActivationCache(tmp_path)
    for inputs, known in (((batch.input_ids, batch.attention_mask), expected), (new, freed)):
        assert all(torch.equal(a, b) for a, b in zip(read(model, later, *inputs), known))
    assert later.misses == 0
