"""Any number of distinct texts, the same ones every time."""

import random

_WORDS = [
    "amber", "anchor", "barrel", "boat", "bridge", "candle", "copper", "dagger", "dolphin",
    "eagle", "engine", "feather", "forest", "garden", "glacier", "hammer", "harbour", "insect",
    "island", "jacket", "jungle", "kettle", "kitchen", "lantern", "meadow", "needle", "orchard",
    "pepper", "quarry", "river", "saddle", "tunnel", "umbrella", "valley", "window", "yellow",
    "zipper",
]  # fmt: skip


def words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choices(_WORDS, k=count))
