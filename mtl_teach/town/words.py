"""The words of Tiny Town: plain tables, made to be read."""

from __future__ import annotations

SHE = "Mara Rose Olive Nadia Greta Ines Karla Mina Pia Selma Vera Wanda".split()
HE = "Ivo Basil Tomas Felix Hugo Jonas Leo Nils Otto Ruben Theo Emil".split()
PEOPLE = tuple(name for pair in zip(SHE, HE) for name in pair)

SHOPS = ("Blue Kettle", "Golden Crust", "Paper Boat", "Rusty Spoke", "Rose Garden", "Salty Dog", "Copper Pot",
         "Corner Clock", "Green Door", "Old Lantern", "Honey Jar", "Silver Needle",
         "bakery", "harbour café", "bookshop", "repair shop", "flower shop", "market hall")

FOOD = {                                             # what a customer's taste goes by
    "sweet": ("honey cake", "apple tart", "plum jam", "cinnamon roll", "vanilla pudding"),
    "salty": ("cheese pie", "smoked fish", "pretzel", "olive bread", "ham roll"),
    "sour": ("lemon tart", "cherry soup", "pickled herring", "rhubarb pie", "berry juice"),
    "spicy": ("pepper stew", "ginger biscuit", "onion curry", "chili bean", "mustard egg"),
    "bitter": ("black coffee", "dark chocolate", "herb tea", "walnut bread", "orange peel"),
}
THINGS = ("sea atlas", "crime novel", "story book", "garden guide", "wall clock", "oil lantern", "tea kettle",
          "straw hat", "wool scarf", "rain coat", "bicycle bell", "red tulip", "paper kite", "toy boat", "music box")
PRODUCTS = tuple(name for kind in FOOD.values() for name in kind) + THINGS
TASTE = {name: kind for kind, names in FOOD.items() for name in names}

ASPECTS = {                                          # topic -> what a clause can be about
    "goods": PRODUCTS,
    "staff": ("baker", "waiter", "cook", "clerk", "gardener", "mechanic", "owner", "apprentice"),
    "price": ("price", "bill", "fee", "discount", "deposit", "offer"),
    "place": ("terrace", "dining room", "window seat", "counter", "garden", "hall", "staircase", "bench"),
    "delivery": ("parcel", "package", "delivery", "basket", "crate", "letter"),
}
TOPICS = tuple(ASPECTS)
TOPIC_OF = {aspect: topic for topic, aspects in ASPECTS.items() for aspect in aspects}

# Adjectives by the aspect they suit: (negative, positive). "any" suits everything; "strong" takes no "very".
ADJECTIVES = {
    "any": ("bad poor disappointing unpleasant dreary shabby".split(),
            "good nice pleasing lovely charming delightful".split()),
    "strong": ("awful terrible dreadful horrible dismal ghastly".split(),
               "wonderful excellent superb perfect splendid marvellous".split()),
    "food": ("stale burnt bland cold greasy".split(), "fresh tasty crisp warm creamy".split()),
    "thing": ("flimsy useless ugly dull".split(), "sturdy handy beautiful clever".split()),
    "staff": ("rude lazy grumpy careless sloppy".split(), "kind friendly polite gentle helpful".split()),
    "price": ("steep unfair outrageous shocking".split(), "fair modest honest generous".split()),
    "place": ("dirty noisy dusty gloomy cramped".split(), "clean cosy bright tidy quiet".split()),
    "delivery": ("late slow soggy dented".split(), "quick prompt punctual intact".split()),
}
POLARITY = {word: sign for bad, good in ADJECTIVES.values() for sign, words in ((-1, bad), (1, good)) for word in words}

# How an adjective is used, by strength in stars: (plain forms, negated forms). "{}" is the adjective.
GRADES = {
    0.5: (("rather {}", "quite {}"), ("not very {}",)),
    1.0: (("{}",), ("not {}",)),
    2.0: (("very {}", "really {}", "truly {}"), ("not {} at all",)),
}
STRONG_GRADES = ("{}", "simply {}")       # for the "strong" adjectives, two stars

# Verbs of opinion by strength: {strength: ((negative, positive) as they are, (negative, positive) after a negation)}.
VERBS = {
    0.5: ((("rather disliked", "rather regretted"), ("rather liked", "quite enjoyed")),
          (("did not really dislike", "did not really regret"), ("did not really like", "did not really enjoy"))),
    1.0: ((("disliked", "regretted"), ("liked", "enjoyed")),
          (("did not dislike", "did not regret"), ("did not like", "did not enjoy"))),
    2.0: ((("hated", "detested"), ("loved", "adored")),
          (("never disliked", "never regretted"), ("never liked", "never enjoyed"))),
}
STRENGTHS = tuple(GRADES)

BOUGHT = ("bought", "ordered", "chose", "fetched")
CAME = ("came to", "stopped at", "went to", "looked into")

# (the word before, the time itself)
TIMES = (("on", "Monday"), ("on", "Tuesday"), ("on", "Wednesday"), ("on", "Thursday"), ("on", "Friday"),
         ("on", "Saturday"), ("on", "Sunday"), ("", "this morning"), ("", "this afternoon"), ("", "last night"),
         ("", "yesterday"), ("", "last week"), ("at", "noon"), ("at", "dawn"))

# How each speaker opens or closes a message.
OPENERS = {
    "child": ("Mum ,", "Daddy ,", "Guess what ,", "Hey ,"),
    "sailor": ("Ahoy ,", "Aye ,", "Avast ,", "Heave ho ,"),
    "professor": ("Indeed ,", "Strictly speaking ,", "As expected ,", "To be precise ,"),
    "granny": ("My dear ,", "Goodness ,", "Oh my ,", "In my day ,"),
}
CLOSERS = {
    "child": (", honest", ", I swear"),
    "sailor": (", mate", ", matey"),
    "professor": (", I conclude", ", I submit"),
    "granny": (", dear", ", sweetheart"),
}
SPEAKERS = tuple(OPENERS)

# What the writer wants. Praise and complaints may ask to be passed on, in the same words.
PASS_ON = ("tell the others", "pass it on", "write it down", "let it be known")
REQUESTS = {
    "ask": ("tell me when you close", "say who made it", "tell me more", "let me know why"),
    "order": ("send two more", "bring me three", "put one aside", "wrap six of them"),
    "book": ("keep a table for two", "save me a seat", "reserve a room", "hold places for ten"),
    "praise": PASS_ON,
    "complain": PASS_ON,
}
INTENTS = ("ask", "book", "complain", "order", "praise")

# How soon; "normal" is urgency without a word about it.
HASTE = {
    "high": ("at once", "right now", "quickly", "without delay"),
    "low": ("some day", "at leisure", "when you can", "next year"),
    "normal": ("",),
}
URGENCIES = ("low", "normal", "high")
SENTIMENTS = ("negative", "positive")
