"""What a grant lets its holder see, how long a login must wait, which passwords will do: pure rules."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

# Roles that see the whole school when their grant names no class and no grade.
WHOLE_SCHOOL = frozenset({"office", "head", "counsellor", "guard"})

# Roles that may read a guardian's whole number (each reading is audited).
MAY_CALL = frozenset({"class_teacher", "grade_head", "counsellor", "office", "head"})

IDLE_SECONDS = 30 * 60
LONGEST_SECONDS = 12 * 3600
FORGOTTEN_SECONDS = 24 * 3600  # failures older than this no longer count
SHORTEST_PASSWORD = 8

COMMON_PASSWORDS = """
12345678 123456789 1234567890 87654321 11111111 00000000 88888888 66666666 password password1 passw0rd qwertyui
qwerty123 1qaz2wsx asdfghjk zxcvbnm1 iloveyou woaini1314 woaini520 5201314a a1234567 a12345678 abc12345 abcd1234
aa123456 admin123 administrator gatebell school123 teacher1 welcome1 letmein1 football sunshine
"""


@dataclass(frozen=True)
class Grant:
    """One role over one class, one grade or, with neither, the whole school."""

    role: str
    grade: int | None = None
    class_id: uuid.UUID | None = None


@dataclass(frozen=True)
class Scope:
    """Which classes a user may see; `whole` is all of the school's."""

    whole: bool = False
    grades: frozenset[int] = frozenset()
    classes: frozenset[uuid.UUID] = frozenset()


def scope(grants: Iterable[Grant]) -> Scope:
    """The sum of all grants. A class teacher's grant without a class gives nothing, not everything."""
    grants = tuple(grants)
    return Scope(
        whole=any(g.role in WHOLE_SCHOOL and g.class_id is None and g.grade is None for g in grants),
        grades=frozenset(g.grade for g in grants if g.grade is not None and g.class_id is None),
        classes=frozenset(g.class_id for g in grants if g.class_id is not None),
    )


def wait_after(failures: int, *, free: int, longest: int) -> int:
    """Seconds to wait after so many failures in a row: the first few are free, then it doubles."""
    return 0 if failures < free else min(longest, 2 ** min(failures - free + 1, 12))


def password_fault(password: str, login: str) -> str | None:
    """Why this password will not do ("short", "common", "login"), or None. No rules about kinds of characters."""
    if len(password) < SHORTEST_PASSWORD:
        return "short"
    if password.lower() in COMMON_PASSWORDS.split():
        return "common"
    return "login" if login.lower() in password.lower() and len(login) >= SHORTEST_PASSWORD - 2 else None


def local_path(target: str) -> str:
    """Where to go after the login: a path of this server, never another one."""
    plain = target.startswith("/") and not target.startswith(("//", "/\\")) and not any(c < " " for c in target)
    return target if plain else "/"
