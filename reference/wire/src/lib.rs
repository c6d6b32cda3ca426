//! Every byte format of GETVPN: IP, UDP, ICMP, ISAKMP, GDOI and packet captures.
