"""Checks that a token is good for its purpose and for nothing else."""

from __future__ import annotations

import itertools
from base64 import b32hexdecode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailshot.errors import SettingsError
from mailshot.tokens import PREFIXES, KeyRing, Purpose, candidates

RING = KeyRing.parse("7:" + "5a" * 32)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
IDS = st.lists(st.integers(0, 2**63 - 1), max_size=4).map(tuple)


@given(IDS, st.sampled_from(list(Purpose)))
def test_ids_come_back(ids: tuple[int, ...], purpose: Purpose) -> None:
    token = RING.sign(purpose, *ids)
    assert RING.verify(purpose, token) == (ids or None)
    assert set(token) <= set(ALPHABET)


def test_only_the_diagonal_of_purposes_is_read() -> None:
    for minted, read in itertools.product(Purpose, Purpose):
        assert (RING.verify(read, RING.sign(minted, 1, 2)) is not None) is (minted is read)


def test_no_single_change_is_accepted() -> None:
    token = RING.sign(Purpose.unsubscribe, 12, 345_678)
    changed = {token[:at] + letter + token[at + 1 :] for at in range(len(token)) for letter in ALPHABET} - {token}
    changed |= {token[:at] + token[at + 1 :] for at in range(len(token))} | {
        token + letter for letter in ALPHABET + "="
    }
    changed |= {token[:at] + token[at + 1] + token[at] + token[at + 2 :] for at in range(len(token) - 1)} - {token}
    assert not [altered for altered in changed if RING.verify(Purpose.unsubscribe, altered) is not None]


@given(st.text(max_size=130) | st.text(ALPHABET, max_size=130))
def test_no_other_text_is_accepted(text: str) -> None:
    assert RING.verify(Purpose.click, text) is None


def test_keys_rotate_with_overlap() -> None:
    old, new = "1:" + "aa" * 16, "2:" + "bb" * 16
    before, during, after = (KeyRing.parse(text) for text in (old, f"{new},{old}", new))
    token = before.sign(Purpose.unsubscribe, 5)
    assert [ring.verify(Purpose.unsubscribe, token) for ring in (before, during, after)] == [(5,), (5,), None]
    assert after.verify(Purpose.unsubscribe, during.sign(Purpose.unsubscribe, 5)) == (5,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " , ",
        "1",
        "1:",
        "1:abc",
        "1:" + "aa" * 15,
        "256:" + "aa" * 16,
        "-1:" + "aa" * 16,
        "x:" + "aa" * 16,
        "1:" + "aa" * 16 + ",1:" + "bb" * 16,
    ],
)
def test_malformed_keys_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="MAILSHOT_KEYS"):
        KeyRing.parse(text)


def test_an_id_below_nothing_is_a_bug() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        RING.sign(Purpose.click, -1)


@given(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=2).map(tuple), st.sampled_from(sorted(PREFIXES)))
def test_the_ids_of_an_address_come_back_in_any_case(ids: tuple[int, ...], purpose: Purpose) -> None:
    local_part = RING.sign_local_part(purpose, *ids)
    assert len(local_part) <= 64
    assert local_part == local_part.lower()
    assert local_part.startswith(f"{PREFIXES[purpose]}+")
    for spelling in (local_part, local_part.upper(), local_part.title()):
        assert RING.verify_local_part(spelling) == (purpose, ids)


@pytest.mark.parametrize("purpose", PREFIXES)
def test_the_token_of_one_prefix_is_not_read_under_another(purpose: Purpose) -> None:
    token = RING.sign_local_part(purpose, 3, 4).partition("+")[2]
    for prefix in {*PREFIXES.values(), "x"} - {PREFIXES[purpose]}:
        assert RING.verify_local_part(f"{prefix}+{token}") is None
    assert RING.verify_local_part(token) is None


@pytest.mark.parametrize("purpose", PREFIXES)
def test_the_token_of_an_address_is_no_token_of_a_link(purpose: Purpose) -> None:
    token = RING.sign_local_part(purpose, 3, 4).partition("+")[2].upper()
    same_bytes = urlsafe_b64encode(b32hexdecode(token + "=" * (-len(token) % 8))).rstrip(b"=").decode()
    assert [other for other in Purpose if RING.verify(other, same_bytes)] == [purpose]


@pytest.mark.parametrize("purpose", PREFIXES)
def test_the_largest_ids_fit_into_a_local_part(purpose: Purpose) -> None:
    assert len(RING.sign_local_part(purpose, 2**63 - 1, 2**63 - 1)) <= 64


def test_no_single_change_of_an_address_is_accepted() -> None:
    local_part = RING.sign_local_part(Purpose.bounce, 12, 345_678)
    letters = "0123456789abcdefghijklmnopqrstuvwxyz=+é"
    changed = {local_part[:at] + letter + local_part[at + 1 :] for at in range(len(local_part)) for letter in letters}
    changed |= {local_part + letter for letter in letters} | {local_part[:-1]}
    assert not [altered for altered in changed - {local_part} if RING.verify_local_part(altered) is not None]


@given(st.text(max_size=130))
def test_no_other_local_part_is_read(text: str) -> None:
    assert RING.verify_local_part(text) is None


@pytest.mark.parametrize(
    "glued", ["", ".", ",", ")", ">", "'", "\u200b", "\u00a0", "/", "/x", "=", "%", "-", "__", ").x"]
)
def test_what_is_glued_to_a_link_is_cut_off(glued: str) -> None:
    for number in range(50):  # some tokens end with a dash or an underscore themselves
        token = RING.sign(Purpose.unsubscribe, number)
        assert [RING.verify(Purpose.unsubscribe, candidate) for candidate in candidates(token + glued)].count(
            (number,)
        ) == 1
    assert candidates(glued + "x")[:1] in ([], ["x"], [f"{glued}x"])
