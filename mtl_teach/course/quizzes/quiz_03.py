"""Chapter 03: backbone, pooling, heads, and the clinic."""

from ..quiz import ask, right, wrong

QUIZ = [
    ask("You change the fifth word of a text. The hidden state of the second word changes too. What does that tell you?",
        right("The model is an encoder", "The second position has read a later word. Only without a causal mask can it."),
        wrong("The model is a decoder", "In a decoder the second position has read the first two words and nothing else; it "
                                        "could not have noticed."),
        wrong("The two words have like meanings", "What a position may read is decided by the attention mask, not by "
                                                  "meaning. Any other word would show the same.")),
    ask("Texts of a batch are padded on the right, and the backbone is a decoder. Which vector stands for the text?",
        wrong("`h[:, 0]`", "That position has read the first word alone. A head on it can only guess."),
        wrong("`h[:, -1]`", "For all texts but the longest that is padding. What stands there depends on the batch."),
        right("`h[arange(B), mask.sum(1) - 1]`", "The last real token: the first position that has read the whole text, and "
                                                 "no padding."),
        wrong("`h.mean(1)`", "The mean is a fair choice, but this one averages the padding too. Weight it by the mask.")),
    ask("A model with `h[:, -1]` scores 84 % on your test set, only a little less than the right pooling. Why mend it?",
        right("The same text may get another answer in another batch",
              "The vector depends on how many pads follow the text, and so on what else is in the batch. A test set, always "
              "batched in the same way, does not show it."),
        wrong("It needs more memory", "It picks a column as any other rule does. Memory is the same."),
        wrong("There is nothing to mend, the score counts", "The score holds for batches like those of the test. In use, texts "
                                                            "come alone or in other company, and get other answers.")),
    ask("You pad a batch for GPT-2 on the left and pass the attention mask. What is still missing?",
        wrong("Nothing, the mask is enough", "The mask keeps pads from being read. The positions are still counted from the "
                                             "first pad, so the text seems to begin in the middle of a page."),
        right("`position_ids` that count from the first real token", "GPT-2 has learned positions. With "
                                                                     "`mask.cumsum(1) - 1` the text begins at 0 again."),
        wrong("The last real token must be searched for", "With padding on the left it is the last column for every row.")),
    ask("Which heads read the hidden states of all tokens, not a pooled vector?",
        right("tag", "It labels each word, so it needs a vector for each."),
        right("span", "It scores every position as first and as last token of the answer."),
        right("generate", "It predicts the next token at every position."),
        wrong("multilabel", "It answers several yes-no questions about the whole text: one vector is enough."),
        wrong("regress", "One number per text, from one vector per text.")),
    ask("You freeze the body and train the head alone on `mood`, whose telling words are invented. It hardly beats guessing. "
        "What helps?",
        wrong("A larger learning rate for the head", "The head can only weigh what is in the vector. The body has never learned "
                                                     "to tell these words apart by their mood."),
        wrong("Many more steps", "The head is at its best already; what it needs is not in the vector."),
        right("Letting the body learn", "The embeddings of the new words must change. Frozen, they stay as they were before "
                                        "anybody used the words.")),
    ask("A training loop iterates over `zip(*loaders)`, with loaders of 2,000 and 200 rows and batches of 10. How many rows "
        "of the larger task does it see in ten rounds, if nothing is shuffled?",
        wrong("2,000", "That would take 200 steps a round. `zip` ends after 20, when the small loader is empty, and each round "
                       "begins at the top."),
        right("200, the same ones in each round", "20 steps of 10 rows, ten times over. Nine in ten rows are never read."),
        wrong("It raises an error, as the lengths differ", "`zip` stops silently. Only `zip(..., strict=True)` would "
                                                           "complain.")),
    ask("Heads sized for hidden states fail on `GPT2LMHeadModel(ids)[0]`. Why is `AutoModel` a better mend than a larger head?",
        right("The head should read what the body has understood, not its guess of the next word",
              "The logits are scores for the next token, made from the hidden state. The hidden state itself holds more for a "
              "task, in D numbers instead of V."),
        right("It spares computing V scores per token that nobody needs", "For GPT-2 that is a third of the arithmetic, and most "
                                                                          "of the memory."),
        wrong("`AutoModel` turns a decoder into an encoder", "It loads the same decoder, without its output layer. What a "
                                                             "position may read stays as it was.")),
]
