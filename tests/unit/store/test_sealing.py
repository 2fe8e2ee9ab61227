"""Sealed bytes open where they were sealed, as they were sealed, with the key that sealed them, and in no other way."""

from __future__ import annotations

import hmac

import pytest

from fhir_server.store.sealing import HASH_BYTES, Sealer, SealError, UnknownKeyError, derived, key_of
from tests.builders.sealing import ring

BODY = b'{"resourceType":"Patient","name":[{"family":"Nobody"}]}'


@pytest.fixture
def sealer():
    return Sealer(ring("0a0b0c0d", "01020304"))


@pytest.mark.parametrize("plain", [b"", b"x", BODY, BODY * 1000])
def test_what_was_sealed_opens(sealer, plain):
    sealed = sealer.seal("Patient", "1", 3, plain)
    assert sealer.open("Patient", "1", 3, sealed) == plain
    assert key_of(sealed) == "0a0b0c0d"
    assert BODY[:20] not in sealed
    assert sealer.seal("Patient", "1", 3, plain) != sealed


@pytest.mark.parametrize("place", [("Patient", "2", 3), ("Patient", "1", 4), ("RelatedPerson", "1", 3)])
def test_it_opens_for_no_other_type_id_or_version(sealer, place):
    sealed = sealer.seal("Patient", "1", 3, BODY)
    with pytest.raises(SealError, match=f"{place[0]}/{place[1]} does not open"):
        sealer.open(*place, sealed)


def test_it_does_not_open_with_any_bit_changed(sealer):
    sealed = sealer.seal("Patient", "1", 3, b"short")
    for place in range(len(sealed)):
        for bit in range(8):
            changed = bytearray(sealed)
            changed[place] ^= 1 << bit
            with pytest.raises(SealError) as refused:
                sealer.open("Patient", "1", 3, bytes(changed))
            assert "Patient/1" in str(refused.value)
            assert "short" not in str(refused.value)


@pytest.mark.parametrize("length", [0, 1, 5, 16, 17, 20])
def test_it_does_not_open_cut_off(sealer, length):
    with pytest.raises(SealError):
        sealer.open("Patient", "1", 3, sealer.seal("Patient", "1", 3, BODY)[:length])


def test_plain_bytes_are_refused(sealer):
    with pytest.raises(SealError, match="not sealed"):
        sealer.open("Patient", "1", 3, BODY)


def test_another_ring_does_not_open_it(sealer):
    sealed = sealer.seal("Patient", "1", 3, BODY)
    with pytest.raises(SealError, match="does not open"):
        Sealer(ring("0a0b0c0d")).open("Patient", "1", 3, sealed)
    with pytest.raises(UnknownKeyError):
        Sealer(ring("ffffffff")).open("Patient", "1", 3, sealed)


def test_every_key_of_the_ring_opens_and_the_primary_seals(sealer):
    first = sealer.seal("Patient", "1", 3, BODY)
    keys = sealer._keys
    sealer._primary = bytes.fromhex("01020304")
    second = sealer.seal("Patient", "1", 3, BODY)
    assert {key_of(first), key_of(second)} == {one.hex() for one in keys}
    assert sealer.open("Patient", "1", 3, first) == sealer.open("Patient", "1", 3, second) == BODY


def test_bytes_of_others_open_for_their_purpose_alone(sealer):
    sealed = sealer.seal_bytes("totp/account-1", b"secret")
    assert sealer.open_bytes("totp/account-1", sealed) == b"secret"
    for purpose in ("totp/account-2", "other/account-1", ""):
        with pytest.raises(SealError):
            sealer.open_bytes(purpose, sealed)
    with pytest.raises(SealError):
        sealer.open_bytes("totp/account-1", sealer.seal("totp", "account-1", 1, b"secret"))
    with pytest.raises(SealError):
        Sealer(ring()).open_bytes("totp/account-1", sealed)


def test_what_is_derived_from_the_root_outlives_data_keys():
    root = b"r" * 32
    before, after = Sealer(ring("0a0b0c0d", root=root)), Sealer(ring("11111111", root=root))
    assert after.open_bytes("a/b", before.seal_bytes("a/b", b"x")) == b"x"
    assert after.hashed("Patient.name", "ada") == before.hashed("Patient.name", "ada")


def test_hashes_are_equal_within_a_domain_and_a_root(sealer):
    one = sealer.hashed("Patient.name", "ada")
    assert len(one) == HASH_BYTES
    assert one == sealer.hashed("Patient.name", "ada")
    others = {sealer.hashed("Patient.name", "adA"), sealer.hashed("RelatedPerson.name", "ada")}
    others |= {sealer.hashed("Patient.address", "ada"), Sealer(ring()).hashed("Patient.name", "ada")}
    assert one not in others
    assert len(others) == 4


def test_a_hash_is_an_hmac(sealer):
    key = derived(sealer._root, "hash|d")
    for text in ("", "ada", "Núñez", "x" * 300):
        assert sealer.hashed("d", text) == hmac.digest(key, text.encode(), "sha256")[:HASH_BYTES]


def test_nothing_shows_a_key(sealer):
    shown = repr(sealer) + repr(ring(root=b"q" * 32))
    assert "qqqq" not in shown
    assert "AESGCM" not in shown
