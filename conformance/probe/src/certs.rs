//! The tester's certification authority and its end entities, from fixed keys.

use std::net::IpAddr;
use std::rc::Rc;

use hallmark_core::{Duration, Rng, UnixTime};
use hallmark_crypto::SigningKey;
use hallmark_crypto::cert::{CertError, CertSpec, issue_ca, issue_cert, issue_crl, subject_der, to_pem};
use hallmark_wire::isakmp::{IdType, Identification};

use crate::keys;
use crate::sa::Credentials;
use crate::suite::Auth;
use crate::world::World;

/// A certification authority.
#[derive(Clone)]
pub struct Authority {
    /// Its certificate, DER.
    pub certificate: Vec<u8>,
    key: Rc<SigningKey>,
    now: UnixTime,
    rng: Rng,
}

impl Authority {
    /// Makes the authority that subjects are told to trust.
    ///
    /// # Errors
    /// Only if the clock of the world cannot be written into a certificate.
    pub fn trusted(world: &dyn World) -> Result<Self, CertError> {
        Self::new(world, "CN=Hallmark test authority", keys::CA_RSA_2048_PEM)
    }

    /// Makes an authority that no subject trusts, with the same name if `same_name`.
    ///
    /// # Errors
    /// Only if the clock of the world cannot be written into a certificate.
    pub fn untrusted(world: &dyn World, same_name: bool) -> Result<Self, CertError> {
        let name = if same_name { "CN=Hallmark test authority" } else { "CN=Hallmark other authority" };
        Self::new(world, name, keys::OTHER_CA_RSA_2048_PEM)
    }

    fn new(world: &dyn World, name: &str, pem: &str) -> Result<Self, CertError> {
        let now = world.wall();
        let key = keys::load(pem).ok_or(CertError::Unsupported)?;
        let mut rng = Rng::from_u64(0).fork(name);
        let spec = CertSpec::authority(name, 1, days_after(now, -365), days_after(now, 3_650));
        let certificate = issue_ca(&spec, &key, &mut rng)?;
        Ok(Self { certificate, key, now, rng })
    }

    /// Gives the name as certificate requests carry it.
    ///
    /// # Errors
    /// Only if the certificate was changed by hand.
    pub fn name(&self) -> Result<Vec<u8>, CertError> {
        subject_der(&self.certificate)
    }

    /// Gives the certificate as PEM text.
    ///
    /// # Errors
    /// None in practice.
    pub fn pem(&self) -> Result<String, CertError> {
        to_pem("CERTIFICATE", &self.certificate)
    }

    /// Describes an end entity that is valid now: yesterday to next year, allowed to sign.
    #[must_use]
    pub fn spec(&self, subject: &str, serial: u64) -> CertSpec {
        CertSpec::end_entity(subject, serial, days_after(self.now, -1), days_after(self.now, 365))
    }

    /// Describes an end entity whose time is over.
    #[must_use]
    pub fn expired_spec(&self, subject: &str, serial: u64) -> CertSpec {
        CertSpec::end_entity(subject, serial, days_after(self.now, -30), days_after(self.now, -1))
    }

    /// Describes an end entity whose time has not come.
    #[must_use]
    pub fn future_spec(&self, subject: &str, serial: u64) -> CertSpec {
        CertSpec::end_entity(subject, serial, days_after(self.now, 10), days_after(self.now, 365))
    }

    /// Issues a certificate for a key.
    ///
    /// # Errors
    /// When the description cannot be encoded.
    pub fn issue(&mut self, spec: &CertSpec, key: &SigningKey) -> Result<Vec<u8>, CertError> {
        issue_cert(spec, &key.public(), &self.certificate, &self.key, &mut self.rng)
    }

    /// Issues a revocation list that names these serial numbers and is valid for a month.
    ///
    /// # Errors
    /// When the clock of the world cannot be written into it.
    pub fn crl(&mut self, revoked: &[u64]) -> Result<Vec<u8>, CertError> {
        let (from, to) = (days_after(self.now, -1), days_after(self.now, 30));
        issue_crl(&self.certificate, &self.key, revoked, from, to, &mut self.rng)
    }

    /// Makes the credentials of an end of the tester for a signature suite: certificate with its address, own key.
    ///
    /// # Errors
    /// For a suite without signatures.
    pub fn tester(&mut self, auth: Auth, address: IpAddr) -> Result<Credentials, CertError> {
        let spec = self.spec("CN=tester.hallmark.example", 100).with_ip(address).with_dns("tester.hallmark.example");
        let key = tester_key(auth).ok_or(CertError::Unsupported)?;
        self.credentials(&spec, key)
    }

    /// Makes credentials of the case's own making.
    ///
    /// # Errors
    /// When the description cannot be encoded.
    pub fn credentials(&mut self, spec: &CertSpec, key: Rc<SigningKey>) -> Result<Credentials, CertError> {
        let certificate = self.issue(spec, &key)?;
        Ok(Credentials {
            chain: vec![certificate],
            key: Some(key),
            authorities: vec![self.name()?],
            ..Credentials::default()
        })
    }

    /// Issues the subject's certificate and gives it with its private key, both PEM, for a configuration text.
    ///
    /// # Errors
    /// For a suite without signatures.
    pub fn subject(&mut self, auth: Auth, address: IpAddr) -> Result<(String, String), CertError> {
        let spec = self.spec("CN=subject.hallmark.example", 200).with_ip(address).with_dns("subject.hallmark.example");
        let pem = subject_key_pem(auth).ok_or(CertError::Unsupported)?;
        let key = keys::load(pem).ok_or(CertError::Unsupported)?;
        let certificate = self.issue(&spec, &key)?;
        Ok((to_pem("CERTIFICATE", &certificate)?, pem.to_owned()))
    }
}

/// Gives the tester's phase 1 key for a signature suite.
#[must_use]
pub fn tester_key(auth: Auth) -> Option<Rc<SigningKey>> {
    keys::load(match auth {
        Auth::Psk => return None,
        Auth::Rsa => keys::TESTER_RSA_2048_PEM,
        Auth::Ecdsa256 => keys::TESTER_P256_PEM,
        Auth::Ecdsa384 => keys::TESTER_P384_PEM,
        Auth::Ecdsa521 => keys::TESTER_P521_PEM,
    })
}

/// Gives the phase 1 key that is handed to subjects for a signature suite, as PEM text.
#[must_use]
pub const fn subject_key_pem(auth: Auth) -> Option<&'static str> {
    Some(match auth {
        Auth::Psk => return None,
        Auth::Rsa => keys::SUBJECT_RSA_2048_PEM,
        Auth::Ecdsa256 => keys::SUBJECT_P256_PEM,
        Auth::Ecdsa384 => keys::SUBJECT_P384_PEM,
        Auth::Ecdsa521 => keys::SUBJECT_P521_PEM,
    })
}

/// Makes a host name identity.
#[must_use]
pub fn fqdn(name: &str) -> Identification {
    Identification::new(IdType::FQDN, name.as_bytes().to_vec())
}

fn days_after(time: UnixTime, days: i32) -> UnixTime {
    let span = Duration::from_secs(u64::from(days.unsigned_abs()) * 86_400);
    let nanos = i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
    UnixTime(if days < 0 { time.0.saturating_sub(nanos) } else { time.0.saturating_add(nanos) })
}
