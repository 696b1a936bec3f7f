"""Odd uses in the words of the school: what happened, and what somebody can do about it."""

from flask_babel import lazy_gettext as _

from server.oddities.rules import Kind

TITLES = {
    Kind.TWO_GATES: _("One card at two gates"),
    Kind.IN_IN: _("Came in twice without going out"),
    Kind.AFTER_LEAVING: _("Came back after the last lesson"),
    Kind.TOGETHER: _("Two cards in one second"),
    Kind.LOST: _("A lost card was used"),
    Kind.BLOCKED: _("A blocked card was used"),
    Kind.LEFT_SCHOOL: _("Card of a pupil who has left the school"),
    Kind.PLAIN: _("A card did not prove itself"),
    Kind.REPLAY: _("An old reading of a card was shown again"),
    Kind.LATE: _("A reading came late"),
    Kind.MAC: _("A card that is not genuine"),
    Kind.MALFORMED: _("A card wrote what cannot be read"),
    Kind.UNKNOWN: _("A card that was given no keys"),
    Kind.OTHER: _("One card spoke in another's name"),
}
ADVICE = {
    Kind.TWO_GATES: _("Nobody walks that fast. Ask who has the card; there may be a copy."),
    Kind.IN_IN: _("An exit was not touched, or the card was handed back over the fence. Ask the pupil."),
    Kind.AFTER_LEAVING: _("Look who is in the building, and why."),
    Kind.TOGETHER: _("One pupil may carry the other's card. Ask the class teacher whether both were there."),
    Kind.LOST: _("Take the card, or mark it as found. It counted for nobody."),
    Kind.BLOCKED: _("Take the card. It counted for nobody."),
    Kind.LEFT_SCHOOL: _("Take the card back. It counted for nobody."),
    Kind.PLAIN: _("Its number may be copied: look at the card. If it is genuine, hold it still for longer."),
    Kind.REPLAY: _("Somebody may have copied what the card wrote. Look at the card, and give it new keys."),
    Kind.LATE: _("The gate had no network, and a later reading was here first. It was not counted: add it by hand."),
    Kind.MAC: _("Look at the card. A copy cannot write this, nor can a card whose keys were changed."),
    Kind.MALFORMED: _("Write the card again, or change it."),
    Kind.UNKNOWN: _("Give the card its keys, or take it away."),
    Kind.OTHER: _("Look at the card: it shows what was copied from another one."),
}


def title(kind: str) -> str:
    """What happened."""
    return str(TITLES[Kind(kind)])


def advice(kind: str) -> str:
    """What to do."""
    return str(ADVICE[Kind(kind)])
