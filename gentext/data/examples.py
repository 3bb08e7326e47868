"""Small examples of every task, written by rules: enough to try a family and a metric on, offline, and no benchmark.

Each is a function from a picker to records as a user's table would hold them, by the columns that conf/data/TASK.yaml
names. What is to be written is decided by its source, but for the texts that several people would word differently:
those records come twice, so that one reference can be held against another.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from gentext.seeding import Streams

SIZE, SIZES = 2_000, {"dialogue": 400}  # of which each is several rows
T = TypeVar("T")
Row = dict[str, Any]


class Picker:
    """Draws from lists, the same on every machine and version of Python."""

    def __init__(self, name: str) -> None:
        self._random = random.Random(Streams(0).derive(f"examples/{name}"))

    def __call__(self, options: Sequence[T]) -> T:
        return options[int(self._random.random() * len(options))]

    def several(self, options: Sequence[T], n: int) -> list[T]:
        """`n` different ones, in the order of the draw."""
        left = list(options)
        return [left.pop(int(self._random.random() * len(left))) for _ in range(n)]


def records(task: str) -> Iterator[Row]:
    """The example of a task, 2,000 records; of dialogues 400.

    >>> next(records("keywords"))["keywords"]
    ['lantern', 'thief', 'forest']
    """
    pick, made = Picker(task), 0
    while made < SIZES.get(task, SIZE):
        for row in EXAMPLES[task](pick):
            yield row
            made += 1


# Translation, English to Spanish: agreement of number and gender, adjectives after nouns, negation, contraction.
# singular, plural, in Spanish singular and plural, feminine
PEOPLE = (
    ("girl", "girls", "niña", "niñas", True), ("boy", "boys", "niño", "niños", False),
    ("woman", "women", "mujer", "mujeres", True), ("man", "men", "hombre", "hombres", False),
    ("teacher", "teachers", "maestra", "maestras", True), ("doctor", "doctors", "médico", "médicos", False),
    ("neighbour", "neighbours", "vecina", "vecinas", True), ("dog", "dogs", "perro", "perros", False),
    ("cat", "cats", "gata", "gatas", True), ("bird", "birds", "pájaro", "pájaros", False),
)  # fmt: skip
THINGS = (
    ("house", "houses", "casa", "casas", True), ("book", "books", "libro", "libros", False),
    ("car", "cars", "coche", "coches", False), ("table", "tables", "mesa", "mesas", True),
    ("boat", "boats", "barco", "barcos", False), ("apple", "apples", "manzana", "manzanas", True),
    ("letter", "letters", "carta", "cartas", True), ("hat", "hats", "sombrero", "sombreros", False),
    ("bicycle", "bicycles", "bicicleta", "bicicletas", True), ("clock", "clocks", "reloj", "relojes", False),
)  # fmt: skip
PLACES = (
    ("river", "", "río", "", False), ("school", "", "escuela", "", True), ("market", "", "mercado", "", False),
    ("church", "", "iglesia", "", True), ("park", "", "parque", "", False), ("station", "", "estación", "", True),
)  # fmt: skip
ADJECTIVES = (
    ("red", "rojo", "roja"), ("white", "blanco", "blanca"), ("old", "viejo", "vieja"), ("small", "pequeño", "pequeña"),
    ("new", "nuevo", "nueva"), ("pretty", "bonito", "bonita"), ("black", "negro", "negra"), ("tall", "alto", "alta"),
)  # fmt: skip
VERBS = (
    ("see", "sees", "ve", "ven"), ("buy", "buys", "compra", "compran"), ("sell", "sells", "vende", "venden"),
    ("find", "finds", "encuentra", "encuentran"), ("want", "wants", "quiere", "quieren"),
    ("draw", "draws", "dibuja", "dibujan"), ("carry", "carries", "lleva", "llevan"),
)  # fmt: skip
ARTICLES = {  # (singular, plural) in English; Spanish by number and gender
    "the": (("the", "the"), {(0, 0): "el", (0, 1): "la", (1, 0): "los", (1, 1): "las"}),
    "a": (("a", "some"), {(0, 0): "un", (0, 1): "una", (1, 0): "unos", (1, 1): "unas"}),
    "this": (("this", "these"), {(0, 0): "este", (0, 1): "esta", (1, 0): "estos", (1, 1): "estas"}),
}


def _noun_phrase(pick: Picker, nouns: Sequence[tuple], articles: Sequence[str], plural: int) -> tuple[str, str]:
    one, many, uno, muchos, feminine = pick(nouns)
    (english, spanish), adjective = ARTICLES[pick(articles)], pick((None, None, *ADJECTIVES))
    phrase = [english[plural], many if plural else one]
    written = [spanish[plural, int(feminine)], muchos if plural else uno]
    if adjective:
        phrase.insert(1, adjective[0])
        written.append(adjective[1 + feminine] + "s" * plural)
    if phrase[0] == "a" and phrase[1][0] in "aeiou":
        phrase[0] = "an"
    return " ".join(phrase), " ".join(written)


def _translation(pick: Picker) -> Iterator[Row]:
    plural = pick((0, 1))
    subject, sujeto = _noun_phrase(pick, PEOPLE, ("the", "this", "a"), plural)
    thing, objeto = _noun_phrase(pick, THINGS, ("the", "this", "a"), pick((0, 1)))
    base, third, singular, plural_verb = pick(VERBS)
    verb, verbo = (base if plural else third), (plural_verb if plural else singular)
    if pick((False, False, True)):
        verb, verbo = f"{'do' if plural else 'does'} not {base}", f"no {verbo}"
    source, target = f"{subject} {verb} {thing}", f"{sujeto} {verbo} {objeto}"
    if pick((False, True)):
        place, lugar = _noun_phrase(pick, PLACES, ("the",), 0)
        near, cerca = pick((("in", "en"), ("near", "cerca de"), ("behind", "detrás de")))
        source, target = f"{source} {near} {place}", f"{target} {cerca} {lugar}".replace(" de el ", " del ")
    when, cuando = pick((("", ""), ("", ""), ("today ", "hoy "), ("every day ", "cada día "), ("now ", "ahora ")))
    yield {"source": _capital(f"{when}{source}."), "target": _capital(f"{cuando}{target}.")}


# Summarisation: the first sentence tells the event, where and how many come later, and some sentences tell nothing.
TOWNS = ("Lund", "Porto", "Graz", "Leeds", "Turin", "Ghent", "Split", "Bergen", "Lyon", "Tartu", "Kosice", "Malaga")
NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve", "twenty", "thirty")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
EVENTS = (  # what happened, to what, how many of whom, the summary; the first and the last in two wordings
    (
        ("A fire broke out in a {place} on {day}.", "The alarm was raised on {day} when a {place} began to burn."),
        ("bakery", "library", "warehouse", "hotel", "cinema"),
        "{number} people were taken to hospital.",
        ("Fire in a {town} {place}: {number} people hurt.", "{number} people are hurt by a {place} fire in {town}."),
    ),
    (
        ("The city council voted on {day} to close the {place}.", "On {day} the council decided to shut the {place}."),
        ("airport", "harbour", "stadium", "tram line", "swimming pool"),
        "{number} members voted against it.",
        ("{town} closes its {place} against {number} votes.", "Against {number} votes, {town} will close its {place}."),
    ),
    (
        ("A new {place} was opened on {day}.", "On {day} the mayor opened a new {place}."),
        ("museum", "hospital", "bridge", "university", "theatre"),
        "It took {number} years to build.",
        ("{town} opens a new {place} after {number} years.", "After {number} years {town} has a new {place}."),
    ),
    (
        ("A storm destroyed a {place} on {day}.", "A {place} did not survive the storm of {day}."),
        ("lighthouse", "church", "bus station", "greenhouse", "circus tent"),
        "{number} families had to leave their homes.",
        ("Storm destroys {town} {place}, {number} families homeless.",
         "A storm breaks a {place} in {town}; {number} families have no home."),
    ),
)  # fmt: skip
WHERE = ("It happened in {town}.", "The news comes from {town}.", "People in {town} talk of nothing else.")
FILLERS = (
    "Nobody had expected it.", "The weather was mild.", "The police would not comment.", "Neighbours came to look.",
    "Photographs soon appeared online.", "A spokesman read a short statement.", "Traffic stood still for an hour.",
)  # fmt: skip


def _summarisation(pick: Picker) -> Iterator[Row]:
    openings, places, count, summaries = pick(EVENTS)
    facts = {"place": pick(places), "day": pick(DAYS), "town": pick(TOWNS), "number": pick(NUMBERS)}
    rest = [pick(WHERE), count, *pick.several(FILLERS, 3)]
    sentences = [pick(openings), *pick.several(rest, len(rest))]
    document = " ".join(_capital(sentence.format(**facts)) for sentence in sentences)
    for summary in summaries:
        yield {"document": document, "summary": _capital(summary.format(**facts))}


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


# Question answering: five facts about two people, two questions.
NAMES = ("Anna", "Hugo", "Mira", "Paul", "Sara", "Tom", "Irma", "Karl", "Nora", "Leo", "Eva", "Jan")
FACTS = (  # the statement, the question, the answers
    ("{name} lives in {x}.", "Where does {name} live?", TOWNS),
    ("{name} works in a {x}.", "Where does {name} work?", ("bank", "bakery", "school", "garage", "museum", "mill")),
    ("{name} has a {x}.", "Which animal does {name} have?", ("cat", "dog", "parrot", "horse", "rabbit", "goldfish")),
    ("{name} plays {x}.", "What does {name} play?", ("the piano", "the violin", "chess", "tennis", "football")),
    ("{name} likes {x} most.", "What does {name} like most?", ("apples", "cheese", "soup", "bread", "rice", "honey")),
)


def _question_answering(pick: Picker) -> Iterator[Row]:
    known = []
    for name in pick.several(NAMES, 2):
        for fact, question, answers in FACTS:
            answer = pick(answers)
            known.append((fact.format(name=name, x=answer), question.format(name=name), answer))
    facts = pick.several(known, 5)
    context = " ".join(fact for fact, _, _ in facts)
    for _, question, answer in pick.several(facts, 2):
        yield {"context": context, "question": question, "answer": answer}


# Dialogue: somebody books or buys something; the last reply sums up what was said.
SEATS = ("two", "three", "four", "five", "six")
GUESTS = tuple(f"{name} {family}" for name in NAMES for family in ("Berg", "Costa", "Novak", "Lind"))
HOURS = ("noon", "one", "six", "seven", "eight", "nine")


def _dialogue(pick: Picker) -> Iterator[Row]:
    name, day, hour = pick(GUESTS), pick(DAYS), pick(HOURS)
    if pick((True, False)):
        what = f"a table for {pick(SEATS)}"
        turns = [
            pick(("Hello, I would like {what}.", "Good morning! Do you have {what}?", "Could I book {what}, please?")),
            pick(("Of course. For which day?", "Gladly. Which day would suit you?")),
            pick((f"On {day}.", f"For {day}, please.")),
            f"At what time on {day}?",
            pick((f"At {hour}.", f"{_capital(hour)} would be good.")),
            "And your name, please?",
            pick((f"{name}.", f"My name is {name}.")),
            f"Thank you, {name}: {what} on {day} at {hour}.",
        ]
    else:
        what = f"{pick(('a ticket', 'two tickets', 'three tickets'))} to {pick(TOWNS)}"
        turns = [
            pick(("I need {what}.", "Good evening, {what}, please.", "Could you sell me {what}?")),
            pick(("When do you travel?", "For which day?")),
            pick((f"On {day}.", f"{day}, please.")),
            f"The train of {hour} on {day} still has seats.",
            pick(("That one is fine.", "I take it.")),
            f"Here you are: {what}, {day}, {hour}.",
        ]
    yield {"turns": [turn.format(what=what) for turn in turns]}


# Completion: a sentence whose second half follows from its first.
SHE = ("Anna", "Mira", "Sara", "Irma", "Nora", "Eva")
ERRANDS = (  # where to and why, what, what came between, how it ended
    ("to the market to buy {x}", ("bread", "fish", "plums", "eggs"), "the stall was closed", "came home without {x}"),
    ("to the station to meet {x}", ("a friend", "an aunt", "a cousin"), "the train was late", "waited long for {x}"),
    ("to the river to paint {x}", ("a bridge", "a boat", "a swan"), "it began to rain", "never finished {x}"),
    ("to the library to find {x}", ("a novel", "an atlas", "a poem"), "somebody had it", "had to do without {x}"),
    ("to the hills to look for {x}", ("mushrooms", "a lost sheep"), "night fell early", "could not find {x}"),
)


def _completion(pick: Picker) -> Iterator[Row]:
    name, friend = pick.several(NAMES, 2)
    errand, things, trouble, end = pick(ERRANDS)
    x, when = pick(things), pick(("On Sunday", "One morning", "Last week", "In spring", "Yesterday"))
    went = f"{when} {name} went {pick(('', f'with {friend} '))}{errand.format(x=x)}"
    yield {"text": f"{went}, but {trouble}, so {'she' if name in SHE else 'he'} {end.format(x=x)}."}


# Poetry: quatrains of five characters a line; the first line gives the season, and the second and the last line rhyme.
SEASONS = (
    ("春风", "落花", "新柳", "细雨", "燕子", "芳草"),
    ("荷花", "清溪", "翠竹", "流萤", "凉风", "碧水"),
    ("秋水", "明月", "西风", "红叶", "寒蝉", "归雁"),
    ("寒江", "飞雪", "孤灯", "老梅", "冰河", "北风"),
)
RHYMES = (
    ("满池塘", "入故乡", "带晚霜", "起苍茫", "照西窗", "近夕阳", "独彷徨", "送斜阳"),
    ("照空山", "白云间", "不知还", "满寒山", "掩柴关", "去复还", "望乡关", "水湾湾"),
    ("满高楼", "下西楼", "几度秋", "水自流", "使人愁", "月如钩", "泛轻舟", "古渡头"),
    ("一夜风", "落照中", "万里空", "夕阳红", "隔江东", "月朦胧", "听晚钟", "影无踪"),
)
OPEN = ("人不语", "山色远", "雨初歇", "天欲暮", "声渐细", "千里路", "无限意", "谁与共")


def _poetry(pick: Picker) -> Iterator[Row]:
    season, rhyme = pick(SEASONS), pick(RHYMES)
    begins, ends = pick.several(season, 4), pick.several(rhyme, 2)
    one, three = pick.several(OPEN, 2)
    yield {
        "text": "".join(
            f"{a}{b}{mark}" for a, b, mark in zip(begins, (one, ends[0], three, ends[1]), "，。，。", strict=True)
        )
    }


# A story from keywords, worded by two people.
ACTORS = ("dog", "fox", "boy", "girl", "baker", "sailor", "farmer", "queen", "painter", "thief")
SPOTS = ("forest", "harbour", "castle", "garden", "mountain", "village", "desert", "island")
FINDS = ("key", "lantern", "map", "coin", "letter", "drum", "mirror", "ring")
TALES = (
    ("A {a} went to the {b} and found a {c}. Nobody ever saw the {c} again.",
     "In the {b} lived a {a} who owned a {c}, and nothing else."),
    ("There was once a {a} who lost a {c} in the {b}. It was never found.",
     "A {c} lay in the {b} until a {a} came and took it home."),
)  # fmt: skip


def _keywords(pick: Picker) -> Iterator[Row]:
    words = {"a": pick(ACTORS), "b": pick(SPOTS), "c": pick(FINDS)}
    keywords = pick.several(list(words.values()), 3)
    for tale in pick(TALES):
        yield {"keywords": keywords, "text": tale.format(**words)}


# Code: a function of Python from what it does.
FILTERS = (
    ("even numbers", "x % 2 == 0"), ("odd numbers", "x % 2 == 1"), ("positive numbers", "x > 0"),
    ("negative numbers", "x < 0"), ("numbers above {n}", "x > {n}"), ("numbers below {n}", "x < {n}"),
    ("multiples of {n}", "x % {n} == 0"),
)  # fmt: skip
MAPS = (
    ("the {of}", "x"), ("the squares of the {of}", "x * x"), ("{m} times the {of}", "{m} * x"),
    ("the absolute values of the {of}", "abs(x)"), ("the {of} plus {m}", "x + {m}"),
)  # fmt: skip
FOLDS = (
    ("return a list of {what} in {name}", "    return [{value} for x in {name} if {test}]"),
    ("return the sum of {what} in {name}", "    return sum({value} for x in {name} if {test})"),
    ("print {what} in {name}", "    for x in {name}:\n        if {test}:\n            print({value})"),
    ("return the largest of {what} in {name}", "    return max({value} for x in {name} if {test})"),
    ("return how many {of} are in {name}", "    return sum(1 for x in {name} if {test})"),
)


def _code(pick: Picker) -> Iterator[Row]:
    numbers = {"n": pick(range(2, 10)), "m": pick(range(2, 10))}
    (of, test), (what, value), (description, body) = pick(FILTERS), pick(MAPS), pick(FOLDS)
    of = of.format(**numbers)
    parts = {"of": of, "test": test.format(**numbers), "value": value.format(**numbers)}
    parts |= {"what": what.format(of=of, **numbers), "name": pick(("values", "numbers", "items", "xs"))}
    yield {"description": description.format(**parts), "code": f"def solve({parts['name']}):\n{body.format(**parts)}"}


EXAMPLES: dict[str, Callable[[Picker], Iterator[Row]]] = {
    "translation": _translation,
    "summarisation": _summarisation,
    "question_answering": _question_answering,
    "dialogue": _dialogue,
    "completion": _completion,
    "poetry": _poetry,
    "keywords": _keywords,
    "code": _code,
}
