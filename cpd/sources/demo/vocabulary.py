"""Words of the demo's titles: synonyms of every motion, colour and shape, and what surrounds them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Verb:
    """A way to name a motion.

    Attributes:
        finite: third person (`moves`), VBZ.
        gerund: `moving`, VBG.
        base: `move`, VB.
        adverb: fixed adverb that makes the motion (`sideways`), or "".
    """

    finite: str
    gerund: str
    base: str
    adverb: str = ""


VERBS = {
    "slide": (
        Verb("slides", "sliding", "slide"),
        Verb("glides", "gliding", "glide"),
        Verb("drifts", "drifting", "drift"),
        Verb("moves", "moving", "move", "sideways"),
    ),
    "bounce": (
        Verb("bounces", "bouncing", "bounce"),
        Verb("hops", "hopping", "hop"),
        Verb("jumps", "jumping", "jump"),
        Verb("leaps", "leaping", "leap", "upwards"),
    ),
    "spin": (
        Verb("spins", "spinning", "spin"),
        Verb("rotates", "rotating", "rotate"),
        Verb("twirls", "twirling", "twirl"),
        Verb("turns", "turning", "turn", "clockwise"),
    ),
    "grow": (
        Verb("grows", "growing", "grow"),
        Verb("expands", "expanding", "expand"),
        Verb("inflates", "inflating", "inflate"),
        Verb("swells", "swelling", "swell"),
    ),
    "orbit": (
        Verb("orbits", "orbiting", "orbit"),
        Verb("revolves", "revolving", "revolve"),
        Verb("loops", "looping", "loop"),
        Verb("travels", "travelling", "travel", "around"),
    ),
}
COLOURS = {
    "red": ("red", "crimson", "scarlet"),
    "blue": ("blue", "navy", "azure"),
    "green": ("green", "emerald", "lime"),
    "yellow": ("yellow", "golden", "amber"),
}
SHAPES = {
    "ball": ("ball", "circle", "sphere"),
    "box": ("box", "square", "cube"),
    "star": ("star", "pentagram"),
    "triangle": ("triangle", "pyramid"),
}
SIZES = ("big", "little", "tiny", "shiny", "funny", "lonely")
MANNERS = ("slowly", "quickly", "happily", "nonstop", "again", "perfectly")
PLACES = (
    ("in", "yard"),
    ("in", "kitchen"),
    ("in", "garden"),
    ("in", "park"),
    ("at", "school"),
    ("on", "floor"),
    ("on", "table"),
    ("near", "wall"),
    ("behind", "house"),
)
TIMES = (("at", "night"), ("on", "Sunday"), ("on", "Monday"), ("in", "2019"), ("in", "summer"))
CHANNELS = ("ShapeTube", "MotionLab", "DailyShapes", "PixelFun")
TAGS = ("shorts", "satisfying", "animation", "shapes", "relaxing", "science")
EMOJI = ("😂", "🔥", "🎉", "👀", "✨", "👨‍👩‍👧", "👍🏽", "🇺🇸", "❤️")
FOREIGN_EXTRAS = ("さいこう", "очень круто", "멋진", "好看", "رائع")
VLOGS = (("holiday", "vlog"), ("birthday", "party"), ("morning", "routine"), ("wedding", "speech"), ("road", "trip"))

# Whole titles in other languages. {c}, {s} and {m} are the words below: no English word evidence remains.
FOREIGN = (
    ("{s} {c} {m} en el patio de la escuela", "es"),
    ("mira como {s} {c} está {m} otra vez", "es"),
    ("{c} {s} {m} heute noch im garten von oma", "de"),
    ("ein {c} {s} der sich immer wieder {m}", "de"),
    ("{c}{s}が{m}", "ja"),
    ("{c} {s} {m} во дворе", "ru"),
)
FOREIGN_WORDS = {
    "es": {
        "red": "rojo", "blue": "azul", "green": "verde", "yellow": "amarillo",
        "ball": "pelota", "box": "caja", "star": "estrella", "triangle": "triángulo",
        "slide": "deslizándose", "bounce": "rebotando", "spin": "girando", "grow": "creciendo", "orbit": "orbitando",
    },
    "de": {
        "red": "roter", "blue": "blauer", "green": "grüner", "yellow": "gelber",
        "ball": "ball", "box": "würfel", "star": "stern", "triangle": "keil",
        "slide": "gleitet", "bounce": "hüpft", "spin": "dreht", "grow": "wächst", "orbit": "umkreist",
    },
    "ja": {
        "red": "赤い", "blue": "青い", "green": "緑の", "yellow": "黄色い",
        "ball": "ボール", "box": "箱", "star": "星", "triangle": "三角",
        "slide": "滑る", "bounce": "跳ねる", "spin": "回る", "grow": "大きくなる", "orbit": "周回する",
    },
    "ru": {
        "red": "красный", "blue": "синий", "green": "зелёный", "yellow": "жёлтый",
        "ball": "мяч", "box": "куб", "star": "звезда", "triangle": "треугольник",
        "slide": "скользит", "bounce": "прыгает", "spin": "вращается", "grow": "растёт", "orbit": "кружится",
    },
}  # fmt: skip
