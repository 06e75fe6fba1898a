"""Training: samplers, weights, gradients."""

from ..quiz import ask, right, wrong

QUIZ = [
    ask("`topic` has 10,000 rows, `sentiment` 100. You raise the temperature of the sampler from 1 to 5. What happens?",
        right("`sentiment` is drawn far more often, and its 100 rows come round again and again",
              "p is proportional to n^(1/5): 6.3 against 2.5 instead of 10,000 against 100. What is gained in presence is paid for "
              "in repetition, and in steps that `topic` no longer gets."),
        wrong("The model's answers become softer",
              "That is the temperature of a softmax at prediction. A sampler's temperature only changes who is drawn."),
        wrong("Within a batch, each row of `sentiment` counts for more than before",
              "Rather for less: a batch still averages a task over its own rows, and now there are more of them. The rows just come "
              "more often.")),
    ask("A regression in cents outshouts two classifications. Which of these mends it? Several may.",
        right("Divide the labels by their standard deviation before training",
              "The loss is then near 1 at the start, like the others. It is the cheapest remedy and needs no method."),
        right("Train the geometric mean of the losses",
              "Its weight for a task is proportional to 1 over the task's loss, so units cancel."),
        wrong("PCGrad",
              "It takes out what conflicts, but what is left keeps its length: the long gradient still decides the direction."),
        wrong("A sampler that draws the classifications more often",
              "Each task's loss is a mean over its own rows. More rows make it less noisy, not larger.")),
    ask("Uncertainty weighting, trained to the end: a task's loss is 0.05, another's is 2. Which weights do they get?",
        right("About 10 and 0.25: one over twice the loss",
              "The best s is log 2L (log L for a regression), so each weighted loss ends near one half. The task that is nearly learned "
              "weighs more, whether you want that or not."),
        wrong("About 0.05 and 2: a task with a large loss needs more attention",
              "It is the other way round. To the method a large loss is a noisy task, to be trusted less."),
        wrong("Equal weights: the method balances", "What it makes equal is weight times loss.")),
    ask("g1 = (2, 0) and g2 = (-2, 1). What does PCGrad do that the sum does not?",
        right("Both tasks gain from it, to first order",
              "Their sum is (0, 1), which is at right angles to g1: the first task gains nothing. PCGrad's (0.4, 1.8) has a positive "
              "product with both."),
        wrong("It gives both tasks a step of the same length",
              "What is left after the projections keeps its length; nothing is made equal. Equal progress is what IMTL-G aims for."),
        wrong("It finds the direction in which the sum of the losses falls fastest",
              "That direction is the sum itself. PCGrad gives some of that speed away.")),
    ask("The cosine of two tasks' gradients is 0.9. Can a step for the first raise the second's loss?",
        right("Yes, if the step is long or the second loss bends strongly",
              "The cosine speaks of an infinitely short step. TAG takes the step and looks, which is why it may say something else."),
        wrong("No, since the cosine is positive", "True of a step that is short enough. Yours has a length."),
        wrong("Yes, since the cosine is symmetric and affinity is not",
              "Affinity is not symmetric, but that alone does not make a step harmful.")),
    ask("You compare PCGrad with equal weights. PCGrad wins by two points over five seeds. What must you still ask?",
        right("Whether equal weights were tuned as long: rate, weights and steps",
              "Kurin et al. (2022) and Xin et al. (2022) found that much of the published gain goes away when the plain sum gets the "
              "same tuning."),
        right("Whether the interval of the paired difference leaves out zero",
              "Both runs of a seed share data and first weights. Look at the difference per seed."),
        wrong("Nothing: five seeds are enough for any method",
              "Seeds tell you about chance. They say nothing about an opponent that was held back.")),
    ask("Eight tasks share a body. You log only the sum of the weighted losses, with learned weights. What can go wrong?",
        right("The sum falls while tasks get worse",
              "Weights fall too, and a learned log-variance may even make the sum negative. Log each loss before weights, and validation."),
        wrong("Nothing: what is minimised must get better",
              "It does, but what is minimised includes the weights. A weight that falls makes the sum smaller without any learning."),
        wrong("The sum is noisy, but smoothing mends that", "A running mean of the wrong number is the wrong number.")),
]
