"""One end of a GRE tunnel (RFC 2784) between two addresses of either family: gre.py OWN PEER INNER

The kernel's own needs its module ip_gre; this takes a raw socket and a TUN device `gre-test`, which has the address
INNER/24. It carries IPv4 inside. Prints `ready`.
"""

import fcntl
import os
import select
import socket
import struct
import subprocess
import sys

own, peer, inner = sys.argv[1:]
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 1, 0x1000
GRE = 47
HEADER = struct.pack("!HH", 0, 0x0800)  # no checksum, no key; IPv4 follows

tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"gre-test", IFF_TUN | IFF_NO_PI))
subprocess.run(["ip", "address", "add", inner + "/24", "dev", "gre-test"], check=True)
subprocess.run(["ip", "link", "set", "gre-test", "up", "mtu", "1400"], check=True)

family = socket.AF_INET6 if ":" in own else socket.AF_INET
carrier = socket.socket(family, socket.SOCK_RAW, GRE)
carrier.bind((own, 0))
carrier.connect((peer, 0))
print("ready", flush=True)
while True:
    readable, _, _ = select.select([tun, carrier], [], [])
    if tun in readable:
        packet = os.read(tun, 2000)
        if packet[0] >> 4 == 4:  # a kernel looks for IPv6 routers by itself
            carrier.send(HEADER + packet)
    if carrier in readable:
        packet = carrier.recv(2000)
        if family == socket.AF_INET:  # a raw socket of IPv4 gives its header too
            packet = packet[(packet[0] & 15) * 4 :]
        if packet[:4] == HEADER:
            os.write(tun, packet[4:])
