"""API keys and the wallets behind them, and the dead-man switch of each key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import uuid
from dataclasses import dataclass

from mm_daemon.sim.model import ApiKey, Refusal

HEARTBEAT_MS = 10_000
"""A key whose last accepted heartbeat is older loses all its orders."""


class KeyRing:
    """Issues API keys; the same wallet and nonce always derive the same triple, also after a restart."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._keys: dict[str, ApiKey] = {}
        self._by_wallet: dict[tuple[str, int], ApiKey] = {}
        self._wallets: dict[str, str] = {}
        self._makers: dict[tuple[str, int], str] = {}

    def create(self, eoa: str, nonce: int) -> ApiKey:
        """A new key for a wallet and nonce.

        Raises:
            Refusal: there is one already.
        """
        if (eoa.lower(), nonce) in self._by_wallet:
            raise Refusal("Could not create api key")
        key = self._make(eoa.lower(), nonce)
        self._keys[key.key] = self._by_wallet[key.eoa, nonce] = key
        return key

    def derive(self, eoa: str, nonce: int) -> ApiKey:
        """The existing key of a wallet and nonce.

        Raises:
            Refusal: there is none.
        """
        key = self._by_wallet.get((eoa.lower(), nonce))
        if key is None:
            raise Refusal("Could not derive api key!")
        return key

    def find(self, key: str) -> ApiKey:
        """The key with this id.

        Raises:
            Refusal: 401, no such key.
        """
        found = self._keys.get(key)
        if found is None:
            raise Refusal("Unauthorized/Invalid api key", 401)
        return found

    def of_wallet(self, eoa: str) -> list[ApiKey]:
        """Every key of a wallet."""
        return [key for key in self._keys.values() if key.eoa == eoa.lower()]

    def delete(self, key: ApiKey) -> None:
        """Take a key out of use."""
        del self._keys[key.key]
        del self._by_wallet[key.eoa, key.nonce]

    def claim(self, eoa: str, signature_type: int, maker: str) -> None:
        """Tie a funding wallet to the EOA that trades for it; the first one to sign for it keeps it.

        Raises:
            Refusal: the wallet belongs to another EOA, or the EOA trades from another wallet of this type.
        """
        owner = self._wallets.setdefault(maker.lower(), eoa.lower())
        if owner != eoa.lower():
            raise Refusal("the order signer address has to be the address of the API KEY")
        if self._makers.setdefault((eoa.lower(), signature_type), maker.lower()) != maker.lower():
            raise Refusal("maker address not allowed, please use the deposit wallet flow")

    def maker_of(self, eoa: str, signature_type: int) -> str | None:
        """The funding wallet of an EOA for a signature type, lower case; None before its first order."""
        return eoa.lower() if signature_type == 0 else self._makers.get((eoa.lower(), signature_type))

    def makers_of(self, eoa: str) -> set[str]:
        """Every funding wallet that is tied to an EOA, itself included; lower case."""
        return {eoa.lower()} | {wallet for wallet, owner in self._wallets.items() if owner == eoa.lower()}

    def _make(self, eoa: str, nonce: int) -> ApiKey:
        def digest(purpose: str) -> bytes:
            return hmac.digest(str(self._seed).encode(), f"{purpose}:{eoa}:{nonce}".encode(), hashlib.sha256)

        return ApiKey(
            key=str(uuid.UUID(bytes=digest("key")[:16], version=4)),
            secret=base64.urlsafe_b64encode(digest("secret")).decode(),
            passphrase=digest("passphrase").hex(),
            eoa=eoa,
            nonce=nonce,
        )


@dataclass(slots=True)
class Heartbeat:
    """An armed switch: the id that the next send has to carry, and when it goes off."""

    id: str
    deadline_ms: int


class WrongHeartbeat(Exception):
    """A heartbeat carried another id than the expected one."""

    def __init__(self, expected: str) -> None:
        super().__init__(expected)
        self.expected = expected


class Heartbeats:
    """The dead-man switches by API key. The clock is an argument."""

    def __init__(self) -> None:
        self._armed: dict[str, Heartbeat] = {}
        self._sent = 0

    def send(self, key: str, id: str, now_ms: int) -> Heartbeat:
        """Accept a heartbeat and move the deadline.

        Raises:
            WrongHeartbeat: not the expected id; the deadline stays.
        """
        expected = self._armed[key].id if key in self._armed else ""
        if id != expected:
            raise WrongHeartbeat(expected)
        return self._arm(key, now_ms)

    def touch(self, key: str, now_ms: int) -> Heartbeat:
        """Accept the old heartbeat, which carries no id."""
        return self._arm(key, now_ms)

    def expire(self, key: str, now_ms: int) -> bool:
        """Forget a switch whose deadline has passed; returns whether it went off."""
        beat = self._armed.get(key)
        if beat is None or now_ms < beat.deadline_ms:
            return False
        del self._armed[key]
        return True

    def forget(self, key: str) -> bool:
        """Disarm a switch as if its deadline had passed; returns whether there was one."""
        return self._armed.pop(key, None) is not None

    def _arm(self, key: str, now_ms: int) -> Heartbeat:
        self._sent += 1
        id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"heartbeat:{key}:{self._sent}"))
        self._armed[key] = Heartbeat(id, now_ms + HEARTBEAT_MS)
        return self._armed[key]
