//! The tester's long-term keys, from fixture files: generating RSA keys in every run would be slow and would make
//! captures incomparable.

use std::rc::Rc;

use hallmark_crypto::SigningKey;

/// Rekey signing key of the standard group.
pub const REKEY_RSA_2048_PEM: &str = include_str!("../../../fixtures/keys/rsa2048-a.pem");
/// A second rekey signing key, for key changes and for forgeries by a key of the same size.
pub const OTHER_RSA_2048_PEM: &str = include_str!("../../../fixtures/keys/rsa2048-b.pem");
/// Short rekey signing key.
pub const REKEY_RSA_1024_PEM: &str = include_str!("../../../fixtures/keys/rsa1024-a.pem");
/// A second short key.
pub const OTHER_RSA_1024_PEM: &str = include_str!("../../../fixtures/keys/rsa1024-b.pem");
/// Longer rekey signing key.
pub const REKEY_RSA_3072_PEM: &str = include_str!("../../../fixtures/keys/rsa3072-a.pem");
/// Longest rekey signing key.
pub const REKEY_RSA_4096_PEM: &str = include_str!("../../../fixtures/keys/rsa4096-a.pem");
/// Key of the certification authority that subjects trust.
pub const CA_RSA_2048_PEM: &str = include_str!("../../../fixtures/keys/rsa2048-c.pem");
/// Key of a certification authority that no subject trusts.
pub const OTHER_CA_RSA_2048_PEM: &str = include_str!("../../../fixtures/keys/rsa2048-d.pem");
/// Phase 1 key of the tester's end entities.
pub const TESTER_RSA_2048_PEM: &str = include_str!("../../../fixtures/keys/rsa2048-e.pem");
/// Phase 1 key that is handed to subjects.
pub const SUBJECT_RSA_2048_PEM: &str = include_str!("../../../fixtures/keys/rsa2048-f.pem");
/// Phase 1 or rekey signing key on P-256, tester.
pub const TESTER_P256_PEM: &str = include_str!("../../../fixtures/keys/p256-a.pem");
/// Phase 1 key on P-256 that is handed to subjects.
pub const SUBJECT_P256_PEM: &str = include_str!("../../../fixtures/keys/p256-b.pem");
/// Phase 1 or rekey signing key on P-384, tester.
pub const TESTER_P384_PEM: &str = include_str!("../../../fixtures/keys/p384-a.pem");
/// Phase 1 key on P-384 that is handed to subjects.
pub const SUBJECT_P384_PEM: &str = include_str!("../../../fixtures/keys/p384-b.pem");
/// Phase 1 or rekey signing key on P-521, tester.
pub const TESTER_P521_PEM: &str = include_str!("../../../fixtures/keys/p521-a.pem");
/// Phase 1 key on P-521 that is handed to subjects.
pub const SUBJECT_P521_PEM: &str = include_str!("../../../fixtures/keys/p521-b.pem");

/// Reads one of the constants above; `None` if the text is not a key.
#[must_use]
pub fn load(pem: &str) -> Option<Rc<SigningKey>> {
    SigningKey::from_pem(pem).ok().map(Rc::new)
}
