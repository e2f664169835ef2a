"""Which wallets belong to a key: their addresses follow from the key's own, by CREATE2, without asking anybody.

So a `funder` that stands in the settings with the wrong signature type, or belongs to another key, is found before the
venue refuses the first order. Deposit wallets exist in two generations, which share a factory.
"""

from __future__ import annotations

from mm_daemon.exchange.polymarket.keys import checksum_address, keccak

CHAIN_ID = 137
"""The chain that the factories below are on."""
TYPE_NAMES = ("the key's own address", "a proxy wallet", "a Safe", "a deposit wallet")
"""By signature type."""

_PROXY_FACTORY = bytes.fromhex("aB45c5A4B0c941a2F231C04C3f49182e1A254052")
_PROXY_IMPLEMENTATION = bytes.fromhex("44e999d5c2F66Ef0861317f9A4805AC2e90aEB4f")
_SAFE_FACTORY = bytes.fromhex("aacFeEa03eb1561C4e67d661e40682Bd20E3541b")
_SAFE_CODE_HASH = bytes.fromhex("2bce2127ff07fb632d16c8347c4ebf501f4841168bed00d9e6ef715ddb6fcecf")
_DEPOSIT_FACTORY = bytes.fromhex("00000000000Fb5C9ADea0298D729A0CB3823Cc07")
_DEPOSIT_IMPLEMENTATION = bytes.fromhex("58CA52ebe0DadfdF531Cde7062e76746de4Db1eB")
_DEPOSIT_BEACON = bytes.fromhex("7A18EDfe055488A3128f01F563e5B479D92ffc3a")

# Creation code of minimal proxies, around the address that they delegate to. The first bytes of the two deposit kinds
# hold the length of the arguments that follow the code.
_PROXY_CODE = (
    bytes.fromhex("3d3d606380380380913d393d73"),
    bytes.fromhex("5af4602a57600080fd5b602d8060366000396000f3363d3d373d3d3d363d73"),
    bytes.fromhex("5af43d82803e903d91602b57fd5bf352e831dd"),
)
_UUPS_HEAD = 0x61003D3D8160233D3973
_UUPS_TAIL = bytes.fromhex(
    "60095155f3363d3d373d3d363d7f360894a13ba1a3210667c828492db98dca3e2076"
    "cc3735a920a3ca505d382bbc545af43d6000803e6038573d6000fd5b3d6000f3"
)
_BEACON_HEAD = 0x6100523D8160233D3973
_BEACON_TAIL = bytes.fromhex(
    "60195155f3363d3d373d3d363d602036600436635c60da"
    "1b60e01b36527fa3f0ad74e5423aebfd80d3ef4346578335a9a72aeaee59ff6c"
    "b3582b35133d50545afa5036515af43d6000803e604d573d6000fd5b3d6000f3"
)


def wallets_of(account: str) -> dict[int, tuple[str, ...]]:
    """The checksummed addresses that trade for a key, by signature type.

    Args:
        account: the key's own address.
    """
    owner = bytes.fromhex(account.removeprefix("0x"))
    word = owner.rjust(32, b"\0")
    arguments = _DEPOSIT_FACTORY.rjust(32, b"\0") + word
    salt = keccak(arguments)
    return {
        0: (checksum_address(account),),
        1: (_created(_PROXY_FACTORY, keccak(owner), keccak(_proxy_code())),),
        2: (_created(_SAFE_FACTORY, keccak(word), _SAFE_CODE_HASH),),
        3: tuple(
            _created(_DEPOSIT_FACTORY, salt, keccak(_with_arguments(head, target, tail, arguments)))
            for head, target, tail in (
                (_BEACON_HEAD, _DEPOSIT_BEACON, _BEACON_TAIL),
                (_UUPS_HEAD, _DEPOSIT_IMPLEMENTATION, _UUPS_TAIL),
            )
        ),
    }


def signature_type_of(account: str, wallet: str) -> int | None:
    """The signature type under which `wallet` trades for the key with this address; None if it is not its wallet."""
    found = checksum_address(wallet)
    return next((kind for kind, wallets in wallets_of(account).items() if found in wallets), None)


def _created(factory: bytes, salt: bytes, code_hash: bytes) -> str:
    return checksum_address("0x" + keccak(b"\xff" + factory + salt + code_hash)[12:].hex())


def _proxy_code() -> bytes:
    first, second, third = _PROXY_CODE
    empty_call = (32).to_bytes(32, "big") + bytes(32)
    return first + _PROXY_FACTORY + second + _PROXY_IMPLEMENTATION + third + empty_call


def _with_arguments(head: int, target: bytes, tail: bytes, arguments: bytes) -> bytes:
    return (head + (len(arguments) << 56)).to_bytes(10, "big") + target + tail + arguments
