"""Puts hostile frames on an interface: random octets, broken IP and ESP, ESP of the group with wrong contents, fragments.

flood.py INTERFACE SECONDS RATE SEED MAC_TO MAC_FROM SOURCE DESTINATION [SPI]
"""

import random
import socket
import struct
import sys
import time

interface, seconds, rate, seed = sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
to, sender = (bytes.fromhex(word.replace(":", "")) for word in sys.argv[5:7])
source, destination = (socket.inet_aton(word) for word in sys.argv[7:9])
spi = int(sys.argv[9], 0) if len(sys.argv) > 9 else 0x1234
dice = random.Random(seed)
port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
port.bind((interface, 0))


def ip(payload, protocol, ident=None, fragment=0):
    header = struct.pack(">BBHHHBBH4s4s", 0x45, dice.randrange(256), 20 + len(payload), ident or dice.randrange(65536),
                         fragment, dice.randrange(1, 256), protocol, 0, source, destination)
    total = sum(struct.unpack(">10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    total = ~(total + (total >> 16)) & 0xFFFF
    return header[:10] + struct.pack(">H", total) + header[12:] + payload


def frame():
    kind = dice.randrange(10)
    noise = dice.randbytes(dice.choice([0, 1, 7, 8, 16, 20, 60, 200, 1000, 1400]))
    if kind == 0:
        return noise[:1500]
    if kind == 1:
        return to + sender + struct.pack(">H", dice.choice([0x0800, 0x86DD, 0x0806, 0x8100, dice.randrange(65536)])) + noise
    if kind == 2:
        packet = bytearray(ip(noise, dice.choice([1, 6, 17, 50, 51, 253])))
        for _ in range(dice.randrange(1, 4)):
            packet[dice.randrange(20)] = dice.randrange(256)
        return to + sender + b"\x08\x00" + bytes(packet)
    if kind == 3:
        return to + sender + b"\x86\xdd" + bytes([0x60 | dice.randrange(16)]) + noise
    if kind in (4, 5):
        # Fragments that never make a datagram, many at a time.
        fragment = dice.choice([0x2000, 0x2001, 0x2000 | dice.randrange(0x2000), dice.randrange(0x2000)])
        return to + sender + b"\x08\x00" + ip(noise[:1400], 50, fragment=fragment)
    number = struct.pack(">I", spi if kind < 9 else dice.randrange(2**32))
    return to + sender + b"\x08\x00" + ip(number + struct.pack(">I", dice.randrange(2**32)) + noise[:1400], 50)


start = time.monotonic()
sent = 0
while time.monotonic() - start < seconds:
    for _ in range(20):
        try:
            port.send(frame())
            sent += 1
        except OSError:
            pass
    pause = start + sent / rate - time.monotonic()
    if pause > 0:
        time.sleep(pause)
print(sent)
