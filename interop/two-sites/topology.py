"""Two sites in network namespaces: a host behind a group member on each side, a router between them, a key server.

    h1 --- gm1 --- r --- gm2 --- h2
                   |
                   ks

Each group member is a bump in the wire: its LAN and WAN ports carry the host's own frames to the router, and its only
address, on the WAN port, is for key management. Everything is made under names of its own and removed at the end;
nothing leaves the namespaces. Needs root, iproute2, ethtool and smcroute.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time

HOSTS = {1: "10.1.0.10", 2: "10.2.0.10"}
HOSTS6 = {1: "2001:db8:1::10", 2: "2001:db8:2::10"}
MEMBERS = {1: "10.1.0.2", 2: "10.2.0.2"}
SERVER = "10.9.0.2"
GROUP = "239.1.1.1"
GROUP6 = "ff3e::1:1"


class Topology:
    """The namespaces, their links, and every process that was started in them."""

    def __init__(self, mtu=1500, offload=False):
        self.prefix = f"hm-ts{os.getpid()}"
        self.folder = tempfile.TemporaryDirectory(prefix=self.prefix)
        self.processes = []
        self.made = []
        self.mtu = mtu
        self.offload = offload

    def __enter__(self):
        # Whoever ends this program politely finds the namespaces gone.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            self.stop(process)
        for name in reversed(self.made):
            subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)
        self.folder.cleanup()

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def ns(self, name):
        return f"{self.prefix}-{name}"

    def command(self, name, *words):
        return ["ip", "netns", "exec", self.ns(name), *map(str, words)]

    def run(self, name, *words, check=True, timeout=120, **kwargs):
        done = subprocess.run(self.command(name, *words), timeout=timeout, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, **kwargs)
        if check and done.returncode != 0:
            raise RuntimeError(f"{name}: {' '.join(map(str, words))}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def spawn(self, name, *words, log=None, **kwargs):
        output = open(self.path(log), "w") if log else subprocess.DEVNULL
        process = subprocess.Popen(self.command(name, *words), stdout=output, stderr=output,
                                   stdin=subprocess.DEVNULL, **kwargs)
        self.processes.append(process)
        return process

    def stop(self, process, how=signal.SIGTERM):
        if process.poll() is None:
            process.send_signal(how)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process in self.processes:
            self.processes.remove(process)

    def text(self, name):
        with open(self.path(name), encoding="utf-8", errors="replace") as file:
            return file.read()

    def _build(self):
        for name in ["h1", "gm1", "r", "gm2", "h2", "ks"]:
            subprocess.run(["ip", "netns", "add", self.ns(name)], check=True)
            self.made.append(self.ns(name))
            self.run(name, "ip", "link", "set", "lo", "up")
        for site in (1, 2):
            self._link(f"h{site}", "eth0", f"gm{site}", "lan")
            self._link(f"gm{site}", "wan", "r", f"site{site}")
            self._address(f"h{site}", "eth0", f"{HOSTS[site]}/24", f"{HOSTS6[site]}/64")
            self._address(f"gm{site}", "wan", f"{MEMBERS[site]}/24")
            self._address("r", f"site{site}", f"10.{site}.0.1/24", f"2001:db8:{site}::1/64")
            for host in (f"h{site}", f"gm{site}"):
                self.run(host, "ip", "route", "add", "default", "via", f"10.{site}.0.1")
            self.run(f"h{site}", "ip", "-6", "route", "add", "default", "via", f"2001:db8:{site}::1")
        self._link("ks", "eth0", "r", "ks")
        self._address("ks", "eth0", f"{SERVER}/24")
        self._address("r", "ks", "10.9.0.1/24")
        self.run("ks", "ip", "route", "add", "default", "via", "10.9.0.1")
        for setting in ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]:
            self.run("r", "sysctl", "-qw", setting)
        self._multicast_routes()

    def _link(self, one, one_name, other, other_name):
        subprocess.run(["ip", "link", "add", one_name, "netns", self.ns(one), "mtu", str(self.mtu), "type", "veth",
                        "peer", "name", other_name, "netns", self.ns(other), "mtu", str(self.mtu)], check=True)
        for name, interface in [(one, one_name), (other, other_name)]:
            # A wire carries whole packets with their checksums: a veth pair hands on neither unless it is told to. Hosts
            # may hand large segments to the machine beside them, where that is wanted.
            if not (self.offload and other_name == "lan"):
                self.run(name, "ethtool", "-K", interface, "tx", "off", "rx", "off", "tso", "off", "gso", "off",
                         "gro", "off",
                         check=False)
            self.run(name, "sysctl", "-qw", f"net.ipv6.conf.{interface}.accept_dad=0", check=False)
            self.run(name, "ip", "link", "set", interface, "up")

    def _address(self, name, interface, *addresses):
        for address in addresses:
            family = ["-6"] if ":" in address else []
            words = ["nodad"] if family else []
            self.run(name, "ip", *family, "addr", "add", address, "dev", interface, *words)

    def _multicast_routes(self):
        with open(self.path("smcroute.conf"), "w", encoding="ascii") as file:
            for one, other in ((1, 2), (2, 1)):
                file.write(f"mroute from site{one} source {HOSTS[one]} group {GROUP} to site{other}\n")
                file.write(f"mroute from site{one} source {HOSTS6[one]} group {GROUP6} to site{other}\n")
        self.spawn("r", "smcrouted", "-n", "-f", self.path("smcroute.conf"), "-i", self.prefix,
                   "-u", self.path("smcroute.sock"), "-P", self.path("smcroute.pid"), log="smcroute.log")

    def set_transit_mtu(self, mtu):
        """Narrows the link of site 2 at the router, which the group members cannot see."""
        self.run("r", "ip", "link", "set", "site2", "mtu", mtu)

    def bridge(self, site):
        """Puts a plain bridge in the place of a group member: the wire without protection, for comparison."""
        name = f"gm{site}"
        self.run(name, "ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        for interface in ("lan", "wan"):
            self.run(name, "ip", "link", "set", interface, "master", "br0")
        self.run(name, "ip", "link", "set", "br0", "up")

    def route(self, site):
        """Makes the machine of a group member a router instead, as gateways that build tunnels to each other are."""
        name = f"gm{site}"
        self.run(name, "ip", "addr", "flush", "dev", "wan")
        self.run(name, "ip", "addr", "add", f"172.16.{site}.2/24", "dev", "wan")
        self.run(name, "ip", "addr", "add", f"10.{site}.0.1/24", "dev", "lan")
        self.run(name, "ip", "route", "replace", "default", "via", f"172.16.{site}.1")
        self.run(name, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.run("r", "ip", "addr", "flush", "dev", f"site{site}")
        self.run("r", "ip", "addr", "add", f"172.16.{site}.1/24", "dev", f"site{site}")

    def wait_for(self, what, condition, timeout=30):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if condition():
                return
            time.sleep(0.1)
        raise TimeoutError(f"{what}: not within {timeout} s")
