"""Reads one Scapy expression a line, writes the packet each makes as one line of hexadecimal."""
import logging
import sys

logging.getLogger("scapy").setLevel(logging.ERROR)
import scapy.all
from scapy.layers.inet6 import *  # noqa: F403, also ICMPv6 and extension headers

names = {**vars(scapy.all), **globals()}
for line in sys.stdin:
    print(bytes(eval(line, names)).hex())
