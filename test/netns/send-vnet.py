"""
Sends frames with a virtio header of their own, as root of an instance can (packet(7), PACKET_VNET_HDR): for each
line INTERFACE ETHERTYPE HEADER FRAME of standard input. Answers each line with what the kernel said: sent or refused.
"""
import socket
import sys

SOL_PACKET = 263
PACKET_VNET_HDR = 15

for line in sys.stdin:
    interface, ether_type, header, frame = line.split()
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    link.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    link.bind((interface, int(ether_type, 16)))
    try:
        link.send(bytes.fromhex(header + frame))
        print('sent', flush=True)
    except OSError as error:
        print('refused', error, flush=True)
    link.close()
