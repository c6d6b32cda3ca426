"""Sends or receives numbered UDP datagrams, unicast or multicast, IPv4 or IPv6, and says which ones were lost.

stream.py send ADDRESS PORT RATE SECONDS INTERFACE      prints the number sent
stream.py receive ADDRESS PORT SECONDS INTERFACE        prints "received N distinct M highest K missing a,b,c"
"""

import ipaddress
import socket
import struct
import sys
import time

SIZE = 200


def socket_for(address):
    return socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)


def send(address, port, rate, seconds, interface):
    sender = socket_for(address)
    if ipaddress.ip_address(address).is_multicast:
        index = socket.if_nametoindex(interface)
        if ":" in address:
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 16)
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        else:
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 16)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("4s4si", b"", b"", index))
    start = time.monotonic()
    total = int(rate * seconds)
    for number in range(total):
        pause = start + number / rate - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        sender.sendto(struct.pack(">I", number) + bytes(SIZE - 4), (address, port))
    print(total)


def receive(address, port, seconds, interface):
    multicast = ipaddress.ip_address(address).is_multicast
    receiver = socket_for(address)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    receiver.bind(("::" if ":" in address else "", port))
    if multicast:
        index = socket.if_nametoindex(interface)
        if ":" in address:
            join = socket.inet_pton(socket.AF_INET6, address) + struct.pack("@i", index)
            receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, join)
        else:
            join = struct.pack("4s4si", socket.inet_aton(address), b"\0\0\0\0", index)
            receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, join)
    receiver.settimeout(0.2)
    deadline = time.monotonic() + seconds
    received, seen = 0, set()
    while time.monotonic() < deadline:
        try:
            data = receiver.recv(65536)
        except socket.timeout:
            continue
        received += 1
        seen.add(struct.unpack(">I", data[:4])[0])
    highest = max(seen, default=-1)
    missing = [str(number) for number in range(highest + 1) if number not in seen]
    print(f"received {received} distinct {len(seen)} highest {highest} missing {','.join(missing[:20]) or '-'}")


if sys.argv[1] == "send":
    send(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5]), sys.argv[6])
else:
    receive(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), sys.argv[5])
