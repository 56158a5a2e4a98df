"""Transcripts: the rules on the oddities of VoiceBank's own prompts."""

import pytest

from local.common.text import normalise


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
    assert normalise(prompt) == expected


def test_a_normalised_transcript_stays_as_it_is():
    once = normalise("Mr O'Neill's long-term plan isn't 'new'.")
    assert once == "MISTER O'NEILL'S LONG TERM PLAN ISN'T NEW"
    assert normalise(once) == once
