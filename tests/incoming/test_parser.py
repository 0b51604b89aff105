"""Checks requests to leave, automatic answers and replies, and what decides between several recipients."""

from __future__ import annotations

from datetime import date

import pytest

from mailshot.incoming import auto_replies, mime_tree, parser, replies
from mailshot.states import BounceReason, IncomingKind
from mailshot.tokens import Purpose
from tests.incoming.keys import KEYS

LEAVE = f"{KEYS.sign_local_part(Purpose.leave, 1, 2)}@shop.example"
BOUNCE = f"{KEYS.sign_local_part(Purpose.bounce, 1, 2)}@shop.example"
REPLY = f"{KEYS.sign_local_part(Purpose.reply, 1, 2)}@shop.example"
REPORT_FIELDS = (
    "Content-Type: multipart/report; report-type=delivery-status; boundary=r\n\n"
    "--r\nContent-Type: message/delivery-status\n\n"
)


def _mail(headers: str, body: str = "Hello") -> bytes:
    return f"From: Tom <tom@example.org>\nDate: Tue, 3 Mar 2026 08:00:00 +0000\n{headers}\n\n{body}\n".encode()


@pytest.mark.parametrize("recipient", [LEAVE, LEAVE.upper(), f"<{LEAVE}>"])
@pytest.mark.parametrize(
    "headers",
    [
        "Subject: unsubscribe",
        "Subject:",
        "Auto-Submitted: auto-generated",
        "From: administrator@x.example\nSubject: mail error",
    ],
)
def test_a_mail_to_the_address_for_leaving_is_a_request(recipient: str, headers: str) -> None:
    message = parser.parse(_mail(f"To: shop@shop.example\n{headers}", ""), KEYS, recipient)
    assert message.kind is IncomingKind.unsubscribe
    assert message.token is not None
    assert message.token.ids == (1, 2)


def test_without_an_envelope_the_header_says_to_whom_a_request_was_written() -> None:
    assert parser.parse(_mail(f"To: {LEAVE}\nSubject: u"), KEYS, None).kind is IncomingKind.unsubscribe


@pytest.mark.parametrize(
    ("headers", "recipient"),
    [
        (f"To: {LEAVE}\nSubject: x\nAuto-Submitted: auto-replied", LEAVE),
        ("To: news@shop.example\nSubject: Re: News", "news@shop.example"),
        (f"To: news@shop.example\nSubject: unsubscribe\nX-Note: {LEAVE}", "news@shop.example"),
        (f"To: {BOUNCE}\nSubject: unsubscribe", BOUNCE),
    ],
)
def test_other_mails_are_no_requests_to_leave(headers: str, recipient: str) -> None:
    quoted = f"> To stop, write to <mailto:{LEAVE}>"
    assert parser.parse(_mail(headers, f"unsubscribe\n{quoted}"), KEYS, recipient).kind is not IncomingKind.unsubscribe


def test_a_report_that_quotes_the_address_for_leaving_is_a_bounce() -> None:
    fields = f"{REPORT_FIELDS}Final-Recipient: rfc822; tom@example.org\nAction: failed\nStatus: 5.1.1\n\n--r\n"
    returned = f"Content-Type: text/rfc822-headers\n\nList-Unsubscribe: <mailto:{LEAVE}>\n\n--r--\n"
    for recipient in (BOUNCE, LEAVE):
        assert parser.parse(_mail(fields + returned, ""), KEYS, recipient).kind is IncomingKind.hard


def test_what_comes_to_the_bounce_address_without_being_a_bounce_is_automatic() -> None:
    message = parser.parse(_mail(f"To: {BOUNCE}\nSubject: Thanks", "I will read it soon."), KEYS, BOUNCE)
    assert (message.kind, message.rule) == (IncomingKind.auto_reply, "auto-reply bounce address")


def test_what_a_person_writes_to_the_reply_address_is_a_reply_to_that_mail() -> None:
    headers = f"To: =?utf-8?q?K=C3=A4se?= <{REPLY}>\nSubject: =?utf-8?q?Re=3A_K=C3=A4se?="
    quoted = f"> Abmelden: mailto:{LEAVE}\n> https://shop.example/u/{KEYS.sign(Purpose.unsubscribe, 5, 6)}"
    for recipient in (REPLY, REPLY.upper(), None):
        message = parser.parse(_mail(headers, f"Which size?\n\n{quoted}"), KEYS, recipient)
        assert (message.kind, message.text, message.asks_to_stop) == (IncomingKind.reply, "Which size?", False)
        assert (message.written_by, message.subject) == ("tom@example.org", "Re: Käse")
        assert message.token is not None
        assert (message.token.purpose, message.token.ids) == (Purpose.reply, (1, 2))


def test_a_reply_that_asks_to_stop_is_no_request_to_leave() -> None:
    message = parser.parse(_mail(f"To: {REPLY}\nSubject: unsubscribe", "unsubscribe"), KEYS, REPLY)
    assert (message.kind, message.asks_to_stop) == (IncomingKind.reply, True)


@pytest.mark.parametrize("header", ["Auto-Submitted: auto-replied", "X-Autoreply: yes", "Subject: Out of Office: News"])
def test_an_automatic_answer_to_the_reply_address_is_one(header: str) -> None:
    message = parser.parse(_mail(f"To: {REPLY}\n{header}", "I am away."), KEYS, REPLY)
    assert message.kind is IncomingKind.auto_reply


def test_a_report_to_the_reply_address_is_judged_and_proves_nothing() -> None:
    fields = f"{REPORT_FIELDS}Final-Recipient: rfc822; tom@example.org\nAction: failed\nStatus: 5.1.1\n\n--r\n"
    message_id = f"<{KEYS.sign(Purpose.message, 1, 2)}@shop.example>"
    returned = f"Content-Type: text/rfc822-headers\n\nMessage-ID: {message_id}\n\n--r--\n"
    for recipient in (REPLY, None):
        message = parser.parse(_mail(f"In-Reply-To: {message_id}\nTo: {REPLY}\n{fields}{returned}"), KEYS, recipient)
        assert message.kind is IncomingKind.hard
        assert message.token is not None
        assert (message.token.purpose, message.token.is_proof) == (Purpose.reply, False)


@pytest.mark.parametrize(
    "header",
    [
        "Auto-Submitted: auto-replied (vacation)",
        "X-Autoreply: yes",
        "X-Autorespond: 1",
        "X-Autoresponse: yes",
        "X-FC-MachineGenerated: true",
        "Precedence: auto_reply",
        "Delivered-To: autoresponder@example.org",
        "Return-Path: <>",
        "Subject: Out of Office: News",
        "Subject: Re: Automatische Antwort: News",
        "Subject: =?utf-8?Q?R=C3=A9ponse_automatique_:_News?=",
        "Subject: =?utf-8?B?UmVzcHVlc3RhIGF1dG9tw6F0aWNhOiBOb3RpY2lhcw==?=",
        "Subject: Abwesenheitsnotiz",
    ],
)
def test_automatic_answers_are_recognized(header: str) -> None:
    assert parser.parse(_mail(f"To: news@shop.example\n{header}"), KEYS, None).kind is IncomingKind.auto_reply


@pytest.mark.parametrize("subject", ["Urlaub in Italien", "Re: Holiday offers", "Absence of my parcel", "Office chair"])
def test_a_subject_about_leisure_is_not_an_absence(subject: str) -> None:
    assert parser.parse(_mail(f"To: news@shop.example\nSubject: {subject}"), KEYS, None).kind is IncomingKind.reply


@pytest.mark.parametrize("header", ["Auto-Submitted: no", "X-Auto-Response-Suppress: All", "X-Autoreply: no"])
def test_what_a_person_wrote_is_a_reply(header: str) -> None:
    raw = _mail(f"To: news@shop.example\nSubject: Re: News\n{header}", "Thanks!\n\nOn Mon, Shop wrote:\n> Hello")
    message = parser.parse(raw, KEYS, None)
    assert (message.kind, message.text, message.asks_to_stop) == (IncomingKind.reply, "Thanks!", False)


@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("I am out of the office until 2026-03-20.", date(2026, 3, 20)),
        ("I will return on Monday, March 23rd.", date(2026, 3, 23)),
        ("Back on 5 January", date(2027, 1, 5)),
        ("away until 03/25/2026", date(2026, 3, 25)),
        ("away until 03/12/2026", date(2026, 3, 12)),
        ("away until 12/03/2026", date(2026, 3, 12)),
        ("bis 12.03.2026", date(2026, 3, 12)),
        ("Ich bin bis zum 15.04.2026 nicht erreichbar.", date(2026, 4, 15)),
        ("Ich bin bis einschließlich 5. April abwesend", date(2026, 4, 5)),
        ("Je suis absent jusqu'au 12 avril 2026 inclus", date(2026, 4, 12)),
        ("jusqu\u2019au lundi 6 avril", date(2026, 4, 6)),
        ("Estaré fuera hasta el 3 de mayo de 2026", date(2026, 5, 3)),
        ("until further notice", None),
        ("until 31 February 2026", None),
        ("It was out of stock until 2019-01-01", None),
    ],
)
def test_the_end_of_an_absence_is_read(text: str, until: date | None) -> None:
    assert auto_replies.away_until(mime_tree.parse(_mail("Subject: Away")), text) == until


@pytest.mark.parametrize(
    "text",
    [
        "Please remove me from your list.",
        "unsubscribe",
        "STOP",
        "Stop sending me these mails!",
        "Hi, please take me off this list",
        "Bitte tragen Sie mich aus dem Verteiler aus.",
        "Abmelden",
        "Ich möchte keine E-Mails mehr erhalten",
        "Bitte senden Sie mir keine Werbung mehr",
        "Merci de me désinscrire",
        "Je ne souhaite plus recevoir vos messages",
        "Veuillez me retirer de la liste",
        "Por favor, darme de baja",
        "No quiero recibir más correos",
        "Baja",
    ],
)
def test_a_reply_that_only_asks_to_stop_is_marked(text: str) -> None:
    message = parser.parse(_mail("To: news@shop.example\nSubject: Re: News", text), KEYS, None)
    assert (message.kind, message.asks_to_stop) == (IncomingKind.reply, True)


@pytest.mark.parametrize(
    "text",
    [
        "Do you have this in blue?",
        "How do I unsubscribe my dog from the barking club?",
        "Kann man bei Ihnen auch ein Stopfei bestellen?",
        "Thanks, stop by any time.",
        "Bajaj is a brand, do you sell it?",
        "No quiero perderme la oferta, guárdenme dos.",
        "Ich möchte nicht mehr warten, wann kommt das Paket?",
        "Please take me to your leader.",
    ],
)
def test_other_replies_are_not(text: str) -> None:
    assert not parser.parse(_mail("To: news@shop.example\nSubject: Re: News", text), KEYS, None).asks_to_stop


@pytest.mark.parametrize(
    "quote",
    [
        "On Tue, Mar 3, 2026 at 8:00 AM Shop <news@shop.example> wrote:\n> Hello\n> there",
        "On Tue, Mar 3, 2026 at 8:00 AM Shop\n<news@shop.example> wrote:\n\n> Hello",
        "Am Di., 3. März 2026 um 08:00 Uhr schrieb Shop <news@shop.example>:\n> Hallo",
        "Le mar. 3 mars 2026 à 08:00, Shop <news@shop.example> a écrit :\n> Bonjour",
        "El mar, 3 mar 2026 a las 8:00, Shop (<news@shop.example>) escribió:\n> Hola",
        "-----Original Message-----\nFrom: Shop\nSent: Tuesday\n\nHello",
        "-----Ursprüngliche Nachricht-----\nVon: Shop\n\nHallo",
        "________________________________\nFrom: Shop <news@shop.example>\nSent: Tuesday\n\nHello",
        "Von: Shop <news@shop.example>\nGesendet: Dienstag\nAn: Tom\n\nHallo",
        "De : Shop <news@shop.example>\nEnvoyé : mardi\n\nBonjour",
        "-- \nTom\nTel. 123",
        "Sent from my iPhone",
    ],
)
def test_quotes_and_signatures_are_cut_off(quote: str) -> None:
    assert replies.written_text(f"Yes, please.\nTwo of them.\n\n{quote}\n") == "Yes, please.\nTwo of them."


def test_an_answer_below_the_quote_is_kept() -> None:
    text = "On Mon, 2 Mar 2026, Shop <news@shop.example> wrote:\n> Which colour?\n\nBlue."
    assert replies.written_text(text) == "Blue."


def test_the_address_that_we_wrote_to_decides() -> None:
    fields = (
        f"{REPORT_FIELDS}Final-Recipient: rfc822; old@example.org\nAction: failed\nStatus: 5.1.1\n\n"
        "Original-Recipient: rfc822; tom@example.org\nFinal-Recipient: rfc822; t@example.org\nAction: delayed\n"
        "Status: 4.4.1\n\n--r\nContent-Type: text/rfc822-headers\n\nTo: tom@example.org\n\n--r--\n"
    )
    message = parser.parse(_mail(fields, ""), KEYS, None)
    assert (message.kind, message.reported_address) == (IncomingKind.delayed, "tom@example.org")
    assert [row.verdict.kind for row in message.recipients] == [IncomingKind.hard, IncomingKind.delayed]


def test_a_user_unknown_said_after_data_is_filtered() -> None:
    text = "<tom@example.org>: host mx.example.org[192.0.2.25] said: 550 no such user (in reply to end of DATA command)"
    message = parser.parse(_mail("From: MAILER-DAEMON@mx.example.net\nSubject: failure notice", text), KEYS, None)
    assert (message.kind, message.reason) == (IncomingKind.soft, BounceReason.filtered)


@pytest.mark.parametrize(
    ("subject", "text", "kind"),
    [
        ("Consegna fallita", "Non consegnato a:\n\n<tom@example.org>: 550 5.1.1 utente sconosciuto", "hard"),
        ("Falha na entrega", "Não pôde ser entregue:\n\ntom@example.org\n 552 5.2.2 caixa cheia", "soft"),
        ("Niet bezorgd", "Niet bezorgd aan <tom@example.org>:\n550 gebruiker onbekend", "hard"),
        ("Wiadomość niedostarczona", "<tom@example.org>: 550 Nie ma takiego uzytkownika", "hard"),
        ("Сообщение не доставлено", "Адрес tom@example.org: 550 пользователь не найден", "hard"),
        ("系统退信", "收件人 tom@example.org\n退信原因: 550 用户不存在", "hard"),
        ("配信不能", "<tom@example.org> 宛のメールは配信できませんでした。\n552 メールボックスがいっぱいです", "soft"),
        ("Message non distribué", "<tom@example.org>: 554 5.7.1 message rejeté (spam)", "block"),
        ("Zustellung verzögert", "Ihre Nachricht an tom@example.org wird verzögert. 451 4.4.1 timeout", "delayed"),
        ("반송", "<tom@example.org>: 550 5.1.1 User unknown", "hard"),
    ],
)
def test_notices_in_other_languages_are_read(subject: str, text: str, kind: str) -> None:
    head = f"From: postmaster@example.org\nSubject: {subject}\nContent-Type: text/plain; charset=utf-8\n\n"
    message = parser.parse(f"{head}{text}\n".encode(), KEYS, None)
    assert (message.kind, message.reported_address) == (kind, "tom@example.org")


def test_words_in_the_notice_count_where_the_fields_have_none() -> None:
    fields = (
        "From: MAILER-DAEMON@mx.example.net\nContent-Type: multipart/report; boundary=r\n\n--r\n\n"
        "<<< 550 Message blocked: listed at zen.spamhaus.org\n\n--r\nContent-Type: message/delivery-status\n\n"
        "Final-Recipient: rfc822; tom@example.org\nAction: failed\nStatus: 5.1.1\n\n--r--\n"
    )
    assert parser.parse(fields.encode(), KEYS, None).kind is IncomingKind.block


@pytest.mark.parametrize("path", ["bounces+123@mail.example.org", "newsletter-bounces@lists.example.org"])
def test_a_return_path_for_bounces_does_not_make_a_reply_a_bounce(path: str) -> None:
    raw = _mail(
        f"Return-Path: <{path}>\nTo: news@shop.example\nSubject: Re: News", "Not delivered yet, please send it."
    )
    assert parser.parse(raw, KEYS, None).kind is IncomingKind.reply


@pytest.mark.parametrize("charset", ["iso-2022-jp", "utf-8", "shift_jis", "euc-jp", "x-unknown", ""])
def test_any_charset_is_read(charset: str) -> None:
    codec = charset if charset and charset != "x-unknown" else "utf-8"
    body = "宛先が見つかりません\n<tom@example.jp>: 550 5.1.1 宛先不明".encode(codec)
    head = f"From: MAILER-DAEMON@example.jp\nSubject: x\nContent-Type: text/plain; charset={charset}\n\n".encode()
    message = parser.parse(head + body, KEYS, None)
    assert (message.kind, message.reported_address) == (IncomingKind.hard, "tom@example.jp")
    assert "宛先" in message.diagnostic
