"""Transcripts: the rules on the oddities of VoiceBank's own prompts."""

import unicodedata

import pytest

from local.common.text import normalize


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Please call Stella.\n", "PLEASE CALL STELLA"),
        ("It's one-third of a four-year deal.", "IT'S ONE THIRD OF A FOUR YEAR DEAL"),
        ("The sky was blue.She knew.", "THE SKY WAS BLUE SHE KNEW"),
        ("Mr Smith and Mrs. Jones met Dr Who.", "MISTER SMITH AND MISSUS JONES MET DOCTOR WHO"),
        ("It\u2019s his; that\u2019s \u2018all\u2019.", "IT'S HIS THAT'S ALL"),
        ("'Fine,' she said, \"it's fine.\"", "FINE SHE SAID IT'S FINE"),
        ("Marks & Spencer gained 5%.", "MARKS AND SPENCER GAINED 5 PER CENT"),
        ("The BBC, on TV...", "THE BBC ON TV"),
        ("modernisation  \t finalised", "MODERNISATION FINALISED"),
        (" ?! ", ""),
    ],
)
def test_rules(prompt, expected):
    assert normalize(prompt) == expected


def test_a_normalized_transcript_stays_as_it_is():
    once = normalize("Mr O'Neill's long-term plan isn't 'new'.")
    assert once == "MISTER O'NEILL'S LONG TERM PLAN ISN'T NEW"
    assert normalize(once) == once


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        # Words of scripts with combining marks stay whole.
        (
            "\u0928\u092e\u0938\u094d\u0924\u0947, \u0926\u0941\u0928\u093f\u092f\u093e!",
            "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e",
        ),
        (
            "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e04\u0e23\u0e31\u0e1a",
            "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e04\u0e23\u0e31\u0e1a",
        ),
        ("\u0645\u064e\u0631\u062d\u0628\u064b\u0627\u061f", "\u0645\u064e\u0631\u062d\u0628\u064b\u0627"),
        # What is decomposed is composed first.
        ("de\u0301ja\u0300 vu", "D\u00c9J\u00c0 VU"),
        ("\u1112\u1161\u11ab\u1100\u1173\u11af", "\ud55c\uae00"),
        # Marks inside words of their scripts.
        (
            "\u043f'\u044f\u0442\u044c \u043f\u02bc\u044f\u0442\u044c",
            "\u041f'\u042f\u0422\u042c \u041f'\u042f\u0422\u042c",
        ),
        ("col\u00b7legi \u00b7 x", "COL\u00b7LEGI X"),
        ("\u05e6\u05d4\u05f4\u05dc", "\u05e6\u05d4\u05f4\u05dc"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"),
        ("\u056b\u055e\u0576\u0579", "\u053b\u0546\u0549"),
        # What cannot be seen joins nothing and parts nothing, but for the blank without width.
        ("so\u00adft \u200eword\ufeff", "SOFT WORD"),
        ("\u17a2\u200b\u1780", "\u17a2 \u1780"),
        # Pictures are no words, whatever their shape.
        ("I \u2764\ufe0f it \U0001f600", "I IT"),
        ("stra\u00dfe", "STRASSE"),
    ],
)
def test_any_script_survives(prompt, expected):
    assert normalize(prompt) == expected
    assert normalize(expected) == expected
    assert normalize(unicodedata.normalize("NFD", prompt)) == expected
