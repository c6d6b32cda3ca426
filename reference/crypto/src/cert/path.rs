//! The search for a chain from an end entity to an anchor.

use hallmark_core::UnixTime;

use crate::cert::parse::Parsed;
use crate::cert::{CertError, TrustStore};

/// Certificates in one chain, end entity and anchor included.
const MAX_DEPTH: usize = 8;

/// Signatures that one search verifies: mutual cross-certification must not multiply the work.
const MAX_SIGNATURES: usize = 32;

/// One search. It goes depth first and stops at the first chain that holds.
pub(super) struct Search<'a> {
    store: &'a TrustStore,
    pool: &'a [Parsed],
    at: UnixTime,
    crl_check: bool,
    signatures_left: usize,
}

impl<'a> Search<'a> {
    pub(super) const fn new(store: &'a TrustStore, pool: &'a [Parsed], at: UnixTime, crl_check: bool) -> Self {
        Self { store, pool, at, crl_check, signatures_left: MAX_SIGNATURES }
    }

    pub(super) fn run(&mut self, end_entity: &Parsed) -> Result<(), CertError> {
        self.extend(end_entity, 0)
    }

    /// Finds an issuer for a certificate that has so many authorities below it.
    fn extend(&mut self, cert: &Parsed, authorities_below: usize) -> Result<(), CertError> {
        self.check_validity(cert)?;
        if self.store.anchors.iter().any(|anchor| anchor.der == cert.der) {
            return Ok(());
        }
        if authorities_below + 2 > MAX_DEPTH {
            return Err(CertError::UnknownIssuer);
        }
        let mut reason = CertError::UnknownIssuer;
        let (store, pool) = (self.store, self.pool);
        for anchor in store.anchors.iter().filter(|anchor| anchor.subject == cert.issuer) {
            match self.check_validity(anchor).and_then(|()| self.check_issued(cert, anchor, true, authorities_below)) {
                Ok(()) => return Ok(()),
                Err(error) => reason = error,
            }
        }
        for issuer in pool.iter().filter(|issuer| issuer.subject == cert.issuer && issuer.der != cert.der) {
            let step = self
                .check_issued(cert, issuer, false, authorities_below)
                .and_then(|()| self.extend(issuer, authorities_below + 1));
            match step {
                Ok(()) => return Ok(()),
                Err(CertError::UnknownIssuer) => {}
                Err(error) => reason = error,
            }
        }
        Err(reason)
    }

    fn check_validity(&self, cert: &Parsed) -> Result<(), CertError> {
        if cert.unknown_critical {
            return Err(CertError::Critical);
        }
        if self.at < cert.not_before {
            return Err(CertError::NotYetValid);
        }
        if self.at > cert.not_after {
            return Err(CertError::Expired);
        }
        Ok(())
    }

    fn check_issued(
        &mut self,
        cert: &Parsed,
        issuer: &Parsed,
        is_anchor: bool,
        authorities_below: usize,
    ) -> Result<(), CertError> {
        // An anchor of X.509 version 1 cannot say that it is an authority; its configuration says so.
        let may_issue = issuer.ca || (is_anchor && !issuer.has_constraints);
        let deep = issuer.path_len.is_some_and(|path_len| authorities_below > usize::from(path_len));
        if !may_issue || !issuer.allows_issuing() || deep {
            return Err(CertError::NotCa);
        }
        let key = issuer.key.as_ref().ok_or(CertError::Unsupported)?;
        self.spend_signature()?;
        cert.seal.verify(key)?;
        if self.crl_check { self.check_revocation(cert, issuer) } else { Ok(()) }
    }

    fn check_revocation(&mut self, cert: &Parsed, issuer: &Parsed) -> Result<(), CertError> {
        let key = issuer.key.as_ref().ok_or(CertError::Unsupported)?;
        let store = self.store;
        let mut reason = CertError::CrlMissing;
        let mut covered = false;
        for crl in store.crls.iter().filter(|crl| crl.issuer == cert.issuer && !crl.unknown_critical) {
            self.spend_signature()?;
            if !issuer.allows_crl_signing() || crl.seal.verify(key).is_err() {
                continue;
            }
            // Being on a list counts even when the list is old.
            if crl.serials.contains(&cert.serial) {
                return Err(CertError::Revoked);
            }
            if crl.this_update > self.at || crl.next_update.is_some_and(|next| next < self.at) {
                reason = CertError::CrlStale;
            } else {
                covered = true;
            }
        }
        if covered { Ok(()) } else { Err(reason) }
    }

    const fn spend_signature(&mut self) -> Result<(), CertError> {
        match self.signatures_left.checked_sub(1) {
            Some(left) => {
                self.signatures_left = left;
                Ok(())
            }
            None => Err(CertError::TooMany),
        }
    }
}
