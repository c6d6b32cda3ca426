//! What the cases about phase 1 share, whichever role they judge.

use std::fmt::Display;

use hallmark_crypto::cert::CertError;
use hallmark_probe::certs::Authority;
use hallmark_probe::fragment::{ike_fragment, ike_fragments};
use hallmark_probe::seen::Seen;
use hallmark_probe::step::Step;
use hallmark_probe::suite::Auth;
use hallmark_probe::tamper::{Tamper, octets};
use hallmark_wire::isakmp::{ExchangeType, Flags, Fragment, Header, PayloadType, payload_octets};

use crate::cx::{Cx, Flow, Stop};
use crate::setup;

/// A wrong (or unusual) message and its name in the report.
pub(super) type Wrong = (&'static str, Tamper);

/// Says how a wrong message is judged.
pub(super) struct Trial<'a> {
    /// Name of the check.
    pub(super) check: &'a str,
    /// What it judges.
    pub(super) requirements: &'a [&'a str],
    /// The message that is wrong.
    pub(super) step: Step,
    /// Whether going on after it is a state change by unauthenticated or invalid input.
    grave: bool,
    /// Set when the exchange has to survive the wrong message: name of that check and what it judges.
    pub(super) kept: Option<(&'a str, &'a [&'a str])>,
}

impl<'a> Trial<'a> {
    /// Judges that the subject does not go on; what becomes of the exchange is open.
    pub(super) const fn new(check: &'a str, requirements: &'a [&'a str], step: Step) -> Self {
        Self { check, requirements, step, grave: false, kept: None }
    }

    /// Going on means to trust someone who has proven nothing.
    pub(super) const fn grave(mut self) -> Self {
        self.grave = true;
        self
    }

    /// The right message must complete the same exchange afterwards.
    pub(super) const fn keeps(mut self, check: &'a str, requirements: &'a [&'a str]) -> Self {
        self.kept = Some((check, requirements));
        self
    }

    /// Judges that nothing came which must not come.
    pub(super) fn silence(&self, cx: &mut Cx<'_>, ok: bool, expected: &str, observed: impl Display) -> bool {
        if self.grave {
            cx.grave_silence(self.check, self.requirements, ok, expected, observed)
        } else {
            cx.silence(self.check, self.requirements, ok, expected, observed)
        }
    }
}

/// Says what came, in words for the report.
pub(super) fn words(seen: &[Seen]) -> String {
    if seen.is_empty() {
        return "nothing came".to_owned();
    }
    let parts: Vec<String> = seen
        .iter()
        .map(|seen| match seen.error_notify() {
            Some(notify) => format!("notification {}", notify.kind),
            None if seen.repeat => format!("{} again", seen.step),
            None => seen.step.to_string(),
        })
        .collect();
    format!("came: {}", parts.join(", "))
}

/// Gives an encrypted-looking message with the right cookies that decrypts to nothing sensible.
pub(super) fn garbage(cookies: ([u8; 8], [u8; 8]), exchange: ExchangeType, message_id: u32, octets: usize) -> Vec<u8> {
    let header = Header {
        initiator_cookie: cookies.0,
        responder_cookie: cookies.1,
        next: PayloadType::ID,
        version: Header::VERSION,
        exchange,
        flags: Flags::ENCRYPTION,
        message_id,
        length: u32::try_from(Header::LEN + octets).unwrap_or(u32::MAX),
    };
    [header.encode().as_slice(), &vec![0x5a; octets]].concat()
}

/// Turns a failure to issue a certificate into the end of the case.
pub(super) fn issued<T>(result: Result<T, CertError>) -> Flow<T> {
    result.map_err(|error| Stop::Inconclusive(format!("a certificate could not be issued: {error}")))
}

/// Issues what the subject is configured with, to authenticate by signatures and to trust the same authority.
pub(super) fn credentials(cx: &Cx<'_>, authority: &mut Authority, auth: Auth) -> Flow<setup::Credentials> {
    let (certificate, private_key) = issued(authority.subject(auth, cx.subject().ip()))?;
    let trust_anchors = vec![issued(authority.pem())?];
    Ok(setup::Credentials { certificate, private_key, trust_anchors, crls: Vec::new() })
}

/// Composes an RSA block of type 1: padding, zero, data, and octets behind it.
pub(super) fn block(len: usize, data: &[u8], behind: &[u8]) -> Vec<u8> {
    let mut octets = vec![0, 1];
    octets.resize(len.saturating_sub(data.len() + behind.len() + 1), 0xff);
    octets.push(0);
    octets.extend(data);
    octets.extend(behind);
    octets
}

/// Cuts a message into three fragments.
pub(super) fn three(message: &[u8]) -> Vec<Vec<u8>> {
    ike_fragments(message, 1, message.len().div_ceil(3))
}

/// Gives a fragment with another payload type behind it, which follows in fact.
pub(super) fn followed(message: &[u8], fragment: &Fragment) -> Vec<u8> {
    let mut body = payload_octets(PayloadType::VENDOR_ID, &fragment.encode_body());
    body.extend(payload_octets(PayloadType::NONE, &[7; 16]));
    let mut octets = ike_fragment(message, fragment);
    octets.truncate(Header::LEN);
    octets.extend(body);
    octets::fix_length(&mut octets);
    octets
}
