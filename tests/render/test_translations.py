"""Checks the translated files of a mail: their names, which parts a version consists of, and what is warned of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mailshot import errors
from mailshot.facts.locales import LocaleFormat
from mailshot.render import mail_versions, source
from mailshot.render.mail_versions import MailVersions
from mailshot.render.source import TemplateSource
from tests.render import material

BODY = '<!doctype html><html lang="{{{{ language }}}}"><body><p>{}</p></body></html>'
BASE = {
    "subject.txt": "Hello",
    "preheader.txt": "Read this before everybody else does",
    "body.html": BODY.format("English"),
    "body.txt": "English text",
}
Write = Callable[[dict[str, str]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Give a function that writes a mail `m` of these files, and returns the folder of templates."""

    def written(files: dict[str, str]) -> Path:
        for name, text in {**BASE, **files}.items():
            path = tmp_path / "m" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path

    return written


def compiled(files: dict[str, str], **manner: object) -> MailVersions:
    made = TemplateSource("m", {f"m/{name}": text for name, text in {**BASE, **files}.items()})
    return mail_versions.compile_versions(made, material.VOCABULARY, {"language": "en", **manner})


def rendered(versions: MailVersions, language: str) -> tuple[str, str, str]:
    """Return subject, HTML and text for a customer."""
    version = versions.choose(language)
    parts = versions.values(version, LocaleFormat(language))
    mail = version.template.render({**material.values(), **parts["html"]}, None, parts)
    return mail.subject, mail.html, mail.text


def warnings(versions: MailVersions) -> list[str]:
    return [str(finding) for finding in versions.all_findings() if finding.level == "warning" and not finding.bulk]


@pytest.mark.parametrize(
    ("name", "message", "remedy"),
    [
        ("subject.nbb.txt", "'nbb' is not a language", "Did you mean subject.nb.txt?"),
        ("subject.norsk.txt", "'norsk' is not a language", "Did you mean subject.no.txt?"),
        ("body.deutsch.html", "'deutsch' is not a language", "Did you mean body.de.html?"),
        ("body.bak.html", "'bak' is not a language", "must have another name, or lie elsewhere"),
        ("body.min.html", "'min' is not a language", "as in body.nb.html or body.pt-BR.html"),
        ("body.old.html", "'old' is not a language", "must have another name"),
        ("body.de.AT.html", "'de.AT' is not a language", "BCP 47"),
        ("preheader.pt-BRR.txt", "'pt-BRR' is not a language", "BCP 47"),
        ("subject.nb.html", "The subject is a text, not HTML", "Name it subject.nb.txt"),
        ("Subject.nb.txt", "must be named in lower case", "Name it subject.nb.txt"),
        ("body.nb.HTML", "must be named in lower case", "Name it body.nb.html"),
    ],
)
def test_a_misspelt_name_is_refused(write: Write, name: str, message: str, remedy: str) -> None:
    with pytest.raises(errors.InvalidInput, match=message) as refusal:
        source.read(write({name: "x"}), "m")
    [problem] = refusal.value.problems
    assert problem.file.endswith(f"m/{name}")
    assert remedy in problem.remedy


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_translation_is_refused(write: Write, text: str) -> None:
    with pytest.raises(errors.InvalidInput, match=r"subject\.nb\.txt is empty") as refusal:
        source.read(write({"subject.nb.txt": text}), "m")
    assert "delete the file" in refusal.value.problems[0].remedy


@pytest.mark.parametrize(
    ("one", "other"),
    [("subject.nb.txt", "subject.no.txt"), ("body.pt-BR.html", "body.pt_br.html"), ("body.de.txt", "body.DE.txt")],
)
def test_two_files_of_one_part_and_language_are_refused(write: Write, one: str, other: str) -> None:
    with pytest.raises(errors.InvalidInput, match="are the same part in the same language") as refusal:
        source.read(write({one: "x", other: "y"}), "m")
    assert one in str(refusal.value)
    assert other in str(refusal.value)


def test_all_problems_are_named_at_once(write: Write) -> None:
    with pytest.raises(errors.InvalidInput) as refusal:
        source.read(write({"subject.nbb.txt": "x", "subject.de.txt": "", "body.xx.html": "x"}), "m")
    assert len(refusal.value.problems) == 3


def test_other_files_are_left_alone_as_before(write: Write) -> None:
    folder = write({"notes.nb.md": "", "hero.de.png": "", "body.html.bak": "", ".body.nb.html.swp": "", "nb.txt": ""})
    assert set(source.read(folder, "m").files) == {f"m/{name}" for name in BASE}


def test_tags_may_be_written_in_any_case(write: Write) -> None:
    read = source.read(write({"subject.PT_br.txt": "Olá", "body.zh-hant.html": BODY.format("中文")}), "m")
    assert read.translations == {
        "pt-BR": {"subject.txt": "subject.PT_br.txt"},
        "zh-Hant": {"body.html": "body.zh-hant.html"},
    }


def test_files_for_no_and_nb_are_one_translation() -> None:
    versions = compiled({"subject.no.txt": "Hei", "body.nb.html": BODY.format("norsk")})
    assert len(versions.by_language) == 2
    subject, html, _ = rendered(versions, "no")
    assert (subject, "norsk" in html) == ("Hei", True)


def test_without_translations_the_source_is_the_one_of_before(write: Write) -> None:
    read = source.read(write({}), "m")
    [(tag, only)] = read.versions().items()
    assert (tag, only.digest) == ("", read.digest)
    assert '"language"' not in read.to_json()


def test_a_translation_does_not_depend_on_another() -> None:
    files = {"m/subject.nb.txt": "Hei", "m/subject.de.txt": "Hallo"}
    base = {f"m/{name}": text for name, text in BASE.items()}
    before = TemplateSource("m", base | files).versions()
    after = TemplateSource("m", base | files | {"m/subject.de.txt": "Guten Tag"}).versions()
    assert (before["nb"].digest, before[""].digest) == (after["nb"].digest, after[""].digest)
    assert before["de"].digest != after["de"].digest
    assert before[""].digest == TemplateSource("m", base).digest


@pytest.mark.parametrize(
    ("files", "subject", "html", "preheader", "text"),
    [
        ({"subject.nb.txt": "Hei"}, "Hei", "English", "Read this", "English text"),
        ({"body.nb.html": BODY.format("Norsk")}, "Hello", "Norsk", "", "Norsk"),
        ({"body.nb.html": BODY.format("Norsk"), "body.nb.txt": "Norsk tekst"}, "Hello", "Norsk", "", "Norsk tekst"),
        (
            {"body.nb.html": BODY.format("Norsk"), "preheader.nb.txt": "Les dette før alle de andre gjør det"},
            "Hello",
            "Norsk",
            "Les",
            "Norsk",
        ),
        ({"preheader.nb.txt": "Les dette"}, "Hello", "English", "Les dette", "English text"),
        ({"body.nb.txt": "Norsk tekst"}, "Hello", "English", "Read this", "Norsk tekst"),
    ],
)
def test_what_is_not_translated_comes_from_the_files_without_a_tag(
    files: dict[str, str], subject: str, html: str, preheader: str, text: str
) -> None:
    mail = rendered(compiled(files), "nb")
    assert mail[0] == subject
    assert f"<p>{html}</p>" in mail[1]
    assert preheader in mail[1]
    assert preheader or "display:none" not in mail[1]
    assert mail[2].strip() == text
    assert f'<html lang="{"nb" if html == "Norsk" else "en"}">' in mail[1]
    assert rendered(compiled(files), "sv") == rendered(compiled({}), "sv")


def test_each_part_knows_the_language_of_its_file() -> None:
    files = {"subject.txt": "{{ language }}", "subject.nb.txt": "{{ language }}", "body.txt": "{{ language }}"}
    versions = compiled({**files, "body.de.txt": "{{ language }}"})
    assert [" ".join(rendered(versions, tag)[0::2]).split() for tag in ("nb", "de", "en", "sv")] == [
        ["nb", "en"],
        ["en", "de"],
        ["en", "en"],
        ["en", "en"],
    ]
    assert rendered(compiled({"subject.txt": "{{ language }}"}), "sv")[0] == "en"


def test_a_translation_may_extend_the_file_without_a_tag() -> None:
    base = "<!doctype html><html lang='{{ language }}'><body>{% block body %}Hello{% endblock %}</body></html>"
    own = '{% extends "m/body.html" %}{% block body %}Hei{% endblock %}'
    versions = compiled({"body.html": base, "body.nb.html": own})
    assert "Hei</body>" in rendered(versions, "nb")[1]
    assert "Hello</body>" in rendered(versions, "en")[1]


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("body.nb.html", "<p>\n{{ customer.frist_name }}</p>", "m/body.nb.html:2:"),
        ("subject.nb.txt", "Hei {{ customer.frist_name }}", "m/subject.nb.txt:1:"),
        ("preheader.nb.txt", "{{ nothing }}", "m/preheader.nb.txt:1:"),
        ("body.nb.txt", "\n\n{% if %}", "m/body.nb.txt:3:"),
    ],
)
def test_an_error_names_its_own_file(name: str, text: str, place: str) -> None:
    with pytest.raises(errors.InvalidInput, match=place):
        compiled({name: text})


def test_all_versions_are_checked_and_each_problem_is_named_once() -> None:
    with pytest.raises(errors.InvalidInput) as refusal:
        compiled({"preheader.txt": "{{ bad }}", "subject.nb.txt": "{{ worse }}", "subject.de.txt": "{{ worst }}"})
    assert sorted(problem.file for problem in refusal.value.problems) == [
        "templates/m/preheader.txt",
        "templates/m/subject.de.txt",
        "templates/m/subject.nb.txt",
    ]


def test_each_version_is_rendered_on_trial() -> None:
    bomb = "{% for a in range(1000) %}{% for b in range(1000) %}{{ a }}{% endfor %}{% endfor %}"
    versions = compiled({"body.nb.txt": f"{{% if language == 'nb' %}}{bomb}{{% endif %}}"})
    costly = [finding for finding in versions.all_findings() if finding.costly]
    assert [finding.place.file for finding in costly] == ["m/body.nb.txt"]


def test_what_fails_for_one_customer_names_the_translated_file() -> None:
    versions = compiled({"subject.nb.txt": "{{ customer.first_name * 1 }}" + "x" * 2001})
    with pytest.raises(errors.MailshotError, match=r"m/subject\.nb\.txt"):
        rendered(versions, "nb")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"subject.nb.txt": "Hei"}, []),
        (
            {
                "subject.nb.txt": "Hei",
                "preheader.nb.txt": "Les dette før alle de andre gjør det",
                "body.nb.html": BODY.format("Norsk"),
            },
            [],
        ),
        (
            {"body.nb.html": BODY.format("Norsk"), "preheader.nb.txt": "Les dette før alle de andre gjør det"},
            ["m/body.nb.html: warning: The body is translated, but not the subject: write subject.nb.txt."],
        ),
        (
            {"subject.nb.txt": "Hei", "body.nb.html": BODY.format("Norsk")},
            [
                "m/body.nb.html: warning: The preheader is not translated, so that this mail has none: "
                "write preheader.nb.txt."
            ],
        ),
        (
            {"subject.nb.txt": "Hei", "body.nb.txt": "Norsk"},
            [
                "m/body.nb.txt: warning: The plain text is translated, but not the HTML, which most customers see: "
                "write body.nb.html."
            ],
        ),
        (
            {
                "subject.nb.txt": "Hei",
                "preheader.nb.txt": "Les dette før alle de andre gjør det",
                "body.nb.html": BODY.format("{% for offer in offers %}{{ offer.reason }}{% endfor %}"),
            },
            ["m/body.nb.html: warning: An offer's 'reason' is in English: write it here, by 'times'."],
        ),
    ],
)
def test_a_mail_in_two_languages_is_warned_of(files: dict[str, str], expected: list[str]) -> None:
    assert warnings(compiled(files)) == [f"templates/{line}" for line in expected]


def test_a_translation_that_says_another_language_is_warned_of() -> None:
    layout = "<!doctype html>\n<html lang='en-GB'><body>{% block body %}{% endblock %}</body></html>"
    files = {"subject.nb.txt": "Hei", "preheader.nb.txt": "Les dette før alle de andre gjør det", "body.html": layout}
    versions = compiled({**files, "body.nb.html": "{% extends 'm/body.html' %}{% block body %}Hei{% endblock %}"})
    assert warnings(versions) == [
        "templates/m/body.html:2:1: warning: The mail says that its language is 'en-GB': "
        'write <html lang="{{ language }}">.'
    ]


def test_a_second_version_in_the_companys_language_is_an_error() -> None:
    [error] = [
        one for one in compiled({"subject.en.txt": "Hi"}).all_findings() if one.level == "error" and not one.bulk
    ]
    assert error.place.file == "m/subject.en.txt"
    assert "set `language` in rules/company.yaml" in error.message
    assert not [one for one in compiled({"subject.en-GB.txt": "Hi"}).all_findings() if not one.bulk]


def test_a_language_that_the_company_does_not_list_is_warned_of() -> None:
    files = {"subject.nn.txt": "Hei", "subject.de-AT.txt": "Hallo"}
    assert warnings(compiled(files, languages=["nb", "de"])) == [
        "templates/m/subject.nn.txt: warning: 'nn' is not among the `languages` of rules/company.yaml (nb, de)."
    ]
    assert warnings(compiled(files)) == []


@pytest.mark.parametrize("name", ["preheder.txt", "preheader.html", "settings.yml", "setings.yaml"])
def test_a_misspelt_part_is_an_error(write: Write, name: str) -> None:
    folder = write({name: "x"})
    (folder / "m" / "preheader.txt").unlink(missing_ok=True)
    with pytest.raises(errors.InvalidInput, match=r"is not a part of a mail(.|\n)*Did you mean"):
        source.read(folder, "m")


@pytest.mark.parametrize("name", ["body_v2.txt", "notes.txt", "old-body.html", "README.txt", "body.htm"])
def test_other_files_may_lie_beside_a_mail(write: Write, name: str) -> None:
    assert f"m/{name}" not in source.read(write({name: "x"}), "m").files
