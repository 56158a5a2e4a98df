"""VoiceBank-DEMAND: what is incomplete is named; splits, conditions and transcripts come out right."""

import shutil

import numpy as np
import pytest
import soundfile
from places import SHARED

from local.common import kaldi_dir
from local.common.audio import AudioError, resample, to_pcm16
from local.common.kaldi_dir import DataError
from local.corpora import voicebank_demand
from local.stages import dump

REAL = SHARED / "voicebank_demand_p287"


def make_tree(root, names, *, rate=48000, test=False):
    """A tree of the real layout with a short random pair per name."""
    rng = np.random.default_rng(0)
    part = "testset" if test else "trainset_28spk"
    for folder in (f"clean_{part}_wav", f"noisy_{part}_wav", f"{part}_txt", "logfiles"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    lines = []
    for i, name in enumerate(names):
        for kind in ("clean", "noisy"):
            noise = rng.integers(-3000, 3000, 4800 + 10 * i).astype(np.int16)
            soundfile.write(root / f"{kind}_{part}_wav" / f"{name}.wav", noise, rate)
        (root / f"{part}_txt" / f"{name}.txt").write_text("Please call Stella.\n")
        lines.append(f"{name} bus {17.5:e}" if test else f"{name} cafeteria 10")
    (root / "logfiles" / f"log_{part}.txt").write_text("\n".join(lines) + "\n")
    return root


TRAIN = ["p226_001", "p226_003", "p227_001", "p228_007", "p286_002", "p287_001"]


@pytest.fixture
def tree(tmp_path):
    # A site's folder may well bear the word that tells noisy files from clean ones.
    root = make_tree(tmp_path / "noisy_speech", TRAIN)
    return make_tree(root, ["p232_001", "p257_005"], test=True)


def ids(utterances):
    return [u.id for u in utterances]


def test_train_dev_and_test(tree):
    train = voicebank_demand.utterances(tree, "train")
    dev = voicebank_demand.utterances(tree, "dev", nj=2)
    test = voicebank_demand.utterances(tree, "test")
    assert ids(train) == ["p227_001", "p228_007", "p286_002"]
    assert ids(dev) == ["p226_001", "p226_003", "p287_001"]
    assert ids(test) == ["p232_001", "p257_005"]
    assert test[0].category == "bus_17.5dB"
    assert test[0].details == {"noise": "bus", "snr": "17.5"}
    assert train[0].category == "cafeteria_10dB"
    assert train[0].texts == ("PLEASE CALL STELLA",)
    assert train[0].wav == str(tree / "noisy_trainset_28spk_wav" / "p227_001.wav")
    assert train[0].references == (str(tree / "clean_trainset_28spk_wav" / "p227_001.wav"),)
    assert train[0].samples == 4820


def test_other_speakers_can_be_kept_for_development(tree):
    dev = voicebank_demand.utterances(tree, "dev", dev_speakers=("p286", "p287"))
    assert ids(dev) == ["p286_002", "p287_001"]
    with pytest.raises(DataError, match="no speaker p299 to develop on"):
        voicebank_demand.utterances(tree, "train", dev_speakers=("p299",))


def test_clean_speech_can_be_the_input(tree):
    quiet = voicebank_demand.utterances(tree, "test", input="clean")
    assert all(u.wav == u.references[0] and u.category == "clean" for u in quiet)


def test_what_a_macintosh_left_is_passed_over(tree):
    (tree / "noisy_trainset_28spk_wav" / "._p227_001.wav").write_bytes(b"rubbish")
    (tree / "__MACOSX").mkdir()
    assert len(voicebank_demand.utterances(tree, "train")) == 3


@pytest.mark.parametrize(
    ("victim", "message"),
    [
        ("clean_trainset_28spk_wav/p226_003.wav", r"clean_trainset_28spk_wav lacks 1 utterances of p226 \(p226_003\)"),
        ("noisy_trainset_28spk_wav/p227_001.wav", r"noisy_trainset_28spk_wav lacks 1 utterances of p227 \(p227_001\)"),
        ("trainset_28spk_txt/p228_007.txt", r"trainset_28spk_txt lacks 1 utterances of p228 \(p228_007\)"),
        ("logfiles/log_trainset_28spk.txt", r"log_trainset_28spk\.txt is missing"),
        ("noisy_trainset_28spk_wav", r"noisy_trainset_28spk_wav is missing: unpack"),
    ],
)
def test_what_is_missing_is_named(tree, victim, message):
    path = tree / victim
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(DataError, match=message):
        voicebank_demand.utterances(tree, "train")


def test_faults_of_single_files_are_named(tree):
    short = tree / "noisy_trainset_28spk_wav" / "p227_001.wav"
    samples, _ = soundfile.read(short, dtype="int16")
    soundfile.write(short, samples[:-1], 48000)
    with pytest.raises(DataError, match=r"p227_001\.wav has 4819 samples .* has 4820: the pair is not aligned"):
        voicebank_demand.utterances(tree, "train")
    soundfile.write(short, samples, 16000)
    with pytest.raises(AudioError, match=r"p227_001\.wav: sampled at 16000 Hz where 48000"):
        voicebank_demand.utterances(tree, "train")
    soundfile.write(short, samples, 48000)
    (tree / "trainset_28spk_txt" / "p286_002.txt").write_text(" ...\n")
    with pytest.raises(DataError, match=r"p286_002\.txt: the transcript of p286_002 is empty"):
        voicebank_demand.utterances(tree, "train")
    (tree / "noisy_trainset_28spk_wav" / "speech.wav").write_bytes(b"")
    with pytest.raises(DataError, match=r"speech\.wav is not named like an utterance"):
        voicebank_demand.utterances(tree, "train")


def test_a_broken_log_line_and_an_unknown_part_are_named(tree):
    log = tree / "logfiles" / "log_testset.txt"
    for line, message in (
        ("p257_005 bus", "'p257_005 bus' is not 'utterance noise snr'"),
        ("p257_005 bus loud", "'loud' is not an SNR in dB"),
        ("p257_005 bus nan", "'nan' is not an SNR in dB"),
    ):
        log.write_text(f"p232_001 bus 17.5\n{line}\n")
        with pytest.raises(DataError, match=rf"log_testset\.txt, line 2: {message}"):
            voicebank_demand.utterances(tree, "test")
    with pytest.raises(DataError, match="no part 'tests'"):
        voicebank_demand.utterances(tree, "tests")


def test_the_synthetic_corpus_reads_like_the_real_one(tiny_corpus):
    root = tiny_corpus / "voicebank_demand"
    hard = voicebank_demand.utterances(root, "test_hard", nj=2)
    seen = voicebank_demand.utterances(root, "test_seen", nj=2)
    assert ids(hard) == ids(seen) == ids(voicebank_demand.utterances(root, "test"))
    assert {u.details["snr"] for u in hard} <= {"0", "-5"}
    assert len(voicebank_demand.utterances(root, "train")) == 24
    assert {u.speaker for u in voicebank_demand.utterances(root, "dev")} == {"p226", "p287"}


@pytest.mark.skipif(not REAL.is_dir(), reason="the real samples are not here")
def test_real_pairs_keep_their_content_and_alignment(tmp_path):
    import kaldiio

    names = [f"p287_00{i}" for i in (1, 2, 3)]
    root = make_tree(tmp_path / "corpus", names)
    sources = {}
    for name in names:
        for kind in ("clean", "noisy"):
            signal, rate = soundfile.read(REAL / kind / f"{name}.wav", dtype="float32")
            sources[name, kind] = signal
            upsampled = to_pcm16(resample(signal, rate, 48000))
            soundfile.write(root / f"{kind}_trainset_28spk_wav" / f"{name}.wav", upsampled, 48000)
    found = voicebank_demand.utterances(root, "dev", dev_speakers=("p287",))
    written = kaldi_dir.write(tmp_path / "dump", dump.dump(found, tmp_path / "dump" / "archives", nj=1))
    assert ids(written) == names
    for u in written:
        signals = {"noisy": kaldiio.load_mat(u.wav)[1], "clean": kaldiio.load_mat(u.references[0])[1]}
        for kind, signal in signals.items():
            source = sources[u.id, kind]
            assert len(signal) == len(source)
            assert np.corrcoef(signal, source)[0, 1] > 0.999
            lags = np.correlate(signal[8000:16000], source[8010:15990], mode="valid")
            assert int(np.argmax(lags)) == 10


def test_two_conditions_of_one_utterance_are_named(tree):
    log = tree / "logfiles" / "log_testset.txt"
    log.write_text(log.read_text() + "p232_001 cafe 2.5\n")
    with pytest.raises(DataError, match=r"log_testset\.txt, line 3: 'p232_001' comes twice, with different conditions"):
        voicebank_demand.utterances(tree, "test")
