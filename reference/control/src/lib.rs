//! The GDOI control plane, sans-I/O: phase 1, GROUPKEY-PULL and GROUPKEY-PUSH; key server and group member.
