"""NTAG 424 DNA: what the card wrote verifies, all else is refused, and every question gets an answer in JSON."""

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from server import cli
from server.cards import lrp, sun
from tests.vectors import vectors

VECTORS = {vector["id"]: vector for vector in vectors("ntag424-vectors.json")}
GENUINE = [vector for vector in VECTORS.values() if "cmac" in vector and "error" not in vector["expect"]]


def ask(question: object, *, stdin: bool = False) -> Result:
    """`gatebell sun`."""
    text = question if isinstance(question, str) else json.dumps(question)
    result = CliRunner().invoke(cli.build(), ["sun", "-" if stdin else text], input=text if stdin else None)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def told(question: object) -> dict[str, Any]:
    """Its answer."""
    answer: dict[str, Any] = json.loads(ask(question).stdout)
    return answer


def without(vector: dict[str, Any], *names: str, **changed: object) -> dict[str, Any]:
    return {name: value for name, value in vector.items() if name not in {"expect", *names}} | changed


@pytest.mark.parametrize("name", VECTORS)
def test_every_vector_gives_what_it_must(name: str) -> None:
    expected = VECTORS[name]["expect"]
    result = ask(without(VECTORS[name]))
    answer = json.loads(result.stdout)
    assert {key: answer.get(key) for key in expected} == expected
    assert result.exit_code == (1 if "error" in expected else 0)
    assert ("error" in answer) == ("error" in expected)


def test_the_question_comes_by_standard_input_too() -> None:
    assert json.loads(ask(without(VECTORS["lrp-1"]), stdin=True).stdout)["uid"] == "049B112A2F7080"


def test_a_uid_and_counter_in_plain_are_verified_by_their_mac() -> None:
    plain = {"mode": "AES", "file_key": "00" * 16, "uid": "041E3C8A2D6B80", "ctr_hex": "000006"}
    assert told(plain | {"cmac": "4B00064004B0B3D3"})["ctr"] == 6
    assert told(plain | {"cmac": "AB00064004B0B3AB"}) == {"error": "mac"}
    assert told(plain | {"cmac": "4B00064004B0B3D3", "ctr_hex": "000007"}) == {"error": "mac"}


def test_the_encrypted_file_is_covered_by_the_mac_as_the_application_note_has_it() -> None:
    question = {
        "mode": "AES", "meta_key": "00" * 16, "file_key": "00" * 16,
        "picc_data": "FD91EC264309878BE6345CBE53BADF40",
        "enc": "CEE9A53E3E463EF1F459635736738962", "cmac": "ECC1E7F6C6C73BF6",
    }  # fmt: skip
    answer = told(question)
    assert (answer["uid"], answer["ctr"]) == ("04958CAA5C5E80", 8)
    assert bytes.fromhex(answer["file_plain"]) == b"x" * 16
    assert answer["kses_enc"] == "42132D669442AD43E072C8C0C9828A72"
    assert answer["file_iv"] == "0AD3EB2717A58332CBC8899BBECBD411"
    assert told(question | {"cmac": "3CC1E7F6C6C33B33"}) == {"error": "mac"}
    assert told(question | {"enc": "CEE9A53E3E463EF1F459635736738963"}) == {"error": "mac"}


@pytest.mark.parametrize("vector", GENUINE, ids=lambda vector: vector["id"])
def test_one_changed_bit_anywhere_is_refused(vector: dict[str, Any]) -> None:
    for name in {"picc_data", "enc", "cmac", "file_key", "meta_key"} & vector.keys():
        octets = bytes.fromhex(vector[name])
        for place in range(0, len(octets) * 8, 7):
            changed = bytearray(octets)
            changed[place // 8] ^= 1 << place % 8
            question = without(vector) | {name: changed.hex()}
            with pytest.raises(sun.WrongMac):
                sun.answer(question)


@pytest.mark.parametrize(("last", "error"), [(60, None), (61, "replay"), (62, "replay"), (0, None), (None, None)])
def test_a_counter_must_be_above_the_last_one(last: int | None, error: str | None) -> None:
    assert told(without(VECTORS["sun-picc-mac"], last_ctr=last)).get("error") == error


def test_a_replay_with_a_wrong_mac_is_called_by_its_mac() -> None:
    assert told(without(VECTORS["neg-replay"], cmac="00" * 8)) == {"error": "mac"}


def test_a_card_that_answers_another_number_than_it_was_asked_is_not_authenticated() -> None:
    assert told(without(VECTORS["auth-ev2-first"], rnd_a="00" * 16)) == {"error": "mac"}


AES = without(VECTORS["sun-picc-mac"])


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "no object"),
        ("{}", "mode is None; there are: AES, LRP, kdf, EV2First"),
        (AES | {"mode": "DES"}, "there are: AES"),
        (AES | {"mode": ["AES"]}, "there are: AES"),
        (without(AES, "cmac"), "cmac is missing"),
        (without(AES, "file_key"), "file_key is missing"),
        (without(AES, "meta_key"), "meta_key is missing"),
        (without(AES, "picc_data"), "uid is missing"),
        (AES | {"picc_data": None}, "picc_data is missing"),
        (AES | {"picc_data": "EF96"}, "picc_data has 2 bytes, it must have 16"),
        (AES | {"mode": "LRP"}, "picc_data has 16 bytes, it must have 24"),
        (AES | {"cmac": "94EED9EE6533708"}, "cmac is not pairs of hexadecimal digits"),
        (AES | {"cmac": "٩٤"}, "cmac is not pairs of hexadecimal digits"),
        (AES | {"cmac": 94}, "cmac is missing"),
        (AES | {"cmac": ""}, "cmac has 0 bytes"),
        (AES | {"file_key": "00" * 15}, "file_key has 15 bytes"),
        (AES | {"enc": "00" * 15}, "enc has 15 bytes"),
        (AES | {"enc": "00" * 272}, "at most 256"),
        (AES | {"enc": []}, "enc is missing"),
        (AES | {"enc": "00" * 16, "mac_input_suffix": 1}, "mac_input_suffix"),
        (AES | {"enc": "00" * 16, "mac_input_suffix": "é"}, "mac_input_suffix"),
        (AES | {"last_ctr": "61"}, "last_ctr"),
        (AES | {"last_ctr": True}, "last_ctr"),
        (AES | {"last_ctr": -1}, "last_ctr"),
    ],
)  # fmt: skip
def test_a_question_that_cannot_be_answered_gets_a_sentence(question: object, says: str) -> None:
    result = ask(question)
    assert result.exit_code == 1 and says in json.loads(result.stdout)["error"]


def test_bytes_that_are_no_text_get_a_sentence_too() -> None:
    result = CliRunner().invoke(cli.build(), ["sun", "-"], input=b"\xff\xfe\x00\x81")
    assert result.exit_code == 1 and "not JSON" in json.loads(result.stdout)["error"]


# Worked examples of NXP AN12304: section 3.3 (LRICB) and those of CMAC_LRP; `80 00 ...` is the padding.
LRICB = [
    ("E0C4935FF0C254CD2CEF8FDDC32460CF", "C3315DBF", "012D7F1653CAF6503C6AB0C1010E8CB0" + "80" + "00" * 15,
     "FCBBACAA4F29182464F99DE41085266F480E863E487BAAF687B43ED1ECE0D623"),
    ("EFA5B7429CD153BF0086DEF900C0F235", "9036FFFF", "E7F61E012F4F3255312BA68B1D2FDABF",
     "EA6E09AC2FB97E102D8CA64C1CBC0C0C"),
    ("15CDECFC507C777B31CA4D6562D809F2", "5B29FFFF", "AA8EC68E0519914D8F00CFD8EA226B7E",
     "C8FBD3842E69C8E2EBCA96CE28AB02F0"),
]  # fmt: skip
MACS = [
    ("8195088CE6C393708EBBE6C7914ECB0B", "BBD5B85772C7", "AD8595E0B49C5C0DB18E77355F5AAFF6"),
    ("7860B864632C6C8BC9A4C06D49D7E2AE", "DC7F", "59D3D3A4307A3BBD8E8E5F4B8E75510D"),
    # two blocks: KSesAuthMaster of an LRP authentication (AN12343, page 49), its key being updated key 0 of 16 zeros
    ("00" * 16, "0001008074D7897AB6DD9C0E855319CD4618C9D2AED2B412DE0D2B1117E69669", "132D7E6F35BA861F39B37221214E25A5"),
]
UPDATED = ["163D14ED24ED935373568EC521E96CF4", "1C519C000208B95A39A65DB058327188", "FE30AB50467E61783BFE6B5E0560160E"]


@pytest.mark.parametrize(("key", "counter", "plain", "cipher"), LRICB)
def test_lrp_encrypts_and_decrypts_as_its_specification_shows(key: str, counter: str, plain: str, cipher: str) -> None:
    primitive, start = lrp.Lrp(bytes.fromhex(key), 0), bytes.fromhex(counter)
    assert primitive.encrypted(bytes.fromhex(plain), counter=start) == bytes.fromhex(cipher)
    assert primitive.decrypted(bytes.fromhex(cipher), counter=start) == bytes.fromhex(plain)


@pytest.mark.parametrize(("key", "message", "mac"), MACS)
def test_lrp_authenticates_as_its_specification_shows(key: str, message: str, mac: str) -> None:
    assert lrp.Lrp(bytes.fromhex(key), 0).cmac(bytes.fromhex(message)) == bytes.fromhex(mac)


def test_lrp_updates_a_key_as_its_specification_shows() -> None:
    key = bytes.fromhex("567826B8DA8E768432A9548DBE4AA3A0")
    assert [lrp.updated_key(key, number).hex().upper() for number in range(3)] == UPDATED


def test_a_counter_of_ones_goes_on_with_zeros() -> None:
    primitive, block = lrp.Lrp(bytes(16), 0), bytes(16)
    twice = primitive.encrypted(block + block, counter=b"\xff\xff")
    assert twice[16:] == primitive.encrypted(block, counter=b"\x00\x00")
