"""Whether a request or an order is signed by whom it says, checked with the official client's code and never with ours.

Orders: the typed data, order hash and type-3 layout are those of `py_clob_client_v2`; the contract is chosen here from
the market. L1: the official ClobAuth struct. L2: the official HMAC, compared in constant time.
"""

from __future__ import annotations

import hmac
from functools import cache
from typing import Any

from eth_abi.abi import encode as abi_encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_keys.exceptions import BadSignature
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError
from py_clob_client_v2.config import get_contract_config  # type: ignore[import-untyped]
from py_clob_client_v2.order_utils import exchange_order_builder_v2 as official  # type: ignore[import-untyped]
from py_clob_client_v2.order_utils.model.order_data_v2 import OrderV2  # type: ignore[import-untyped]
from py_clob_client_v2.signing.eip712 import MSG_TO_SIGN, get_clob_auth_domain  # type: ignore[import-untyped]
from py_clob_client_v2.signing.hmac import build_hmac_signature  # type: ignore[import-untyped]
from py_clob_client_v2.signing.model import ClobAuth  # type: ignore[import-untyped]

from mm_daemon.core.units import OrderId
from mm_daemon.sim.model import Refusal

POLY_1271 = 3
PLAIN_BYTES = 65
_POSITION_BITS = ((1 << 64) - 1) << 40


def is_position_id(token: int) -> bool:
    """Whether an asset id is a "protocol v2" position, which trades on Exchange V3: bits 40 to 103 are zero."""
    return token & _POSITION_BITS == 0


@cache
def exchange_contracts(chain_id: int) -> tuple[str, ...]:
    """The exchange contracts of a chain: standard, neg-risk and V3."""
    config = get_contract_config(chain_id)
    return (config.exchange_v2, config.neg_risk_exchange_v2, config.exchange_v3)


class OrderVerifier:
    """Checks order signatures and computes order ids for one chain."""

    def __init__(self, chain_id: int) -> None:
        self._chain_id = chain_id
        standard, neg_risk, position = exchange_contracts(chain_id)
        self._contracts = {"standard": (standard, "2"), "neg_risk": (neg_risk, "2"), "position": (position, "3")}
        self._builder = cache(self._make_builder)

    def order_id(self, order: OrderV2, *, neg_risk: bool) -> OrderId:
        """The order's EIP-712 hash under its market's exchange."""
        builder = self._builder_for(order, neg_risk)
        return OrderId(builder.build_order_hash(builder.build_order_typed_data(order)).lower())

    def check_signature(self, order: OrderV2, signature: str, *, neg_risk: bool, eoa: str) -> None:
        """Check that `eoa` signed `order` for the exchange of its market.

        Raises:
            Refusal: another key, another contract, or not the layout that the signature type asks for.
        """
        builder = self._builder_for(order, neg_risk)
        try:
            if int(order.signatureType) == POLY_1271:
                signer = self._recover_wrapped(builder, order, _bytes(signature))
            else:
                typed = encode_typed_data(full_message=builder.build_order_typed_data(order))
                signer = Account.recover_message(typed, signature=_plain(signature))
        except (ValueError, TypeError, BadSignature, ValidationError) as error:
            raise Refusal("invalid signature") from error
        if signer.lower() != eoa.lower():
            raise Refusal("invalid signature")

    def _builder_for(self, order: OrderV2, neg_risk: bool) -> Any:
        if is_position_id(int(order.tokenId)):
            return self._builder("position")
        return self._builder("neg_risk" if neg_risk else "standard")

    def _make_builder(self, kind: str) -> Any:
        contract, version = self._contracts[kind]
        return official.ExchangeOrderBuilderV2(contract, self._chain_id, None, domain_version=version)

    def _recover_wrapped(self, builder: Any, order: OrderV2, signature: bytes) -> str:
        """The signer of a deposit wallet's order: 65 bytes, domain, struct hash, type string and its length.

        Raises:
            ValueError: the wrapping is not the official one, byte for byte.
        """
        typed = encode_typed_data(full_message=builder.build_order_typed_data(order))
        type_text = official.ORDER_TYPE_STRING.encode()
        wrapping = builder.app_domain_separator + typed.body + type_text + len(type_text).to_bytes(2, "big")
        if signature[PLAIN_BYTES:] != wrapping:
            raise ValueError("not the wrapping of a deposit wallet's signature")
        struct = abi_encode(
            ["bytes32", "bytes32", "bytes32", "bytes32", "uint256", "address", "bytes32"],
            [
                official.SOLADY_TYPE_HASH,
                typed.body,
                official.DEPOSIT_WALLET_NAME_HASH,
                official.DEPOSIT_WALLET_VERSION_HASH,
                self._chain_id,
                order.signer,
                official.DEPOSIT_WALLET_DOMAIN_SALT,
            ],
        )
        digest = keccak(b"\x19\x01" + builder.app_domain_separator + keccak(struct))
        return str(Account._recover_hash(digest, signature=signature[:PLAIN_BYTES]))


def check_l1(address: str, signature: str, timestamp: str, nonce: str, chain_id: int) -> None:
    """Check the wallet signature that creates or derives an API key.

    Raises:
        Refusal: 401, not signed by `address`.
    """
    try:
        message = ClobAuth(address=address, timestamp=timestamp, nonce=int(nonce), message=MSG_TO_SIGN)
        digest = keccak(message.signable_bytes(get_clob_auth_domain(chain_id)))
        signer = Account._recover_hash(digest, signature=_plain(signature))
    except (ValueError, TypeError, BadSignature, ValidationError) as error:
        raise Refusal("Invalid L1 Request headers", 401) from error
    if signer.lower() != address.lower():
        raise Refusal("Invalid L1 Request headers", 401)


def check_l2(secret: str, signature: str, timestamp: str, method: str, path: str, body: str) -> None:
    """Check the HMAC of a private request.

    Raises:
        Refusal: 401, the signature is not that of these bytes.
    """
    expected = build_hmac_signature(secret, timestamp, method, path, body)
    if not hmac.compare_digest(expected.encode(), signature.encode()):
        raise Refusal("Unauthorized/Invalid api key", 401)


def _bytes(signature: str) -> bytes:
    return bytes.fromhex(signature.removeprefix("0x"))


def _plain(signature: str) -> bytes:
    """A wallet's own signature.

    Raises:
        ValueError: not 65 bytes.
    """
    plain = _bytes(signature)
    if len(plain) != PLAIN_BYTES:
        raise ValueError(f"a signature of {len(plain)} bytes")
    return plain
