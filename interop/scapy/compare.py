"""Compares our ESP with scapy's, transform by transform: `interop/scapy/run` calls this with the path of esp_tool.

For each transform, implementation, IP version, kind of sequence number and packet length:
- both seal the same packet with the same keys and IV, and must give the same octets;
- scapy opens what ours sealed, in a tunnel that preserves both addresses, and ours opens what scapy sealed;
- each refuses the other's packet with one bit changed, or with another high half of the sequence number.
"""

import collections
import json
import logging
import random
import subprocess
import sys

logging.getLogger("scapy").setLevel(logging.ERROR)

from scapy.layers.inet import ICMP, IP, UDP  # noqa: E402
from scapy.layers.inet6 import IPv6  # noqa: E402
from scapy.layers.ipsec import AUTH_ALGOS, CRYPT_ALGOS, ESP, IPSecIntegrityError, SecurityAssociation  # noqa: E402
from scapy.packet import Raw  # noqa: E402

CIPHERS = {"null": "NULL", "des": "DES", "3des": "3DES"}
CIPHERS |= {f"aes{bits}-cbc": "AES-CBC" for bits in (128, 192, 256)}
CIPHERS |= {f"aes{bits}-gcm16": "AES-GCM" for bits in (128, 192, 256)}
CIPHERS |= {f"aes{bits}-gmac": "AES-NULL-GMAC" for bits in (128, 192, 256)}
MACS = {"hmac-md5": "HMAC-MD5-96", "hmac-sha1": "HMAC-SHA1-96", "hmac-sha256": "SHA2-256-128",
        "hmac-sha384": "SHA2-384-192", "hmac-sha512": "SHA2-512-256"}
# scapy always writes a GCM tag of 16 octets: cut, it is what the shorter ones are, but scapy cannot open those.
ONE_WAY = {f"aes{bits}-gcm{icv}": icv for bits in (128, 192, 256) for icv in (8, 12)}

# Octets behind the inner headers: every remainder of a 16-octet block, and the ends of what a network carries.
LENGTHS = [*range(17), 100, 512, 1000, 1372]
# Low and high half of the sequence number; None is one of 32 bits.
SEQUENCES = [(1, None), (0xFFFFFFFF, None), (7, 0), (0x80000001, 0x01020304)]

FAULTS = []
rng = random.Random(4303)


def main():
    tool = sys.argv[1]
    transforms = ask(tool, "list", [])
    known, unknown = [], []
    for transform in transforms:
        (known if scapy_names(transform["transform"]) else unknown).append(transform)
    checks = collections.Counter()
    for transform in known:
        name = transform["transform"]
        for backend in transform["backends"]:
            checks[name] += compare(tool, transform, backend)
    agreed = [name for name in checks if not any(fault.startswith(f"{name} ") for fault in FAULTS)]
    for name in checks:
        faults = [fault for fault in FAULTS if fault.startswith(f"{name} ")]
        if faults:
            print(f"scapy interop: DISAGREE in {len(faults)} of {checks[name]}, first: {faults[0]}")
    ours = {name for transform in known for name in scapy_names(transform["transform"])} | {"NULL"}
    both = [name for name in agreed if name not in ONE_WAY]
    one_way = [name for name in agreed if name in ONE_WAY]
    print(f"scapy interop: {len(both)} transforms agree both ways: {', '.join(both)}")
    print(f"scapy interop: {len(one_way)} transforms agree one way, scapy writes their ICV but does not open it: "
          f"{', '.join(one_way)}")
    print(f"scapy interop: {len(unknown)} of ours that scapy does not know: "
          f"{', '.join(transform['transform'] for transform in unknown) or 'none'}")
    print(f"scapy interop: scapy's that ours does not do: "
          f"{', '.join(sorted((set(CRYPT_ALGOS) | set(AUTH_ALGOS)) - ours))}")
    if not checks or min(checks.values()) == 0:
        print("scapy interop: nothing was compared")
        sys.exit(1)
    disagree = len(checks) - len(agreed)
    print(f"scapy interop: {sum(checks.values())} comparisons of {len(checks)} transforms: "
          f"{len(agreed)} passed, {disagree} failed")
    sys.exit(1 if disagree else 0)


def scapy_names(name):
    """Gives scapy's names of cipher and MAC, None for what it does not know."""
    cipher, _, mac = name.partition("+")
    scapy_cipher = "AES-GCM" if name in ONE_WAY else CIPHERS.get(cipher)
    scapy_mac = MACS.get(mac) if mac else "NULL"
    if scapy_cipher in CRYPT_ALGOS and scapy_mac in AUTH_ALGOS:
        return scapy_cipher, scapy_mac
    return None


def compare(tool, transform, backend):
    """Compares one transform by one of our implementations; gives the number of comparisons made."""
    name = transform["transform"]
    cipher, mac = scapy_names(name)
    # GMAC has its key and salt where the other transforms have the key of the MAC.
    is_gmac = cipher == "AES-NULL-GMAC"
    encryption = rng.randbytes(transform["encryption_key_len"])
    integrity = rng.randbytes(transform["integrity_key_len"])
    cut = 16 - ONE_WAY[name] if name in ONE_WAY else 0
    samples = []
    for version in (4, 6):
        for low, high in SEQUENCES:
            for length in LENGTHS:
                inner = packet(version, length)
                tunnel = (IP if version == 4 else IPv6)(src=inner.src, dst=inner.dst)
                sa = SecurityAssociation(
                    ESP, spi=0x10000000 | rng.getrandbits(16), seq_num=low, crypt_algo=cipher,
                    crypt_key=integrity if is_gmac else encryption or None, auth_algo=mac,
                    auth_key=None if is_gmac else integrity or None, tunnel_header=tunnel,
                    esn_en=high is not None, esn=high or 0)
                iv = rng.randbytes(transform["iv_len"])
                outer = sa.encrypt(inner, iv=iv)
                if (outer.src, outer.dst) != (inner.src, inner.dst):
                    FAULTS.append(f"{name} is not set up to preserve addresses")
                theirs = bytes(outer.payload)
                samples.append((version, low, high, inner, tunnel, sa, iv, theirs[:len(theirs) - cut]))

    keys = {"transform": name, "backend": backend, "encryption_key": encryption.hex(),
            "integrity_key": integrity.hex()}

    def opening(esp, high):
        return {**keys, "esp": esp.hex(), "esn_high": high}

    sealed = ask(tool, "seal", [
        {**keys, "spi": sa.spi, "seq": low, "esn_high": high, "iv": iv.hex(), "payload": bytes(inner).hex(),
         "next_header": 4 if version == 4 else 41}
        for version, low, high, inner, _, sa, iv, _ in samples])
    opened = ask(tool, "open", [opening(theirs, high) for _, _, high, *_, theirs in samples])
    forged = ask(tool, "open", [opening(flip(theirs), high) for _, _, high, *_, theirs in samples])
    shifted = ask(tool, "open", [opening(theirs, (high or 0) + 1) for _, _, high, *_, theirs in samples])

    for sample, ours, back, lie, late in zip(samples, sealed, opened, forged, shifted):
        version, low, high, inner, tunnel, sa, _, theirs = sample
        where = f"{name} by {backend}, IPv{version}, {len(inner)} octets, sequence {high}:{low}"
        expect(ours.get("esp") == theirs.hex(), f"{where}: sealed {ours}, scapy {theirs.hex()}")
        expect(back == {"payload": bytes(inner).hex(), "next_header": 4 if version == 4 else 41},
               f"{where}: opened {back}")
        expect(lie == {"error": "esp.bad-icv"}, f"{where}: a forged packet gave {lie}")
        expect(late == {"error": "esp.bad-icv"}, f"{where}: a wrong high half gave {late}")
        if cut == 0 and "esp" in ours:
            esp = bytes.fromhex(ours["esp"])
            expect(scapy_opens(sa, tunnel, esp) == bytes(inner), f"{where}: scapy does not open ours")
            expect(scapy_opens(sa, tunnel, flip(esp)) is None, f"{where}: scapy opens a forged packet")
    return len(samples) * (6 if cut == 0 else 4)


def packet(version, length):
    """Makes an inner packet with so many octets behind its headers."""
    layer = UDP(sport=5000, dport=6000) if length % 2 else ICMP()
    if version == 4:
        inner = IP(src="10.1.1.10", dst="10.2.2.20", ttl=63, id=rng.getrandbits(16)) / layer
        return IP(bytes(inner / Raw(rng.randbytes(length))))
    inner = IPv6(src="2001:db8:1::10", dst="2001:db8:2::20", hlim=63) / UDP(sport=5000, dport=6000)
    return IPv6(bytes(inner / Raw(rng.randbytes(length))))


def flip(esp):
    """Changes one bit behind the SPI."""
    forged = bytearray(esp)
    forged[rng.randrange(4, len(esp))] ^= 1 << rng.randrange(8)
    return bytes(forged)


def scapy_opens(sa, tunnel, esp):
    """Gives the inner packet, None when scapy refuses."""
    outer = type(tunnel)(bytes(tunnel / ESP(esp)))
    try:
        return bytes(sa.decrypt(outer))
    except IPSecIntegrityError:
        return None


def expect(holds, fault):
    if not holds:
        FAULTS.append(fault)


def ask(tool, command, requests):
    """Gives the tool's answers, one for each request."""
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    output = subprocess.run([tool, command], input=lines, check=True, capture_output=True, text=True).stdout
    answers = [json.loads(line) for line in output.splitlines()]
    if requests and len(answers) != len(requests):
        sys.exit(f"scapy interop: {len(requests)} requests, {len(answers)} answers")
    return answers


main()
