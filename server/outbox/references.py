"""A provider's own number for a text, in the spellings in which the same number comes back. Pure.

What SMS centres write into a receipt is often not what they answered: upper case for lower, zeros in front, and
hexadecimal for decimal (SMPP 3.3 answers hexadecimal and reports decimal; many 3.4 centres kept the habit).
"""

import string

LONGEST_NUMBER = 20  # digits of a 64-bit number in decimal; what is longer is no number in another base
SHORTEST_NUMBER = 4  # a short one in another base is too likely to be some other text's


def key(reference: str) -> str:
    """The spelling under which a reference is kept: lower case, no zeros in front, no spaces around."""
    plain = reference.strip().lower()
    return plain.lstrip("0") or plain[-1:]


def others(reference: str) -> tuple[str, ...]:
    """Keys of the same number read as decimal and as hexadecimal, without its own; nothing where it is no number."""
    own = key(reference)
    if not SHORTEST_NUMBER <= len(own) <= LONGEST_NUMBER or not set(own) <= set(string.hexdigits):
        return ()
    found = [str(int(own, 16))]
    if own.isdecimal():
        found.append(f"{int(own):x}")
    return tuple(each for each in found if each != own)
