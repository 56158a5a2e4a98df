"""A set's page: figures that add up, pictures that are pictures."""

import matplotlib.image
from test_kaldi_dir import utterance

from local.stages.summary import write_summary


def test_the_page_holds_hours_speakers_conditions_and_pictures(tmp_path):
    utterances = [
        utterance(
            f"p{i % 3}_{i}", f"p{i % 3}", samples=48000 * (1 + i), details={"noise": "hum", "snr": str(5 * (i % 4))}
        )
        for i in range(12)
    ]
    text = write_summary(tmp_path, utterances).read_text()
    assert (
        "12 utterances, 0.02 hours, 3 speakers; files at 48000 Hz. Durations 1.0 to 12.0 s. 24 words, 2 different."
        in text
    )
    assert "| p2 | 4 | 0.5 |" in text
    assert "| hum_5dB | 12 | 1.3 |" in text
    for name in ("durations.png", "snrs.png"):
        assert f"({name})" in text
        assert matplotlib.image.imread(tmp_path / name).shape[0] > 100


def test_long_tables_are_cut_and_clean_sets_have_no_snrs(tmp_path):
    utterances = [utterance(f"s{i}_1", f"s{i}", category="clean", details={}) for i in range(100)]
    text = write_summary(tmp_path, utterances).read_text()
    assert "| 60 more | 60 | 1.0 |" in text
    assert not (tmp_path / "snrs.png").exists()
    assert "snrs.png" not in text
