"""Two hosts on this machine: network namespaces with names and addresses of their own, joined by a bridge."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import pytest


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=20)


@dataclass(frozen=True)
class Host:
    """number: 1 or 2. key: what is this process's own in the names of namespaces and devices, which the whole machine shares."""

    number: int
    key: str

    @property
    def name(self) -> str:
        return f"host{self.number}"

    @property
    def address(self) -> str:
        return f"10.78.0.{self.number}"

    @property
    def space(self) -> str:
        return f"recsys-{self.key}-{self.number}"

    @property
    def interface(self) -> str:
        return f"eth{self.key}"

    @property
    def plug(self) -> str:
        """The bridge's end of the cable."""
        return f"p{self.key}-{self.number}"

    def start(self, command: Sequence[str], variables: Mapping[str, str], output: TextIO, errors: TextIO) -> subprocess.Popen[str]:
        """Run a command on this host, where its name and hosts file are its own; a session of its own, so that all of it can be killed."""
        inside = ["ip", "netns", "exec", self.space, "unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', self.name, *command]
        environment = {**os.environ, **variables}
        return subprocess.Popen(inside, stdout=output, stderr=errors, text=True, env=environment, start_new_session=True)

    def knows(self, names: Mapping[str, str]) -> None:
        """Write its hosts file: name -> address."""
        lines = "".join(f"{address} {name}\n" for name, address in {"localhost": "127.0.0.1", **names}.items())
        (Path("/etc/netns") / self.space / "hosts").write_text(lines)

    def plugged(self, yes: bool) -> None:
        """Put the cable in, or pull it."""
        ip("-n", self.space, "link", "set", self.interface, "up" if yes else "down")

    def lay(self, bridge: str) -> None:
        (Path("/etc/netns") / self.space).mkdir(parents=True)
        ip("netns", "add", self.space)
        ip("link", "add", self.interface, "netns", self.space, "type", "veth", "peer", "name", self.plug)
        ip("link", "set", self.plug, "master", bridge, "up")
        ip("-n", self.space, "addr", "add", f"{self.address}/24", "dev", self.interface)
        ip("-n", self.space, "link", "set", "lo", "up")
        self.plugged(True)
        # How often TCP sends again before it gives a connection up: 25 s instead of a quarter of an hour.
        subprocess.run(["ip", "netns", "exec", self.space, "sysctl", "-qw", "net.ipv4.tcp_retries2=6"], check=True)

    def remove(self) -> None:
        for words in (("netns", "del", self.space), ("link", "del", self.plug)):
            subprocess.run(["ip", *words], check=False, capture_output=True)
        shutil.rmtree(Path("/etc/netns") / self.space, ignore_errors=True)


@contextmanager
def two_hosts() -> Iterator[list[Host]]:
    """Skips where this process may not make them."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "unshare", "sysctl"))):
        pytest.skip("two hosts on one machine need root, iproute2 and util-linux")
    key = str(os.getpid() % 10**6)
    hosts, bridge = [Host(number, key) for number in (1, 2)], f"br{key}"
    try:
        try:
            ip("link", "add", bridge, "type", "bridge")
            ip("link", "set", bridge, "up")
            for host in hosts:
                host.lay(bridge)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"this machine lets nobody make network namespaces: {error.stderr or error}")
        yield hosts
    finally:
        for host in hosts:
            host.remove()
        subprocess.run(["ip", "link", "del", bridge], check=False, capture_output=True)
