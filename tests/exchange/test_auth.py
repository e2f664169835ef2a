"""L1 and L2 authentication equal the protocol's vectors and the official client, and show no secret."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.exchange.polymarket.auth import ApiCredentials, RequestSigner, level_1_headers
from mm_daemon.exchange.polymarket.keys import PrivateKey

from .conftest import ACCOUNT, CREDENTIALS, KEY

AT = 1790000000


def test_level_2_vectors() -> None:
    """The protocol's two HMAC vectors come out exactly, with and without a body."""
    signer = RequestSigner(ACCOUNT, CREDENTIALS)
    assert signer.signature(AT, "POST", "/order", b'{"a":1}') == "ZnOupmm_fYDE1AKlPEKoeJ918EjexNE3ZUSL3hh5DU4="
    assert signer.signature(AT, "GET", "/data/orders") == "FVB6g2ZvKNXT0_2Pg8MdwBPhxyefgOCZ6FgmkqkNieU="


@settings(deadline=None)
@given(
    secret=st.binary(min_size=1, max_size=100),
    method=st.sampled_from(["GET", "POST", "DELETE"]),
    path=st.from_regex(r"/[a-z0-9/-]{0,30}", fullmatch=True),
    body=st.text(alphabet=st.characters(exclude_characters="'", exclude_categories=["Cs"]), max_size=60),
)
def test_level_2_equals_the_official_client(secret: bytes, method: str, path: str, body: str) -> None:
    """Any request is signed as the official client signs it (which turns single quotes into double ones)."""
    from py_clob_client_v2.signing.hmac import build_hmac_signature  # type: ignore[import-untyped]

    text = base64.urlsafe_b64encode(secret).decode()
    ours = RequestSigner(ACCOUNT, ApiCredentials("k", text, "p")).signature(AT, method, path, body.encode())
    assert ours == build_hmac_signature(text, str(AT), method, path, body)


def test_level_2_headers_carry_the_account() -> None:
    """The five headers name the account of the key and the time that was signed."""
    headers = RequestSigner(ACCOUNT, CREDENTIALS).headers(AT, "GET", "/data/orders")
    assert headers["POLY_ADDRESS"] == ACCOUNT
    assert headers["POLY_TIMESTAMP"] == str(AT)
    assert set(headers) == {"POLY_ADDRESS", "POLY_API_KEY", "POLY_PASSPHRASE", "POLY_SIGNATURE", "POLY_TIMESTAMP"}


def test_level_1_vector() -> None:
    """The protocol's wallet signature comes out exactly."""
    headers = level_1_headers(PrivateKey(KEY), 137, AT)
    assert headers == {
        "POLY_ADDRESS": ACCOUNT,
        "POLY_SIGNATURE": "0x85ca564babee4e457e787f6a6db85d07f12ea4c3b436cbb0d7985b97543f11f5"
        "0a58fb1019b2ba8c4c77d3cc30a2901659b9074b54129b035d545c907c8c5caa1b",
        "POLY_TIMESTAMP": str(AT),
        "POLY_NONCE": "0",
    }


@settings(deadline=None, max_examples=20)
@given(
    key=st.integers(1, 2**255).map(lambda number: f"{number:064x}"),
    chain=st.sampled_from([137, 80002]),
    at=st.integers(0, 2**40),
)
def test_level_1_equals_the_official_client(key: str, chain: int, at: int) -> None:
    """Any wallet, at any time, signs as the official client signs."""
    from py_clob_client_v2.headers.headers import create_level_1_headers  # type: ignore[import-untyped]
    from py_clob_client_v2.signer import Signer  # type: ignore[import-untyped]

    theirs = create_level_1_headers(Signer(f"0x{key}", chain), nonce=0, timestamp=at)
    assert level_1_headers(PrivateKey(key), chain, at) == {name: str(value) for name, value in theirs.items()}


def test_secrets_are_never_shown() -> None:
    """Neither credentials nor the signer show secret or passphrase, and a bad secret is not repeated."""
    shown = repr(CREDENTIALS) + str(CREDENTIALS) + repr(RequestSigner(ACCOUNT, CREDENTIALS))
    assert CREDENTIALS.secret not in shown
    assert CREDENTIALS.passphrase not in shown
    with pytest.raises(ValueError, match="not base64") as caught:
        RequestSigner(ACCOUNT, ApiCredentials("k", "ä-secret", "p"))
    assert "ä-secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_unpadded_secrets_are_read() -> None:
    """A secret without its trailing = signs as one with it."""
    unpadded = ApiCredentials("k", CREDENTIALS.secret.rstrip("="), "p")
    assert RequestSigner(ACCOUNT, unpadded).signature(AT, "GET", "/x") == RequestSigner(ACCOUNT, CREDENTIALS).signature(
        AT, "GET", "/x"
    )
