"""Numbers and words of a roster as people write them -> as the product keeps them. No clock, no database."""

import re
import unicodedata

import phonenumbers

DAMAGED = re.compile(r"\d(\.\d+)?[eE]\+\d+")  # 1.38E+10: what a spreadsheet makes of a long number
LETTERS = re.compile(r"[A-Za-z\u4e00-\u9fff]")
MOBILE = {phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE}

RELATIONS = {
    "mother": "mother mum mom mama 母亲 母 妈妈 妈",
    "father": "father dad papa 父亲 父 爸爸 爸",
    "grandmother": "grandmother grandma 奶奶 外婆 姥姥 祖母 外祖母",
    "grandfather": "grandfather grandpa 爷爷 外公 姥爷 祖父 外祖父",
}
DIGITS = {sign: value for value, sign in enumerate("零一二三四五六七八九十")}


class BadPhone(ValueError):
    """Not a telephone number; the text says why and what to write."""


def plain(text: str) -> str:
    """A number as text: no full-width signs, no spreadsheet's wrapping (`="138..."`, `'138...`, `138....0`)."""
    text = unicodedata.normalize("NFKC", text).strip()
    wrapped = re.fullmatch(r'="(.*)"', text)
    text = (wrapped.group(1) if wrapped else text).removeprefix("'").strip()
    return text[:-2] if re.fullmatch(r"\d+\.0", text) else text


def e164(text: str, *, region: str) -> str:
    """A telephone number in any usual spelling -> +8613812345678; `region` is where the school is. Raises BadPhone."""
    number = plain(text)
    if DAMAGED.fullmatch(number):
        raise BadPhone("a spreadsheet has cut this number; format the column as text and type the number again")
    if LETTERS.search(number) or re.search(r"[,;/|\n]", number):
        raise BadPhone("one number in a cell, without words; a second guardian has columns of their own")
    if number.startswith("00"):
        number = "+" + number[2:]
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        raise BadPhone("this is not a telephone number") from None
    if not phonenumbers.is_valid_number(parsed):
        raise BadPhone("there is no such telephone number: a digit is missing, or one is too many or wrong")
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def takes_texts(phone: str) -> bool:
    """Whether an E.164 number can be a mobile; a landline is a contact, but no text arrives there."""
    return phonenumbers.number_type(phonenumbers.parse(phone)) in MOBILE


def relation(words: str) -> str:
    """What a guardian is to a pupil, from the usual words; any other word is `other`."""
    word = words.strip().lower()
    return next((name for name, known in RELATIONS.items() if word in known.split()), "other")


def same_name(text: str) -> str:
    """A key that is equal for spellings of one name: spaces, brackets and capitals do not count."""
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text)).casefold()


def grade(words: str) -> int | None:
    """The school year in the words of a class or grade, 1 to 12: 八（2）班, 高一, 802班, Year 8, 8B; else None."""
    text = same_name(words)
    if re.fullmatch(r"\(?(\d{1,2}|[一二三四五六七八九十]{1,2})\)?班", text):
        return None  # the second class, of whatever grade
    stage = re.match(r"(小学?|初中?|高中?)?([一二三四五六七八九十]{1,2})", text)
    if stage:
        found = sum(DIGITS[sign] for sign in stage.group(2)) + {"初": 6, "高": 9}.get((stage.group(1) or " ")[0], 0)
    else:
        number = re.match(r"(?:grade|year|class|g|y)?(\d{1,4})", text)
        found = int(number.group(1)) if number else 0
        found = found // 100 if found > 100 else found
    return found if 1 <= found <= 12 else None
