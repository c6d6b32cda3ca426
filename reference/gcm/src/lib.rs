//! AES-GCM for bursts of ESP packets in vector instructions (AVX-512, VAES, VPCLMULQDQ).
