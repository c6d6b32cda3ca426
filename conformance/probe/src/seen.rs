//! What the tester saw: one received message, opened as far as its keys reach, with nothing judged.

use std::net::SocketAddr;

use hallmark_core::{Datagram, Instant, Limits};
use hallmark_wire::DecodeError;
use hallmark_wire::isakmp::{
    Certificate, CertificateRequest, Chain, Delete, ExchangeType, Flags, Header, Identification, Message, Notify,
    PayloadType, SecurityAssociation,
};

use crate::step::Step;

/// One payload of a received message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payload {
    /// Its type.
    pub kind: PayloadType,
    /// Its octets after the generic header.
    pub body: Vec<u8>,
    /// Its octets with the generic header.
    pub whole: Vec<u8>,
}

/// One received message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// When it arrived.
    pub at: Instant,
    /// As it arrived, with its addresses. After reassembly of IKE fragments the payload is the whole message.
    pub datagram: Datagram,
    /// What it was taken for.
    pub step: Step,
    /// Its header, all zero if there is none.
    pub header: Header,
    /// Whether the non-ESP marker of NAT traversal stood in front.
    pub marker: bool,
    /// How many IKE fragments it came in, 0 if it came whole.
    pub fragments: usize,
    /// Whether it came encrypted (E flag set).
    pub protected: bool,
    /// The octets after the header, in clear or decrypted; empty if they could not be decrypted.
    pub plain: Vec<u8>,
    /// Its payloads, empty if they do not parse.
    pub payloads: Vec<Payload>,
    /// What follows the last payload.
    pub padding: Vec<u8>,
    /// Whether HASH or SIG verified; `None` where there is nothing to verify or no key to verify it with.
    pub authentic: Option<bool>,
    /// Whether the same datagram was seen before.
    pub repeat: bool,
    /// Why it could not be opened, if so, or what is wrong with its header.
    pub flaw: Option<String>,
    /// What is wrong with its header: opening the rest does not mend it.
    pub(crate) header_flaw: Option<String>,
}

impl Seen {
    /// Reads the header and, if it is not encrypted, the payloads.
    #[must_use]
    pub fn new(at: Instant, datagram: Datagram, marker: bool) -> Self {
        let mut seen = Self {
            at,
            datagram,
            step: Step::Other,
            header: NO_HEADER,
            marker,
            fragments: 0,
            protected: false,
            plain: Vec::new(),
            payloads: Vec::new(),
            padding: Vec::new(),
            authentic: None,
            repeat: false,
            flaw: None,
            header_flaw: None,
        };
        let octets = seen.octets().to_vec();
        match Header::decode(&octets) {
            Ok(header) => seen.header = header,
            Err(error) => {
                seen.flaw = Some(error.to_string());
                return seen;
            }
        }
        if let Err(error) = Message::decode(&octets) {
            seen.header_flaw = Some(error.to_string());
            seen.flaw.clone_from(&seen.header_flaw);
        }
        seen.protected = seen.header.flags.contains(Flags::ENCRYPTION);
        if !seen.protected && seen.flaw.is_none() {
            let body = octets.get(Header::LEN..).unwrap_or_default().to_vec();
            seen.open(body);
        }
        seen
    }

    /// Gives the ISAKMP message: the datagram without a non-ESP marker.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        let start = if self.marker { 4 } else { 0 };
        self.datagram.payload.get(start..).unwrap_or_default()
    }

    /// Gives the octets after the header, as they came.
    #[must_use]
    pub fn body_octets(&self) -> &[u8] {
        self.octets().get(Header::LEN..).unwrap_or_default()
    }

    /// Gives who sent it.
    #[must_use]
    pub const fn from(&self) -> SocketAddr {
        self.datagram.src
    }

    /// Takes the decrypted (or clear) octets after the header and splits them into payloads.
    pub(crate) fn open(&mut self, plain: Vec<u8>) {
        match Chain::decode(self.header.next, &plain, &limits()) {
            Ok(chain) => {
                let owned = |view: hallmark_wire::isakmp::PayloadView<'_>| Payload {
                    kind: view.kind,
                    body: view.body.to_vec(),
                    whole: view.whole.to_vec(),
                };
                self.payloads = chain.iter().map(owned).collect();
                self.padding = chain.trailing().to_vec();
                self.flaw.clone_from(&self.header_flaw);
            }
            Err(error) => {
                self.payloads.clear();
                self.flaw = Some(error.to_string());
            }
        }
        self.plain = plain;
    }

    /// Gives the types of the payloads in order.
    #[must_use]
    pub fn kinds(&self) -> Vec<PayloadType> {
        self.payloads.iter().map(|payload| payload.kind).collect()
    }

    /// Gives the body of the first payload of a type.
    #[must_use]
    pub fn body(&self, kind: PayloadType) -> Option<&[u8]> {
        self.bodies(kind).next()
    }

    /// Gives the bodies of all payloads of a type.
    pub fn bodies(&self, kind: PayloadType) -> impl Iterator<Item = &[u8]> {
        self.payloads.iter().filter(move |payload| payload.kind == kind).map(|payload| payload.body.as_slice())
    }

    /// Counts the payloads of a type.
    #[must_use]
    pub fn count(&self, kind: PayloadType) -> usize {
        self.bodies(kind).count()
    }

    /// Gives the octets of all payloads after the first one of a type: what a HASH covers.
    #[must_use]
    pub fn after(&self, kind: PayloadType) -> Vec<u8> {
        self.payloads.iter().skip_while(|payload| payload.kind != kind).skip(1).flat_map(|p| p.whole.clone()).collect()
    }

    /// Gives the octets of all payloads before the first one of a type: what a SIG covers.
    #[must_use]
    pub fn before(&self, kind: PayloadType) -> Vec<u8> {
        self.payloads.iter().take_while(|payload| payload.kind != kind).flat_map(|p| p.whole.clone()).collect()
    }

    /// Sums up the lengths of the payloads, without padding.
    #[must_use]
    pub fn payload_octets(&self) -> usize {
        self.payloads.iter().map(|payload| payload.whole.len()).sum()
    }

    /// Decodes the phase 1 SA payload.
    #[must_use]
    pub fn sa(&self) -> Option<SecurityAssociation> {
        self.body(PayloadType::SA).and_then(|body| SecurityAssociation::decode(body).ok())
    }

    /// Decodes the ID payload.
    #[must_use]
    pub fn identification(&self) -> Option<Identification> {
        self.body(PayloadType::ID).and_then(|body| Identification::decode(body).ok())
    }

    /// Gives the nonce data.
    #[must_use]
    pub fn nonce(&self) -> Option<&[u8]> {
        self.body(PayloadType::NONCE)
    }

    /// Decodes the notifications.
    #[must_use]
    pub fn notifies(&self) -> Vec<Notify> {
        self.bodies(PayloadType::NOTIFY).filter_map(|body| Notify::decode(body).ok()).collect()
    }

    /// Gives the first notification that reports an error.
    #[must_use]
    pub fn error_notify(&self) -> Option<Notify> {
        self.notifies().into_iter().find(|notify| notify.kind.0 < 16_384)
    }

    /// Decodes the Delete payloads.
    #[must_use]
    pub fn deletes(&self) -> Vec<Delete> {
        self.bodies(PayloadType::DELETE).filter_map(|body| Delete::decode(body).ok()).collect()
    }

    /// Decodes the certificates.
    #[must_use]
    pub fn certificates(&self) -> Vec<Certificate> {
        self.bodies(PayloadType::CERT).filter_map(|body| Certificate::decode(body).ok()).collect()
    }

    /// Decodes the certificate requests.
    #[must_use]
    pub fn certificate_requests(&self) -> Vec<CertificateRequest> {
        self.bodies(PayloadType::CERT_REQ).filter_map(|body| CertificateRequest::decode(body).ok()).collect()
    }

    /// Gives the vendor ids.
    #[must_use]
    pub fn vendor_ids(&self) -> Vec<Vec<u8>> {
        self.bodies(PayloadType::VENDOR_ID).map(<[u8]>::to_vec).collect()
    }
}

/// The tester's own limits: wide, because what is too much is for a case to say.
#[must_use]
pub fn limits() -> Limits {
    Limits {
        payloads_per_message: 4_096,
        transforms_per_proposal: 256,
        attributes_per_list: 1_024,
        teks: 4_096,
        fragments_per_message: 255,
        ..Limits::default()
    }
}

/// Reads a payload body with a decoder, mapping its error to text.
pub(crate) fn decoded<T>(result: Result<T, DecodeError>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

const NO_HEADER: Header = Header {
    initiator_cookie: [0; 8],
    responder_cookie: [0; 8],
    next: PayloadType::NONE,
    version: 0,
    exchange: ExchangeType::NONE,
    flags: Flags(0),
    message_id: 0,
    length: 0,
};
