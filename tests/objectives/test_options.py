import pytest
import torch

from espnet_plugins.objectives import SSL_CRITERIA as CRITERIA
from espnet_plugins.objectives import SSLMSE, SSLMSEPad, SSLSoftDTW
from espnet_plugins.ssl import save_upstream


@pytest.fixture
def upstream(make_upstream):
    return {"model": "local", "checkpoint": str(make_upstream())}


def test_defaults_are_the_papers():
    base = {"upstream": {"pretrained": False}}
    padded, aligned = SSLMSEPad(**base), SSLSoftDTW(**base)
    assert (padded.padding.fraction, padded.padding.place) == ((0.02, 0.05), "both")
    assert aligned.factors == (0.80, 0.85, 0.90, 0.95, 1.0, 1.05, 1.10, 1.15, 1.20)
    assert (aligned.gamma, aligned.divergence, aligned.normalize_frames) == (0.1, True, True)
    assert aligned.bandwidth is None
    assert aligned.padding is None
    assert aligned.perturb.__name__ == "speed"
    for criterion in (SSLMSE(**base), padded, aligned):
        assert (criterion.layers, criterion.temporal, criterion.upstream.name) == ((12,), None, "hubert_base")
    regularized = SSLMSE(**base, temporal={}).temporal
    assert (regularized.weight, regularized.margin, regularized.sigma) == (0.4, 1.1, 0)


def test_names_and_espnets_properties(upstream):
    for name, cls in CRITERIA.items():
        criterion = cls(upstream=upstream)
        assert criterion.name == name
        assert not criterion.only_for_test
        assert not criterion.is_noise_loss
        assert not criterion.is_dereverb_loss
    assert SSLMSE(upstream=upstream, name="other", only_for_test=True).only_for_test
    assert SSLMSE(upstream=upstream, name="other").name == "other"


WRONG = [
    ("ssl_mse", {"layr": 3}, r"unknown key layr; accepted keys are layer, name, normalize_frames"),
    ("ssl_mse", {"gamma": 0.1}, r"unknown key gamma"),
    ("ssl_mse", {"reference_cache": 2}, r"reference_cache: 2 must be a mapping with keys memory"),
    (
        "ssl_mse",
        {"reference_cache": {"memory": "2GiB"}},
        r"reference_cache: memory: '2GiB' is not accepted; give bytes",
    ),
    (
        "ssl_mse_pad",
        {"reference_cache": {"memory": 9}},
        r"reference_cache: the zeros around a reference are drawn anew",
    ),
    ("ssl_soft_dtw", {"reference_cache": {"memory": 9}, "padding": {}}, r"reference_cache: with `padding`, the zeros"),
    ("ssl_soft_dtw", {"gama": 0.1}, r"unknown key gama; accepted keys are .*gamma.*layer.*upstream"),
    ("ssl_soft_dtw", {"gamma": 0}, r"gamma: 0 is not accepted; give a number above 0"),
    ("ssl_soft_dtw", {"gamma": -0.1}, r"gamma: -0.1 is not accepted; give a number above 0"),
    ("ssl_soft_dtw", {"gamma": "0.1"}, r"gamma: '0.1' is not accepted"),
    ("ssl_soft_dtw", {"gamma": float("nan")}, r"gamma: nan"),
    ("ssl_soft_dtw", {"gamma": {"from": 1, "too": 0.1}}, r"gamma: unknown key too; .* from, to, updates"),
    ("ssl_soft_dtw", {"gamma": {"from": 1, "updates": 9}}, r"gamma.to: None is not accepted; give a number above 0"),
    ("ssl_soft_dtw", {"gamma": {"from": 0, "to": 0.1, "updates": 9}}, r"gamma.from: 0 is not accepted"),
    ("ssl_soft_dtw", {"gamma": {"from": 1, "to": 0.1}}, r"gamma.updates: None is not accepted; give a number from 1"),
    ("ssl_soft_dtw", {"gamma": {"from": 1, "to": 0.1, "updates": 0}}, r"gamma.updates: 0 is not accepted"),
    ("ssl_soft_dtw", {"gamma": {"from": 1, "to": 0.1, "updates": 1.5}}, r"gamma.updates: 1.5 .* a whole number from 1"),
    ("ssl_soft_dtw", {"padding": 0.05}, r"padding: 0.05 must be a mapping with keys fraction, place"),
    ("ssl_soft_dtw", {"padding": {"fractions": 1}}, r"padding: unknown key fractions; .* fraction, place"),
    ("ssl_soft_dtw", {"padding": {"fraction": 0.1}}, r"padding: fraction: 0.1 is not accepted; give \[low, high\]"),
    ("ssl_soft_dtw", {"padding": {"place": "left"}}, r"padding: place: 'left' .*'before', 'after', 'both'"),
    ("ssl_soft_dtw", {"factors": []}, r"factors: \[\] is not accepted; give a list"),
    ("ssl_soft_dtw", {"factors": [0.9, 9]}, r"factors: 9 is not accepted; give a number from 0.25 to 4"),
    ("ssl_soft_dtw", {"factors": {"low": 0.9, "hi": 1.1}}, r"factors: unknown key hi; .* high, low"),
    ("ssl_soft_dtw", {"factors": {"low": 1.1, "high": 0.9}}, r"factors.high: 0.9"),
    ("ssl_soft_dtw", {"perturbation": "pitch"}, r"perturbation: 'pitch' .*'speed', 'tempo'"),
    ("ssl_soft_dtw", {"divergence": 1}, r"divergence: 1 is not accepted; give one of True, False"),
    ("ssl_soft_dtw", {"bandwidth": -1}, r"bandwidth: -1 is not accepted; give a number from 0"),
    ("ssl_soft_dtw", {"bandwidth": 0}, r"bandwidth: 0 holds no alignment.*factors \[1.0\]"),
    ("ssl_soft_dtw", {"backend": "gpu"}, r"backend: 'gpu' .*'triton'"),
    ("ssl_mse_pad", {"fraction": 0.1}, r"fraction: 0.1 is not accepted; give \[low, high\]"),
    ("ssl_mse_pad", {"fraction": [0.5, 0.1]}, r"fraction: 0.1 is not accepted; give a number from 0.5 to 1"),
    ("ssl_mse_pad", {"place": "left"}, r"place: 'left' .*'before', 'after', 'both'"),
    ("ssl_mse", {"layer": 4}, r"layer: .*4 is out of range, accepted are 0..3"),
    ("ssl_mse", {"layer": "all"}, r"layer: 'all' is not accepted; give one whole number or a list of them"),
    ("ssl_mse", {"layer": 1.0}, r"layer: 1.0 is not accepted; give one whole number"),
    ("ssl_soft_dtw", {"layer": [1, 4]}, r"layer: .*4 is out of range, accepted are 0..3"),
    ("ssl_soft_dtw", {"layer": [1, "2"]}, r"layer: .*'2' is out of range"),
    ("ssl_soft_dtw", {"layer": []}, r"layer: .*empty"),
    ("ssl_soft_dtw", {"layer": [3, -1]}, r"layer: \[3, -1\] holds a layer twice; give each once"),
    ("ssl_mse", {"normalize_frames": "yes"}, r"normalize_frames: 'yes'"),
    ("ssl_mse", {"temporal": {"alpha": 1}}, r"temporal: unknown key alpha; accepted keys are margin, sigma, weight"),
    ("ssl_mse", {"temporal": {"margin": -1}}, r"temporal.margin: -1"),
    ("ssl_mse", {"temporal": 0.4}, r"temporal: 0.4 must be a mapping"),
    ("ssl_mse", {"sample_rate": 8000}, r"upstream: .*takes 16000 Hz, but sample_rate is 8000"),
]


@pytest.mark.parametrize(("name", "wrong", "message"), WRONG)
def test_wrong_options_name_the_key_and_what_is_accepted(name, wrong, message, upstream):
    with pytest.raises(ValueError, match=f"^{name}: " + message):
        CRITERIA[name](upstream=upstream, **wrong)


@pytest.mark.parametrize("name", CRITERIA)
def test_wrong_upstreams(name, make_upstream, tmp_path):
    with pytest.raises(ValueError, match=r"upstream: unknown key modl; accepted keys are checkpoint, context, model"):
        CRITERIA[name](upstream={"modl": "hubert_base"})
    with pytest.raises(ValueError, match=r"model 'hubert'.*hubert_base"):
        CRITERIA[name](upstream={"model": "hubert"})
    with pytest.raises(FileNotFoundError, match=r"gone\.pt"):
        CRITERIA[name](upstream={"model": "local", "checkpoint": "gone.pt"})
    content = torch.load(make_upstream(), weights_only=True)
    narrowband = tmp_path / "narrowband.pt"
    save_upstream(narrowband, architecture=content["architecture"], state_dict=content["state_dict"], sample_rate=8000)
    with pytest.raises(ValueError, match=r"takes 8000 Hz, but sample_rate is 16000"):
        CRITERIA[name](upstream={"model": "local", "checkpoint": str(narrowband)})


def test_shapes_that_differ(upstream):
    with pytest.raises(ValueError, match=r"ssl_mse: reference \[1, 16000\] and estimate \[1, 15999\]"):
        SSLMSE(upstream=upstream)(torch.zeros(1, 16000), torch.zeros(1, 15999))
