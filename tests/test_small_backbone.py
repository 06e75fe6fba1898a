"""A backbone made for the reader's own texts."""

import pytest
import torch

import mtl_teach as mt
from mtl_teach.encoding import encode
from mtl_teach.small_backbone import ARCHITECTURES
from mtl_teach.tasks import Task, TaskData, TaskError, TaskSet

PLACES = ["the harbour", "Ivo's bakery", "THE OLD MILL", "Café Zürich"]


def tasks(rows=40):
    """A classification, a pair with a span, and tags, on the same few words; "Quokka" stands in test alone."""
    plain = [{"text": f"Mara liked {place} on day {i}.", "label": ("no", "yes")[i % 2]} for i in range(rows) for place in PLACES]
    spans = [{"text": "Where was Mara?", "text_b": f"On day {i} Mara was at {place}, I think.", "label": None}
             for i in range(rows) for place in PLACES]
    for row, place in zip(spans, PLACES * rows):
        start = row["text_b"].index(place)
        row["label"] = [start, start + len(place)]
    tags = [{"tokens": ["Mara", "sold", "bread"], "label": ["B-who", "O", "O"]}] * rows
    return TaskSet({
        "liked": TaskData(Task("liked", "classify", ("no", "yes")), plain, test=[{"text": "Quokka quokka", "label": "no"}]),
        "where": TaskData(Task("where", "span", pair=True), spans),
        "who": TaskData(Task("who", "tag", ("O", "B-who")), tags)})


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_it_trains_predicts_and_survives_saving(architecture, tmp_path):
    data = tasks()
    backbone = mt.new_backbone(data, architecture, width=16)
    assert backbone.causal == (architecture != "bert") and backbone.pooling == ("mean" if architecture == "bert" else "last")
    model = mt.HardSharing(backbone, data)
    history = mt.fit(model, data, steps=40, lr=1e-2, progress=False)
    losses = history.frame()
    assert (losses[history.tasks].tail(5).mean() < losses[history.tasks].head(5).mean()).all()
    again = mt.load_model(model.save_pretrained(tmp_path / "model"))
    for name in data:
        rows = data[name].train[:6]
        assert again.predict(name, rows) == model.predict(name, rows)


def test_spans_are_found_again_though_letters_are_lowered():
    data = tasks()
    tokenizer = mt.new_backbone(data, width=16).tokenizer
    for row, encoded in zip(data["where"].train, encode(data["where"].task, data["where"].train, tokenizer, 64)):
        first, last = encoded.label
        assert [encoded.spots[first][0], encoded.spots[last][1]] == row["label"]


def test_only_training_texts_are_read():
    pieces = mt.new_backbone(tasks(), width=16).tokenizer.get_vocab()
    assert any("mara" in piece for piece in pieces) and not any("quo" in piece for piece in pieces)


def test_capitals_are_kept_on_demand():
    pieces = mt.new_backbone(tasks(), width=16, lowercase=False).tokenizer.get_vocab()
    assert any("Mara" in piece for piece in pieces) and any("OLD" in piece for piece in pieces)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_keys_begin_as_queries_in_every_layer(architecture):
    """So a token's scores are highest, on average, with its like; asked of the weights that the layers really use."""
    backbone = mt.new_backbone(tasks(), architecture, width=16, depth=3)
    for each in (backbone, mt.load_backbone(backbone, pretrained=False, seed=7)):
        check_keys(architecture, dict(each.model.named_parameters()))


def check_keys(architecture, weights):
    if architecture == "gpt2":
        pairs = [weight.chunk(3, dim=1)[:2] for name, weight in weights.items() if name.endswith("c_attn.weight")]
    else:
        query, key = ("query", "key") if architecture == "bert" else ("q_proj", "k_proj")
        pairs = [(weight, weights[name.replace(query, key)]) for name, weight in weights.items()
                 if name.endswith(f"{query}.weight")]
    assert len(pairs) == 3 and all(torch.equal(query, key) and query.std() > 0.05 for query, key in pairs)


def test_the_second_text_of_a_pair_is_told_apart():
    """The same words in the other order of texts are another input; a single text is not touched by the types."""
    backbone = mt.new_backbone(tasks(), width=16).eval()
    types = backbone.model.embeddings.token_type_embeddings.weight
    there, alone = ["Mara liked", "the harbour"], ["Mara liked the harbour"]
    with torch.no_grad():
        pair, single = (backbone(**ids(backbone, *texts)) for texts in (there, alone))
        types[1] += 1
        shifted, same = (backbone(**ids(backbone, *texts)) for texts in (there, alone))
    assert torch.equal(single, same) and not torch.allclose(pair, shifted)


def ids(backbone, *texts):
    return dict(backbone.tokenizer(*texts, return_tensors="pt"))


def test_the_seed_decides_the_weights_and_nothing_else_does():
    torch.manual_seed(5)
    first = mt.new_backbone(tasks(), width=16, seed=1).state_dict()
    torch.manual_seed(6)
    again, other = (mt.new_backbone(tasks(), width=16, seed=seed).state_dict() for seed in (1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("options, words", [
    ({"architecture": "brt"}, "Did you mean 'bert'"),
    ({"width": 10, "heads": 4}, "divide the width"),
    ({"depth": 0}, "at least 1")])
def test_bad_sizes_are_refused(options, words):
    with pytest.raises(TaskError, match=words):
        mt.new_backbone(tasks(2), **options)


def test_tasks_without_training_texts_are_refused():
    with pytest.raises(TaskError, match="no training texts"):
        mt.new_backbone(TaskSet({"liked": TaskData(Task("liked", "classify", ("no", "yes")))}))


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_dropout_falls_in_training_and_nowhere_else(architecture):
    backbone = mt.new_backbone(tasks(), architecture, width=16, dropout=0.5)
    ids = torch.tensor([[2, 5, 6, 3]])
    backbone.train()
    assert not torch.equal(backbone(ids, ids.ne(0).long()), backbone(ids, ids.ne(0).long()))
    backbone.eval()
    assert torch.equal(backbone(ids, ids.ne(0).long()), backbone(ids, ids.ne(0).long()))


@pytest.mark.parametrize("architecture, dropout, words", [("bert", 1.0, "less than 1"), ("gpt2", -0.1, "at least 0"),
                                                          ("llama", 0.5, "no dropout")])
def test_a_dropout_that_cannot_be_is_refused(architecture, dropout, words):
    with pytest.raises(TaskError, match=words):
        mt.new_backbone(tasks(), architecture, width=16, dropout=dropout)
