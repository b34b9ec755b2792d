"""
Sends UDP datagrams in fragments that no ordinary sender makes: fragments.py SOURCE DESTINATION PORT.
Prints a line for each sequence: its name, a tab, and the answer that came, or nothing.
"""
import logging
import socket
import sys

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.all import IP, TCP, UDP, Raw, raw
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment

WAIT_SECONDS = 0.4
SOURCE_PORT = 5000

source, destination, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
is6 = ":" in source
family = socket.AF_INET6 if is6 else socket.AF_INET
link = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
listener = socket.socket(family, socket.SOCK_DGRAM)
listener.bind((source, SOURCE_PORT))
listener.settimeout(WAIT_SECONDS)


def whole(transport):
    """The bytes behind the IP header, with their checksum."""
    packet = (IPv6 if is6 else IP)(src=source, dst=destination) / transport
    return raw((IPv6 if is6 else IP)(raw(packet)).payload)


def piece(data, start, end, identification, more=None, protocol=17):
    """Bytes start … end of a datagram as one fragment; `more` unless they are its last."""
    more = int(end < len(data) if more is None else more)
    payload = Raw(data[start:end])
    if is6:
        header = IPv6ExtHdrFragment(nh=protocol, id=identification, offset=start // 8, m=more)
        return IPv6(src=source, dst=destination) / header / payload
    flags = "MF" if more else 0
    return IP(src=source, dst=destination, proto=protocol, id=identification, flags=flags, frag=start // 8) / payload


def question(name):
    return whole(UDP(sport=SOURCE_PORT, dport=port) / Raw(name.ljust(56, ".").encode()))


def answer():
    try:
        return listener.recv(65535).decode().rstrip(".")
    except socket.timeout:
        return ""


SYN = whole(TCP(sport=40000, dport=5432, flags="S"))

# What each sends: (start, end), or (start, end, more); of 64 bytes.
SEQUENCES = {
    "in order": [(0, 24), (24, 48), (48, 64)],
    "last first": [(48, 64), (24, 48), (0, 24)],
    "the rest reversed": [(0, 24), (48, 64), (24, 48)],
    "each twice": [(0, 24), (0, 24), (24, 64, True), (24, 64, True)],
    "twice but the last": [(0, 24), (24, 48), (24, 48), (48, 64)],
    "overlap": [(0, 24), (24, 48), (40, 64)],
    "teardrop": [(0, 40), (24, 32, False)],
    "a second first": [(0, 24), (0, 32), (32, 64)],
    "beyond the end": [(0, 24), (48, 64), (64, 64 + 8, True)],
    "the last alone": [(48, 64)],
}

for number, (name, pieces) in enumerate(SEQUENCES.items()):
    data = question(name)
    for start, end, *more in pieces:
        packet = piece(data + bytes(8), start, end, 1000 + number, (more or [end < len(data)])[0])
        link.sendto(raw(packet), ("eth0", 0x86DD if is6 else 0x0800))
    print(name, answer(), sep="\t")

for start, end in [(0, 8), (8, 20)]:
    packet = piece(SYN, start, end, 2000, protocol=6)
    link.sendto(raw(packet), ("eth0", 0x86DD if is6 else 0x0800))
print("tiny", answer(), sep="\t")
