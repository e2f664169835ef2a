"""Polymarket's CLOB V2: wire formats, authentication, signing, channels and the venue built of them.

`venue` is what the daemon uses; `market_channel` and `user_channel` are the websocket protocols without sockets. The
official client gives the addresses of the contracts; the tests compare every signature and key with its own.
"""
