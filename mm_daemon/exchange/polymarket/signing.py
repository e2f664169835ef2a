"""Orders as the venue's contracts read them: exact amounts, EIP-712 hash, signature and the JSON that is posted.

The struct is packed by hand from words that hardly ever change, because the generic encoders take a hundred times as
long. The order's id is the hash of the plain order, also for deposit wallets, whose signature covers a wrapped one.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence

from mm_daemon.core.units import DOLLAR, OrderId, Price, Side, Size, TokenId
from mm_daemon.exchange.api import SignedOrder
from mm_daemon.exchange.polymarket.contracts import Contract, Contracts, load_contracts, token_number
from mm_daemon.exchange.polymarket.keys import PrivateKey, checksum_address, keccak

ORDER_TYPE = (
    b"Order(uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,uint256 takerAmount,"
    b"uint8 side,uint8 signatureType,uint256 timestamp,bytes32 metadata,bytes32 builder)"
)
_ORDER_TYPE_HASH = keccak(ORDER_TYPE)
_WRAPPED_TYPE_HASH = keccak(
    b"TypedDataSign(Order contents,string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)"
    + ORDER_TYPE
)
_ZERO = bytes(32)
_ZERO_HEX = b"0x" + b"00" * 32
_TOKENS_CACHED = 4096

EOA = 0
POLY_1271 = 3
"""The signature type of deposit wallets: the wallet is maker and signer, and the signature is wrapped."""


def _word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def amounts(side: Side, price: Price, size: Size) -> tuple[int, int]:
    """(makerAmount, takerAmount) in base units: what the order gives and what it gets.

    Raises:
        ValueError: the notional of `size` at `price` is not a whole number of base units, or nothing is traded.
    """
    notional, remainder = divmod(price * size, DOLLAR)
    if remainder or notional <= 0 or size <= 0:
        raise ValueError(f"price {price}/10000 x size {size}/1000000 has no exact positive notional")
    return (notional, size) if side is Side.BUY else (size, notional)


class OrderSigner:
    """Builds and signs post-only GTC orders of one wallet.

    Args:
        private_key: of the account that owns the API key.
        funder: the wallet that holds the funds; "" or the key's own address for signature type 0.
        signature_type: 0 EOA, 1 proxy, 2 Safe, 3 deposit wallet.
        chain_id: 137 for Polygon.
        owner: the API key; may be set later, but before the first order.
        now_ms: unix milliseconds, signed as the order's timestamp.
        salt: random numbers below 2**53, so that they survive JSON readers that use doubles.

    Raises:
        ValueError: an argument is impossible or they contradict each other; the key is never in the message.
    """

    def __init__(
        self,
        private_key: PrivateKey,
        funder: str,
        signature_type: int,
        chain_id: int,
        *,
        owner: str = "",
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        salt: Callable[[], int] = lambda: secrets.randbits(53),
    ) -> None:
        if signature_type not in range(4):
            raise ValueError(f"signature type {signature_type} is not one of 0, 1, 2, 3")
        if not funder and signature_type != EOA:
            raise ValueError(f"signature type {signature_type} needs the funder's address")
        self.maker = checksum_address(funder or private_key.address)
        if signature_type == EOA and self.maker != private_key.address:
            raise ValueError("signature type 0 trades from the key's own address; the funder is another one")
        self.signature_type = signature_type
        self.contracts: Contracts = load_contracts(chain_id)
        self._key = private_key
        self._now_ms = now_ms
        self._salt = salt
        self._owner = owner.encode()
        self._signer = self.maker if signature_type == POLY_1271 else private_key.address
        self._wallets = b"".join(bytes.fromhex(a[2:]).rjust(32, b"\0") for a in (self.maker, self._signer))
        self._sides = tuple(_word(side) + _word(signature_type) for side in (Side.BUY, Side.SELL))
        self._wrapping = (
            keccak(b"DepositWallet") + keccak(b"1") + _word(chain_id) + self._wallets[32:] + _ZERO
            if signature_type == POLY_1271
            else b""
        )
        self._token_words: dict[TokenId, bytes] = {}

    def __repr__(self) -> str:
        return f"OrderSigner(maker={self.maker}, signature_type={self.signature_type})"

    @property
    def owner(self) -> str:
        """The API key that orders are posted under; "" while there is none."""
        return self._owner.decode()

    @owner.setter
    def owner(self, api_key: str) -> None:
        self._owner = api_key.encode()

    def sign(self, token: TokenId, side: Side, price: Price, size: Size, *, neg_risk: bool) -> SignedOrder:
        """Build, hash and sign one order; `body` is the JSON envelope for POST /orders.

        Raises:
            ValueError: the token id is no uint256, or price and size have no exact notional.
            RuntimeError: there is no API key yet.
        """
        if not self._owner:
            raise RuntimeError("no API key yet: connect before signing")
        gives, gets = amounts(side, price, size)
        contract = self.contracts.for_token(token, neg_risk)
        salt, timestamp = self._salt(), self._now_ms()
        struct_hash = self.struct_hash(token, side, gives, gets, salt, timestamp)
        id_hash = keccak(b"\x19\x01" + contract.separator + struct_hash)
        signature = self._signature(contract, struct_hash, id_hash)
        body = self._envelope(token, side, gives, gets, salt, timestamp, signature)
        return SignedOrder(OrderId("0x" + id_hash.hex()), token, side, price, size, body)

    def struct_hash(self, token: TokenId, side: Side, gives: int, gets: int, salt: int, timestamp: int) -> bytes:
        """hashStruct(Order) for amounts in base units and a timestamp in milliseconds."""
        return keccak(
            b"".join(
                (
                    _ORDER_TYPE_HASH,
                    _word(salt),
                    self._wallets,
                    self._token_word(token),
                    _word(gives),
                    _word(gets),
                    self._sides[side],
                    _word(timestamp),
                    _ZERO,
                    _ZERO,
                )
            )
        )

    def _token_word(self, token: TokenId) -> bytes:
        word = self._token_words.get(token)
        if word is None:
            word = _word(token_number(token))
            if len(self._token_words) >= _TOKENS_CACHED:
                self._token_words.clear()
            self._token_words[token] = word
        return word

    def _signature(self, contract: Contract, struct_hash: bytes, id_hash: bytes) -> bytes:
        """The signature as it is posted, without 0x: 65 bytes, or the wrapped form of a deposit wallet."""
        if self.signature_type != POLY_1271:
            return self._key.sign(id_hash)
        wrapped = keccak(_WRAPPED_TYPE_HASH + struct_hash + self._wrapping)
        inner = self._key.sign(keccak(b"\x19\x01" + contract.separator + wrapped))
        return inner + contract.separator + struct_hash + ORDER_TYPE + len(ORDER_TYPE).to_bytes(2, "big")

    def _envelope(
        self, token: TokenId, side: Side, gives: int, gets: int, salt: int, timestamp: int, signature: bytes
    ) -> bytes:
        return (
            b'{"order":{"salt":%d,"maker":"%b","signer":"%b","tokenId":"%b","makerAmount":"%d","takerAmount":"%d",'
            b'"side":"%b","expiration":"0","signatureType":%d,"timestamp":"%d","metadata":"%b","builder":"%b",'
            b'"signature":"0x%b"},"owner":"%b","orderType":"GTC","deferExec":false,"postOnly":true}'
        ) % (
            salt,
            self.maker.encode(),
            self._signer.encode(),
            token.encode(),
            gives,
            gets,
            b"SELL" if side else b"BUY",
            self.signature_type,
            timestamp,
            _ZERO_HEX,
            _ZERO_HEX,
            signature.hex().encode(),
            self._owner,
        )


def batch_body(orders: Sequence[SignedOrder]) -> bytes:
    """The body of POST /orders: the envelopes exactly as they were built, in one array."""
    return b"[" + b",".join([order.body for order in orders]) + b"]"
