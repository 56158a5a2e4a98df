"""The page: complete, self-contained, and without a word that could be taken for markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from espnet_plugins.analysis.report.content import Content
from espnet_plugins.analysis.report.html_report import overview, render_report

VOID = {"meta", "link", "img", "br", "input", "path", "use"}


class Outline(HTMLParser):
    """Collects elements and checks that they are closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.elements, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


def test_page_is_well_formed_and_names_everything(page, scores):
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    text = " ".join(outline.text)
    assert all(system in text for system in scores)
    assert "Results of <mini> & more" in text
    assert len(outline.all("audio")) == 3
    ids = [attrs["id"] for _, attrs in outline.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = [a["href"][1:] for a in outline.all("a")]
    assert set(targets) <= set(ids)


def test_nothing_is_fetched_from_elsewhere(page):
    outline = Outline()
    outline.feed(page)
    addresses = [v for _, attrs in outline.elements for k, v in attrs.items() if k in ("src", "href", "xlink:href")]
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_every_picture_and_player_has_a_name(page):
    outline = Outline()
    outline.feed(page)
    assert all(attrs.get("alt") for attrs in outline.all("img"))
    assert all(attrs.get("aria-label") for attrs in outline.all("audio"))
    drawings = [attrs for name, attrs in outline.elements if attrs.get("role") == "img"]
    assert len(drawings) == len(outline.all("svg"))
    assert all(attrs["aria-label"] for attrs in drawings)


def test_transcripts_show_errors_and_are_text(page):
    outline = Outline()
    outline.feed(page)
    assert "&lt;b&gt;" in page
    assert '<span class="substitute"><del>two</del> <ins>four</ins></span>' in page
    assert '<span class="delete"><del>one</del></span>' in page
    assert "(nothing recognized)" in page
    assert "2 word errors" in page


def subject(scores):
    return Content(title="T", scores=scores, environment={}).subject


def test_the_answer_comes_first(page, scores):
    assert subject(scores) == "ssl_soft_dtw_joint"
    assert page.index("Does position-invariant fine-tuning beat the other fine-tuned systems?") < page.index("<table")
    words = sum(scores["noisy"][name].total("words").reference for name in ("test_seen", "test_unseen"))
    assert f"({words:,} words)" in overview(scores)


def test_subject_without_the_usual_one(scores):
    assert subject({name: scores[name] for name in ("clean", "noisy")}) is None
    assert subject({name: scores[name] for name in scores if "soft" not in name}) == "ssl_mse_joint"


def test_parts_without_content_are_left_out(scores):
    page = render_report(Content(title="T", scores=scores, environment={}))
    outline = Outline()
    outline.feed(page)
    for part in ("convergence", "cost", "listening"):
        assert f'id="{part}"' not in page
    assert outline.open == []


def test_a_rise_of_the_error_rate_is_not_praised(scores, page):
    assert "<strong>-" in page
    assert 'class="worse"' not in page.partition("</head>")[2]
    swapped = {**scores, "noisy": scores["se"], "se": scores["noisy"]}
    page = render_report(Content(title="T", scores=swapped, environment={}))
    assert '<strong class="worse">+' in page
