//! X.509: the path check and the identity rules of IKEv1 certificates.
