"""`mailshot mailbox` with wrong files, empty input, large folders and a database that does not answer."""

from __future__ import annotations

import json
import mailbox as standard_mailbox
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mailshot.store.engine import Store
from mailshot.tokens import KeyRing, Purpose
from tests.cli.test_errors import INVALID, MISSING, UNAVAILABLE, tried
from tests.support import processes, project, returned_mail
from tests.support.project import Shop

TRY_AGAIN, WRONG = 75, 2
MESSAGE = b"Subject: hello\r\n\r\nHello\r\n"


@pytest.fixture
def shop(sqlite_store: Store, tmp_path: Path) -> Shop:
    return Shop.open(sqlite_store, tmp_path / "shop", 1)


def pipe(shop: Shop, content: bytes, *arguments: str, **more: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command as a mail server does."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAILSHOT_")}
    environment = {**kept, "PYTHONPATH": str(processes.ROOT), **shop.environment(**more)}
    command = [sys.executable, "-m", "mailshot", "mailbox", "take", "-", *arguments]
    return subprocess.run(
        command, input=content, env=environment, cwd=shop.folder, capture_output=True, timeout=60, check=False
    )


def listed(shop: Shop) -> list[dict[str, object]]:
    code, printed = tried(shop, "mailbox", "list", "--json", "-n", "1000")
    assert code == 0
    return list(json.loads(printed))


@pytest.mark.parametrize(
    ("name", "content", "code", "words"),
    [
        ("missing.eml", None, MISSING, "There is no file"),
        ("photo.jpg", b"\xff\xd8\xff\xe0" + bytes(500), INVALID, "This is not a mail message."),
        ("empty.eml", b"", 0, "Took 0 messages."),
        ("hello.eml", MESSAGE, 0, "Took 1 message."),
    ],
)
def test_wrong_files_are_named(
    shop: Shop, tmp_path: Path, name: str, content: bytes | None, code: int, words: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    result, printed = tried(shop, "mailbox", "take", str(path))
    assert (result, words in printed) == (code, True), printed
    assert len(listed(shop)) == ("Took 1" in words)


def test_a_missing_file_is_found_before_anything_is_stored(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "hello.eml").write_bytes(MESSAGE)
    assert tried(shop, "mailbox", "take", str(tmp_path / "hello.eml"), str(tmp_path / "none.eml"))[0] == MISSING
    assert listed(shop) == []


def test_a_folder_must_be_a_maildir(shop: Shop, tmp_path: Path) -> None:
    code, printed = tried(shop, "mailbox", "take", str(tmp_path))
    assert code == MISSING
    assert "is not a Maildir" in printed


def test_a_maildir_and_an_mbox_give_each_of_their_messages_once(shop: Shop, tmp_path: Path) -> None:
    maildir = standard_mailbox.Maildir(tmp_path / "maildir", create=True)
    mbox = standard_mailbox.mbox(tmp_path / "bounces.mbox")
    for number in range(30):
        maildir.add(f"Subject: {number}\n\nHello\n".encode())
        mbox.add(f"Subject: mbox {number}\n\nFrom here on, hello\n".encode())
    mbox.close()
    for words in ("Took 60 messages.", "Took 0 messages. 60 were known already."):
        code, printed = tried(shop, "mailbox", "take", str(tmp_path / "maildir"), str(tmp_path / "bounces.mbox"))
        assert (code, words in printed) == (0, True), printed
    assert len(listed(shop)) == 60


@pytest.mark.torture
def test_a_folder_of_ten_thousand_messages(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    for number in range(10_000):
        (tmp_path / "new" / str(number)).write_bytes(f"Subject: {number}\n\nHello\n".encode())
    assert "Took 10,000 messages." in tried(shop, "mailbox", "take", str(tmp_path))[1]


def test_nonsense_for_a_recipient_is_refused_for_files_and_ignored_by_a_pipe(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "hello.eml").write_bytes(MESSAGE)
    assert tried(shop, "mailbox", "take", str(tmp_path / "hello.eml"), "--recipient", "nonsense")[0] == WRONG
    for recipient in ("nonsense", "", "\udcff@\u202e", "x" * 5000):
        message = MESSAGE + recipient.encode("utf-8", "replace")
        assert pipe(shop, message, "--recipient", recipient).returncode == 0
    assert len(listed(shop)) == 4


def test_a_pipe_never_loses_a_message(shop: Shop, tmp_path: Path) -> None:
    """Postfix returns a message to its sender after any exit code but 0 and 75."""
    assert pipe(shop, b"").returncode == 0
    assert pipe(shop, b"\xff\xd8no mail").returncode == 0
    for more in (
        {"MAILSHOT_DATABASE": f"sqlite:///{tmp_path}/none/mailshot.db"},
        {"MAILSHOT_DATABASE": f"sqlite:///{tmp_path}/new.db"},
        {"MAILSHOT_DATABASE": "postgresql://127.0.0.1:1/none"},
        {"MAILSHOT_DATABASE": "nonsense"},
        {"MAILSHOT_BATCH": "nonsense"},
    ):
        result = pipe(shop, MESSAGE, **more)
        assert result.returncode == TRY_AGAIN, (more, result.stderr)
        assert result.stderr.startswith(b"Error:")
        assert b"Traceback" not in result.stderr
    result = pipe(shop, MESSAGE, MAILSHOT_KEYS="")
    assert (result.returncode, b"stored" in result.stderr) == (0, True), result.stderr
    (tmp_path / "file.eml").write_bytes(MESSAGE)
    database = f"sqlite:///{tmp_path}/none/mailshot.db"
    assert tried(shop, "mailbox", "take", str(tmp_path / "file.eml"), MAILSHOT_DATABASE=database)[0] == UNAVAILABLE
    assert len(listed(shop)) == 2


def test_what_was_stored_before_ctrl_c_stays(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    for number in range(3):
        (tmp_path / "new" / str(number)).write_bytes(f"Subject: {number}\n\nHello\n".encode())
    os.mkfifo(tmp_path / "new.eml")
    environment = {**os.environ, "PYTHONPATH": str(processes.ROOT), **shop.environment()}
    command = [sys.executable, "-m", "mailshot", "mailbox", "take", str(tmp_path), str(tmp_path / "new.eml")]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, cwd=shop.folder)
    processes.until(lambda: len(listed(shop)) == 3, 60, "the folder is stored")
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert process.stderr
    assert b"Traceback" not in process.stderr.read()
    assert "Took 0 messages. 3 were known already." in tried(shop, "mailbox", "take", str(tmp_path))[1]
    assert {record["kind"] for record in listed(shop)} == {"reply"}


@pytest.mark.parametrize("number", ["0", "-1", "99999999999999999999", "x"])
def test_a_number_that_no_message_has(shop: Shop, number: str) -> None:
    code, printed = tried(shop, "mailbox", "show", "--", number)
    assert code == WRONG
    assert "Traceback" not in printed
    assert tried(shop, "mailbox", "show", "7")[0] == MISSING


def test_a_bounce_is_listed_with_what_it_changed(shop: Shop, tmp_path: Path) -> None:
    run_id, keys = shop.launch(), KeyRing.parse(project.KEYS)
    recipient = f"{keys.sign_local_part(Purpose.bounce, run_id, shop.customers[0])}@bay.example.com"
    mail = {"rcpt": "c1@mail.example", "from": recipient, "data": "Subject: x\n\nx\n"}
    assert pipe(shop, returned_mail.bounce(mail, "hard"), "--recipient", recipient).returncode == 0
    (record,) = listed(shop)
    assert (record["kind"], record["customer"]) == ("hard", "c1")


@pytest.mark.parametrize("command", [("customer", "export", "c1"), ("suppression", "export")])
def test_an_export_that_cannot_be_written(shop: Shop, tmp_path: Path, command: tuple[str, ...]) -> None:
    code, printed = tried(shop, *command, "--to", str(tmp_path / "none" / "x"))
    assert code == UNAVAILABLE, printed
    assert "cannot be written" in printed
    assert tried(shop, *command, "--to", str(tmp_path / "x"))[0] == 0
    assert (tmp_path / "x").stat().st_mode & 0o077 == 0, "personal data is for its owner alone"
