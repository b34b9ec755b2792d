"""
Sends frames as they are: for each line INTERFACE HEX... of standard input, one frame a word.
Answers each line with how many went out.
"""
import socket
import sys

ETH_P_ALL = 3

for line in sys.stdin:
    interface, *frames = line.split()
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    link.bind((interface, ETH_P_ALL))
    sent = 0
    for frame in frames:
        sent += link.send(bytes.fromhex(frame)) > 0
    link.close()
    print(sent, flush=True)
