//! Suites, PRFs, Diffie-Hellman groups, signatures, key schedules and certificates.
