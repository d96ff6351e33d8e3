"""What failures of the network between ranks mean, in one line."""

from __future__ import annotations

import ipaddress
import os
import re
import socket

from recsys.errors import InputError, PeerLost

_SILENT = re.compile(
    r"Application timeout caused pair closure|Timed out waiting \d+ms|[Ww]ait timeout after|(?:Read|Connect) timeout"
    r"|gloo/.*(?:No route to host|Connection timed out)"
)
_CLOSED = re.compile(r"gloo/.*(?:closed by peer|reset by peer|Broken pipe)|Connection was likely closed")
INTERFACE = "GLOO_SOCKET_IFNAME"


def check_network() -> None:
    """Raise InputError where gloo can't have an address of this machine, or would give the others one that leads them to themselves.

    It takes the address that the machine's name resolves to, unless GLOO_SOCKET_IFNAME names interfaces.
    """
    known = [name for _, name in socket.if_nameindex()]
    for name in filter(None, os.environ.get(INTERFACE, "").split(",")):
        if name not in known:
            raise InputError(f"{INTERFACE}={name}: this machine has no such network interface; it has {', '.join(known)}")
    here_alone = os.environ.get("LOCAL_WORLD_SIZE") == os.environ.get("WORLD_SIZE") or _leads_home(os.environ.get("MASTER_ADDR", ""))
    if here_alone or os.environ.get(INTERFACE) or not _leads_home(name := socket.gethostname()):
        return
    raise InputError(
        f"no other machine finds this one by the address that its name {name!r} leads to; mend /etc/hosts, or name the interface that the "
        f"machines share with {INTERFACE} (here are {', '.join(known)})"
    )


def _leads_home(name: str) -> bool:
    """Whether a name leads nowhere or to this very machine."""
    try:
        return ipaddress.ip_address(socket.gethostbyname(name)).is_loopback
    except OSError:
        return True


def explain(error: BaseException, timeout: float) -> InputError | PeerLost | None:
    """What an error of a process group means; None for one that isn't the network's.

    timeout: seconds that a rank waits for the others.
    """
    text = str(error)
    if "Unable to find address for" in text:
        return InputError(f"{INTERFACE}={os.environ.get(INTERFACE)}: that interface of {socket.gethostname()} has no address")
    who = f"rank {os.environ.get('RANK', '0')} on {socket.gethostname()}"
    peer = re.search(r"\[([0-9a-fA-F.:]+)\]:\d+", text)
    at = f" at {peer[1]}" if peer else ""
    if _SILENT.search(text):
        return PeerLost(
            f"{who} hears nothing more from another rank{at} (train.timeout is {timeout:g} s): its process hangs, or its machine or the "
            "network to it is gone; --resume goes on from the last checkpoint"
        )
    if _CLOSED.search(text):
        return PeerLost(
            f"{who} lost its connection to another rank{at}, which has ended and says why itself, or was killed; "
            "--resume goes on from the last checkpoint"
        )
    return None
