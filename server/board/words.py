"""What the board's templates call: why alerts are held, and what may be chosen, in a person's words."""

from flask import Blueprint
from flask_babel import gettext as _
from flask_babel import lazy_gettext

from server.absence.rules import Reason, Why
from server.board.service import Brake

WHY = {
    Why.STOPPED: lazy_gettext("All questions to families are switched off."),
    Why.GATE_SILENT: lazy_gettext("A gate was silent, so taps may be missing."),
    Why.SELF_TEST: lazy_gettext("A gate failed its self-test this morning."),
    Why.CLASS: lazy_gettext("In a class far more are missing than usual."),
    Why.GRADE: lazy_gettext("In a grade far more are missing than usual."),
    Why.SCHOOL: lazy_gettext("In the school far more are missing than usual."),
    Why.UNUSUAL_DAY: lazy_gettext("Today is a make-up day or the first after a break: is there school at all?"),
    Why.READER: lazy_gettext("A card reader that usually sees many has seen nobody: is it broken?"),
    Why.CLOCK: lazy_gettext("A gate's clock is wrong, so its taps prove no time."),
    Why.MARKS: lazy_gettext("Many of one class were marked absent at once: was it the wrong button?"),
    Why.LATE: lazy_gettext("It was noticed long after the cut-off: the server was away, or something was changed."),
    Why.BELLS: lazy_gettext("The bells ring at other times today: are they right?"),
}
REASONS = {
    Reason.ILL: lazy_gettext("Ill"),
    Reason.LATE: lazy_gettext("Will be late"),
    Reason.ON_WAY: lazy_gettext("On the way"),
    Reason.WORDS: lazy_gettext("Wrote in own words"),
    Reason.LEAVE: lazy_gettext("Leave"),
    Reason.MISTAKE: lazy_gettext("Neither: our record was wrong, or it is settled otherwise"),
}


def init(bp: Blueprint) -> None:
    """Give the templates these words."""
    bp.add_app_template_filter(why_words)
    bp.add_app_template_filter(reason_words)
    bp.add_app_template_global(brake_title)
    bp.add_app_template_global(clears_words)


def why_words(why: str) -> str:
    """One sentence why alerts are held."""
    return str(WHY[Why(why)])


def reason_words(reason: str) -> str:
    """What a family or a person gave as the reason."""
    return str(REASONS[Reason(reason)])


def brake_title(brake: Brake) -> str:
    """What happened and how many are held, in one line."""
    if not brake.held:
        return _("All questions to families are switched off")
    if brake.stopped:
        return _("Questions are switched off, %(n)s held", n=brake.held)
    if len(brake.gaps) == 1 and brake.why == (Why.GATE_SILENT,):
        [gap] = brake.gaps
        return _("%(gate)s was silent, %(n)s alerts held. Look before sending", gate=gap.gate, n=brake.held)
    return _("%(n)s alerts held. Look before sending", n=brake.held)


def clears_words(brake: Brake) -> str:
    """What lets them go by itself."""
    words = _("Whoever taps, or is seen by a teacher, leaves this list by itself.")
    return f"{words} {_('So far: %(n)s.', n=brake.cleared)}" if brake.cleared else words
