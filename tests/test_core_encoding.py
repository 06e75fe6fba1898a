"""Tokenising rows: labels stay on the words they belong to, long texts are cut or refused, batches mix tasks."""

import pytest
import torch
from small_models import ARCHITECTURES, backbone, rows, task_set, tokenizer

import mtl_teach as mt
from mtl_teach.backbones import ready
from mtl_teach.batching import Batch, MixedBatches, collate, encode
from mtl_teach.encoding import IGNORE, first_pieces
from mtl_teach.tasks import Task, TaskData, TaskError, TaskSet

MOOD = Task("mood", "classify", ("bad", "good"))
PLACES = Task("places", "tag", ("B-PLACE", "I-PLACE", "O"))
WHERE = Task("where", "span", pair=True)


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_pairs_get_a_separator(style):
    tok = ready(tokenizer(style))
    ids = tok("the bakery", "the tea")["input_ids"]
    middle = ids[ids.index(tok("bakery", add_special_tokens=False)["input_ids"][0]) + 1]
    assert middle in tok.all_special_ids


def test_a_word_is_labelled_at_its_first_piece():
    words, pieces = [(0, 3), (4, 10)], [(0, 0), (0, 3), (3, 7), (7, 10), (0, 0)]           # "the" and "bak" "ery"
    assert first_pieces(words, pieces) == [1, 2]
    assert first_pieces([(0, 3), (4, 10), (11, 12)], pieces) == [1, 2, -1]                 # the last word was cut off


def test_tags_stand_on_their_words_and_come_back():
    row = {"text": "the bakery, very warm.", "tokens": ["the", "bakery", ",", "very", "warm", "."],
           "label": ["O", "B-PLACE", "O", "O", "O", "O"]}
    tok = ready(tokenizer("bert"))
    one, = encode(PLACES, [row], tok)
    labelled = {tok.convert_ids_to_tokens(i): label for i, label in zip(one.ids, one.label) if label != IGNORE}
    assert labelled["bakery"] == 0 and labelled["very"] == 2 and len(labelled) == 6
    assert one.label[0] == IGNORE                                                          # [CLS] carries no label


def test_a_token_that_is_not_in_the_text_is_refused():
    with pytest.raises(TaskError, match="'soup' does not stand in the text"):
        encode(PLACES, [{"text": "the tea", "tokens": ["the", "soup"], "label": ["O", "O"]}], ready(tokenizer("gpt2")))


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_a_span_covers_what_it_names(style):
    text = "the bakery sold very warm bread today"
    start = text.index("very")
    row = {"text": "what ?", "text_b": text, "label": [start, start + len("very warm")]}
    tok = ready(tokenizer(style))
    one, = encode(WHERE, [row], tok)
    assert tok.convert_ids_to_tokens(one.ids[one.label[0]:one.label[1] + 1]) == ["very", "warm"]


def test_long_texts_are_cut_with_a_count_but_a_lost_answer_is_refused():
    tok = ready(tokenizer("gpt2"))
    long, short = "the tea was good " * 20, "the tea"
    with pytest.warns(UserWarning, match=r"'mood': 2 of 3 texts are longer than the 32 tokens"):
        encoded = encode(MOOD, [{"text": t, "label": "good"} for t in (long, short, long)], tok)
    assert [len(row.ids) for row in encoded] == [32, 2, 32]
    with pytest.warns(UserWarning), pytest.raises(TaskError, match="row 0: the answer .* is cut off"):
        encode(WHERE, [{"text": "what ?", "text_b": long + "Mara", "label": [len(long), len(long) + 4]}], tok)
    with pytest.raises(TaskError, match="the model reads 32"):
        encode(Task("reply", "generate"), [{"text": "tea", "label": long}], tok)


def test_an_empty_text_is_one_token_and_trains():
    tasks = TaskSet(mood=TaskData(MOOD, [{"text": "", "label": "bad"}, {"text": "tea", "label": "good"}] * 4))
    model = mt.HardSharing(backbone("gpt2"), tasks)
    assert [len(row.ids) for row in encode(MOOD, tasks["mood"].train[:2], model.backbone.tokenizer)] == [1, 1]
    mt.fit(model, tasks, steps=3, batch_size=1)
    assert len(model.predict("mood", [{"text": ""}])) == 1
    assert encode(PLACES, [{"tokens": [], "label": []}], model.backbone.tokenizer)[0].spots == []


def test_an_unknown_label_names_the_nearest():
    with pytest.raises(TaskError, match="unknown label 'goood'.* Did you mean 'good'"):
        encode(MOOD, [{"text": "tea", "label": "goood"}], ready(tokenizer("gpt2")))


@pytest.mark.parametrize("side", ["right", "left"])
def test_one_text_with_labels_of_several_tasks_is_one_row(side):
    tok = ready(tokenizer("gpt2"))
    stars = Task("stars", "regress")
    a, = encode(MOOD, [{"text": "the tea was good", "label": "good"}], tok)
    b, = encode(stars, [{"text": "the tea was good", "label": 5}], tok)
    c, = encode(MOOD, [{"text": "awful", "label": "bad"}], tok)
    batch = collate([("mood", a), ("stars", b), ("mood", c)], {"mood": MOOD, "stars": stars}, tok.pad_token_id, side)
    assert len(batch) == 2 and batch.rows["mood"].tolist() == [0, 1] and batch.rows["stars"].tolist() == [0]
    assert batch.labels["mood"].tolist() == [1, 0] and batch.labels["stars"].tolist() == [5.0]
    assert batch.counts == {"mood": 2.0, "stars": 1.0}
    assert batch.attention_mask[1].tolist() == ([0, 0, 0, 1] if side == "left" else [1, 0, 0, 0])


@pytest.mark.parametrize("side", ["right", "left"])
def test_token_labels_move_with_the_padding(side):
    tok = ready(tokenizer("gpt2"))
    items = [("places", row) for row in encode(PLACES, [
        {"tokens": ["the", "bakery", "was", "cold"], "label": ["O", "B-PLACE", "O", "O"]},
        {"tokens": ["bakery"], "label": ["B-PLACE"]}], tok)]
    batch = collate(items, {"places": PLACES}, tok.pad_token_id, side)
    bakery = tok.convert_tokens_to_ids("bakery")
    assert (batch.labels["places"] == 0).equal(batch.input_ids == bakery)
    assert batch.counts["places"] == 5


def stream(tasks, count, **options):
    batches = MixedBatches(tasks, ready(tokenizer("gpt2")), **options)
    return batches, [next(batches) for _ in range(count)]


def same(a: Batch, b: Batch) -> bool:
    return (torch.equal(a.input_ids, b.input_ids) and a.tasks == b.tasks and a.counts == b.counts
            and all(torch.equal(a.labels[t], b.labels[t]) for t in a.tasks))


@pytest.mark.parametrize("sampler", ["proportional", "uniform", "temperature", "joint"])
def test_the_stream_is_repeatable_and_resumable(sampler):
    tasks = task_set(40)
    _, expected = stream(tasks, 12, batch_size=8, sampler=sampler, seed=3)
    halfway, _ = stream(tasks, 5, batch_size=8, sampler=sampler, seed=3)
    resumed = MixedBatches(tasks, ready(tokenizer("gpt2")), batch_size=8, sampler=sampler, seed=3)
    resumed.load_state_dict(halfway.state_dict())
    assert all(same(next(resumed), batch) for batch in expected[5:])
    _, other = stream(tasks, 12, batch_size=8, sampler=sampler, seed=4)
    assert not all(same(a, b) for a, b in zip(expected, other))


def test_every_row_is_seen_once_before_any_is_seen_twice():
    texts = [t for t, _ in rows(200, seed=5)]
    texts = list(dict.fromkeys(texts))[:40]
    tasks = TaskSet(mood=TaskData(MOOD, [{"text": t, "label": "good"} for t in texts]))
    _, batches = stream(tasks, 5, batch_size=8)
    seen = [tuple(ids[mask.bool()].tolist()) for b in batches for ids, mask in zip(b.input_ids, b.attention_mask)]
    assert len(seen) == len(set(seen)) == 40


def test_samplers_draw_in_their_proportions():
    tasks = TaskSet(a=TaskData(Task("a", "classify", ("bad", "good")), [{"text": "tea", "label": "bad"}] * 900),
                    b=TaskData(Task("b", "classify", ("bad", "good")), [{"text": "soup", "label": "bad"}] * 100))
    share = {}
    for sampler in ("proportional", "uniform", "temperature"):
        _, batches = stream(tasks, 100, batch_size=20, sampler=sampler, temperature=2.0)
        share[sampler] = sum(b.counts.get("b", 0) for b in batches) / 2000
    assert share["proportional"] == pytest.approx(0.1, abs=0.03)
    assert share["uniform"] == pytest.approx(0.5, abs=0.05)
    assert share["temperature"] == pytest.approx(0.25, abs=0.04)                # sqrt(100) / (sqrt(900) + sqrt(100))


def test_joint_sampling_brings_all_labels_of_a_text():
    texts = list(dict.fromkeys(t for t, _ in rows(80)))
    tasks = TaskSet(mood=TaskData(MOOD, [{"text": t, "label": "good"} for t in texts]),
                    stars=TaskData(Task("stars", "regress"), [{"text": t, "label": 1.0} for t in texts]))
    _, (batch,) = stream(tasks, 1, batch_size=8, sampler="joint")
    assert len(batch) == 8 and batch.counts == {"mood": 8.0, "stars": 8.0}


def test_buckets_cut_padding_and_keep_the_mix():
    generator = torch.Generator().manual_seed(0)
    lengths = torch.empty(2000).log_normal_(2.0, 0.6, generator=generator).clamp(1, 30).int().tolist()
    data = [{"text": " ".join(["tea", "bread", "warm"][i % 3] for i in range(n)), "label": "bad"} for n in lengths]
    tasks = TaskSet(a=TaskData(Task("a", "classify", ("bad", "good")), data[:1000]),
                    b=TaskData(Task("b", "classify", ("bad", "good")), data[1000:]))
    waste = {}
    for bucket in (True, False):
        _, batches = stream(tasks, 40, batch_size=16, bucket=bucket)
        waste[bucket] = 1 - sum(b.attention_mask.sum() for b in batches) / sum(b.attention_mask.numel() for b in batches)
        shares = [b.counts.get("a", 0) / 16 for b in batches]
        assert 0.4 < sum(shares) / len(shares) < 0.6
        assert not bucket or min(shares) > 0.2
    assert waste[True] < 0.15 < 0.35 < waste[False]


def test_a_small_task_never_fills_a_bucket_with_copies():
    tasks = task_set(12, kinds=("classify",))
    tasks = TaskSet(tasks | {"big": TaskData(Task("big", "classify", ("bad", "good")),
                                            [{"text": t, "label": "bad"} for t, _ in rows(400, 9)])})
    _, batches = stream(tasks, 20, batch_size=16, sampler="uniform")
    for batch in batches:
        _, copies = batch.input_ids[batch.rows["mood"]].unique(dim=0, return_counts=True)
        assert copies.max() <= 4


def test_processes_share_one_batch():
    tasks = task_set(30)
    _, whole = stream(tasks, 4, batch_size=8)
    parts = [stream(tasks, 4, batch_size=8, rank=rank, world=2)[1] for rank in (0, 1)]
    for batch, left, right in zip(whole, *parts):
        for task in batch.tasks:
            counts = {b.counts[task] for b in (left, right) if task in b.counts}
            assert counts == {batch.counts[task] / 2}                         # each divides by half of the whole batch
            assert sum(len(b.labels[task]) for b in (left, right) if task in b.labels) == len(batch.labels[task])


def test_bad_samplers_are_refused():
    with pytest.raises(TaskError, match="unknown sampler 'uniformly'.*'uniform'"):
        stream(task_set(), 1, sampler="uniformly")
    with pytest.raises(TaskError, match="no training rows in \\['mood'\\]"):
        stream(TaskSet(mood=TaskData(MOOD)), 1)
    with pytest.raises(TaskError, match="batch_size=1"):
        stream(task_set(), 1, batch_size=1, world=2)


def test_a_batch_of_one_task_keeps_its_rows():
    _, (batch,) = stream(task_set(), 1, batch_size=16)
    alone = batch.only("mood")
    assert torch.equal(alone.input_ids, batch.input_ids[batch.rows["mood"]]) and alone.tasks == ["mood"]
    assert backbone("gpt2").max_length == 32
