"""Pairs of questions, some of which ask the same: a seeded set in the way of the public sets of duplicate questions.

    python questions.py --rows 20000 --seed 0 --output questions.csv

A question asks how an action is done to an object in a setting. A pair is a duplicate where all three are the same:
then it is said twice, by other templates, other words for the same thing, another order, and with slips of the
keyboard. The others share words all the same, as in real sets: the same object with another action, the opposite
action, the two objects of a conversion swapped, another device. A third of them has nothing in common. As in real
sets, what many ask is more often asked twice, so that the words alone tell something; how many of them both questions
share tells more; which words mean the same, and their order, tell the rest. `--noise` of the labels are wrong, as
people's are.
"""

from __future__ import annotations

import argparse
import csv
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

DUPLICATES = 0.37  # as in the set that Quora published
# Each action: the ways to say it, and the key of its opposite, where it has one.
ACTIONS: dict[str, tuple[Sequence[str], str | None]] = {
    "delete": (("delete", "remove", "get rid of", "erase"), "restore"),
    "restore": (("restore", "recover", "get back", "undelete"), "delete"),
    "enable": (("enable", "turn on", "activate", "switch on"), "disable"),
    "disable": (("disable", "turn off", "deactivate", "switch off"), "enable"),
    "install": (("install", "set up", "add"), "uninstall"),
    "uninstall": (("uninstall", "take off completely", "fully remove"), "install"),
    "change": (("change", "update", "modify", "edit"), None),
    "share": (("share", "send", "forward"), None),
    "hide": (("hide", "conceal", "make invisible"), "show"),
    "show": (("show", "display", "make visible"), "hide"),
    "repair": (("fix", "repair", "troubleshoot"), None),
    "speed up": (("speed up", "make faster", "improve the performance of"), "slow down"),
    "slow down": (("slow down", "throttle", "limit the speed of"), "speed up"),
    "back up": (("back up", "make a copy of", "save a backup of"), None),
    "lock": (("lock", "protect", "secure"), "unlock"),
    "unlock": (("unlock", "open up", "remove the protection from"), "lock"),
}
OBJECTS: dict[str, Sequence[str]] = {
    "account": ("account", "profile", "user account"), "password": ("password", "passcode", "login password"),
    "photos": ("photos", "pictures", "images"), "messages": ("messages", "texts", "text messages"),
    "contacts": ("contacts", "address book", "phone numbers"), "notifications": ("notifications", "alerts", "pop-ups"),
    "history": ("browsing history", "search history", "visited pages"), "screen": ("screen", "display", "monitor"),
    "keyboard": ("keyboard", "keypad", "on-screen keyboard"), "wifi": ("wifi", "wireless network", "wi-fi connection"),
    "battery": ("battery", "battery life", "charge"), "camera": ("camera", "webcam", "built-in camera"),
    "email": ("email", "mail", "inbox"), "subscription": ("subscription", "membership", "paid plan"),
    "files": ("files", "documents", "folders"), "app": ("app", "application", "program"),
    "printer": ("printer", "printing", "print queue"), "location": ("location", "gps", "position"),
    "calendar": ("calendar", "appointments", "schedule"), "video": ("video", "clip", "recording"),
}  # fmt: skip
SETTINGS: dict[str, Sequence[str]] = {
    "iphone": ("on an iphone", "on my iphone", "with ios"), "android": ("on android", "on an android phone"),
    "windows": ("on windows", "in windows 10", "on a windows pc"), "mac": ("on a mac", "on my macbook", "in macos"),
    "browser": ("in chrome", "in the browser", "in google chrome"), "work": ("at work", "on my office computer"),
    "tablet": ("on a tablet", "on my ipad"), "no": ("",),
}  # fmt: skip
FORMATS: dict[str, Sequence[str]] = {
    "pdf": ("pdf", "pdf file"), "word": ("word", "word document", "docx"), "excel": ("excel", "spreadsheet", "xlsx"),
    "jpg": ("jpg", "jpeg", "photo file"), "mp3": ("mp3", "audio file"), "text": ("plain text", "txt", "text file"),
}  # fmt: skip
DO = (
    "how do i {a} my {o} {s}", "how can i {a} my {o} {s}", "what is the best way to {a} my {o} {s}",
    "{s} how do you {a} the {o}", "is it possible to {a} my {o} {s}", "i want to {a} my {o} {s}, what should i do",
    "steps to {a} {o} {s}", "why can't i {a} my {o} {s}", "can someone tell me how to {a} the {o} {s}",
    "help: {o} {s}, how to {a}",
)  # fmt: skip
CONVERT = (
    "how do i convert {x} to {y} {s}", "how can i turn a {x} into a {y} {s}",
    "what is the easiest way to get {y} from {x} {s}", "{s} is there a way to change {x} to {y}",
    "best tool to convert from {x} to {y} {s}", "need a {y} made out of a {x} {s}",
)  # fmt: skip
# How much more often a question about it is asked twice: 0.5 to 1.6, about 1 on average.
_KEYS = [*OBJECTS, *FORMATS, *ACTIONS, "convert"]
POPULAR = {
    key: 0.5 + 1.1 * place / (len(_KEYS) - 1) for place, key in enumerate(random.Random(1).sample(_KEYS, len(_KEYS)))
}
SAME_WORD = 0.5  # how often people take the first, most usual word for a thing
ENDS = ("?", "?", "", " please?", " without losing anything?", " for free?", "??")
STARTS = ("", "", "", "", "hi, ", "quick question: ", "ok so ")


@dataclass(frozen=True)
class Meaning:
    """What a question asks. Two with the same meaning are duplicates, however they are said."""

    action: str  # of ACTIONS, or "convert"
    object: str
    setting: str
    target: str = ""  # of a conversion


def meaning(chance: random.Random) -> Meaning:
    """Any question."""
    setting = chance.choice(list(SETTINGS))
    if chance.random() < 0.15:
        source, target = chance.sample(list(FORMATS), 2)
        return Meaning("convert", source, setting, target)
    return Meaning(chance.choice(list(ACTIONS)), chance.choice(list(OBJECTS)), setting)


def other(one: Meaning, chance: random.Random) -> Meaning:
    """A question that is like another, and not the same."""
    while True:
        found = _other(one, chance)
        if found != one:
            return found


def _other(one: Meaning, chance: random.Random) -> Meaning:
    kind = chance.random()
    if kind < 0.35:
        return meaning(chance)
    if kind < 0.45:
        return replace(one, setting=chance.choice([key for key in SETTINGS if key != "no"]))
    if one.action == "convert":
        if kind < 0.7:
            return replace(one, object=one.target, target=one.object)
        return replace(one, target=chance.choice([key for key in FORMATS if key != one.object]))
    opposite = ACTIONS[one.action][1]
    if kind < 0.65 and opposite:
        return replace(one, action=opposite)
    if kind < 0.85:
        return replace(one, action=chance.choice(list(ACTIONS)))
    return replace(one, object=chance.choice(list(OBJECTS)))


def say(what: Meaning, chance: random.Random) -> str:
    """One way to ask it."""
    setting = chance.choice(SETTINGS[what.setting])
    if what.action == "convert":
        x, y = word(FORMATS[what.object], chance), word(FORMATS[what.target], chance)
        text = chance.choice(CONVERT).format(x=x, y=y, s=setting)
    else:
        action, thing = word(ACTIONS[what.action][0], chance), word(OBJECTS[what.object], chance)
        text = chance.choice(DO).format(a=action, o=thing, s=setting)
    text = " ".join((chance.choice(STARTS) + text).split()) + chance.choice(ENDS)
    if chance.random() < 0.12:
        text = slip(text, chance)
    return text[0].upper() + text[1:] if chance.random() < 0.7 else text


def word(ways: Sequence[str], chance: random.Random) -> str:
    """One of the words for a thing."""
    return ways[0] if chance.random() < SAME_WORD else chance.choice(ways)


def slip(text: str, chance: random.Random) -> str:
    """The text with two neighbouring letters swapped, or one left out."""
    place = chance.randrange(1, len(text) - 2)
    if chance.random() < 0.5:
        return text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    return text[:place] + text[place + 1 :]


def pairs(rows: int, seed: int = 0, noise: float = 0.02) -> list[tuple[str, str, int]]:
    """(first question, second question, whether they ask the same), no pair twice."""
    chance = random.Random(seed)
    found: dict[tuple[str, str], int] = {}
    while len(found) < rows:
        one = meaning(chance)
        same = chance.random() < DUPLICATES * POPULAR[one.object] * POPULAR[one.action]
        first, second = say(one, chance), say(one if same else other(one, chance), chance)
        if first != second and (first, second) not in found and (second, first) not in found:
            found[first, second] = int(same) if chance.random() >= noise else 1 - int(same)
    return [(*pair, label) for pair, label in found.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--noise", type=float, default=0.02, help="share of wrong labels")
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    with given.output.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["question1", "question2", "duplicate"])
        writer.writerows(pairs(given.rows, given.seed, given.noise))


if __name__ == "__main__":
    main()
