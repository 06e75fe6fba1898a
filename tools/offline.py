"""Run a command with no network at all: `unshare -rn python tools/offline.py COMMAND...` (Linux; see `make offline`).

Inside the new network namespace there is one interface, loopback, and it is down. Jupyter talks to its kernels over
it, so it is brought up; then it is checked that nothing else is there and that no connection leaves the machine.
"""

import fcntl
import os
import socket
import struct
import sys

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1          # from linux/sockios.h and linux/if.h


def loopback_up():
    """What `ip link set lo up` does, where iproute2 is not installed."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(sock, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def main(command: list[str]):
    names = [name for _, name in socket.if_nameindex()]
    if names != ["lo"]:
        raise SystemExit(f"offline: this is no namespace of its own, it has {', '.join(names)}. "
                         "Start it as: unshare -rn python tools/offline.py COMMAND...")
    loopback_up()
    print("offline: no interface but loopback", flush=True)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
