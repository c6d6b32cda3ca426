"""strongSwan with its own ESP in user space (kernel-libipsec) in the place of both group members."""

import os

CONF = """charon {{
    install_virtual_ip = no
    # kernel-libipsec before kernel-netlink takes the SAs; aesni is the fastest AES-GCM that Debian's charon has.
    load = random nonce aesni aes sha1 sha2 hmac kdf openssl pem pkcs1 x509 socket-default kernel-libipsec kernel-netlink vici updown
    plugins {{ vici {{ socket = unix://{socket} }} }}
    filelog {{ log {{ path = {log}
                     default = 1
                     flush_line = yes }} }}
}}
"""

CONNECTION = """connections {{
    site {{
        version = 2
        local_addrs = {local}
        remote_addrs = {remote}
        encap = yes
        proposals = aes128-sha256-ecp256
        local {{ auth = psk
                 id = {local} }}
        remote {{ auth = psk
                  id = {remote} }}
        children {{ site {{
            local_ts = {local_net}
            remote_ts = {remote_net}
            esp_proposals = aes128gcm16
            start_action = none }} }}
    }}
}}
secrets {{ ike-1 {{ secret = "throughput" }} }}
"""


def start(topology):
    """Starts a charon at each site and builds the tunnel."""
    for site, other in ((1, 2), (2, 1)):
        topology.route(site)
        folder = topology.path(f"swan{site}")
        os.makedirs(f"{folder}/run")
        with open(f"{folder}/strongswan.conf", "w", encoding="ascii") as file:
            file.write(CONF.format(socket=f"{folder}/vici", log=f"{folder}/log"))
        with open(f"{folder}/swanctl.conf", "w", encoding="ascii") as file:
            file.write(CONNECTION.format(local=f"172.16.{site}.2", remote=f"172.16.{other}.2",
                                         local_net=f"10.{site}.0.0/24", remote_net=f"10.{other}.0.0/24"))
        topology.spawn(f"gm{site}", "unshare", "--mount", "bash", "-c",
                       f"mount --bind {folder}/run /run && STRONGSWAN_CONF={folder}/strongswan.conf "
                       "exec /usr/lib/ipsec/charon", log=f"swan{site}.out")
    for site in (1, 2):
        folder = topology.path(f"swan{site}")
        topology.wait_for(f"charon {site}", lambda folder=folder: os.path.exists(f"{folder}/vici"))
        topology.run(f"gm{site}", "swanctl", "--load-all", "--noprompt", "--file", f"{folder}/swanctl.conf",
                     "--uri", f"unix://{folder}/vici")
    folder = topology.path("swan1")
    topology.run("gm1", "swanctl", "--initiate", "--child", "site", "--timeout", "20", "--uri", f"unix://{folder}/vici")
