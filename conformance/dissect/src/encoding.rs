//! Decoding of every payload of a message, and encoding it again to see that nothing was lost.

use hallmark_core::Limits;
use hallmark_wire::DecodeError;
use hallmark_wire::gdoi::{Dialect, Gap, GdoiSa, KeyDownload, Sequence};
use hallmark_wire::isakmp::{
    Certificate, CertificateRequest, Chain, Delete, Fragment, Identification, Notify, PayloadType, PayloadView,
    SecurityAssociation, build_chain,
};

/// Says what decoding and encoding a chain of payloads gave.
pub(crate) struct Reencoded {
    /// The first payload that does not decode.
    pub(crate) error: Option<(PayloadType, DecodeError)>,
    /// Whether encoding gave the same octets; unknown where a payload does not decode.
    pub(crate) same: Option<bool>,
}

/// Decodes and encodes every payload; `gdoi` tells the layout of SA payloads.
pub(crate) fn reencode(chain: &Chain<'_>, gdoi: Option<&Dialect>) -> Reencoded {
    let mut payloads = Vec::new();
    let mut error = None;
    for view in chain {
        match body(&view, gdoi) {
            Ok(body) => payloads.push((view.kind, body)),
            Err(fault) => error = error.or(Some((view.kind, fault.shifted(view.offset.saturating_add(4))))),
        }
    }
    let same = error.is_none().then(|| {
        let original = chain.octets().get(..chain.payload_octets()).unwrap_or_default();
        build_chain(&payloads).octets == original
    });
    Reencoded { error, same }
}

fn body(view: &PayloadView<'_>, gdoi: Option<&Dialect>) -> Result<Vec<u8>, DecodeError> {
    let limits = Limits::default();
    let octets = view.body;
    Ok(match (view.kind, gdoi) {
        (PayloadType::SA, None) => SecurityAssociation::decode(octets)?.encode_body(),
        (PayloadType::SA, Some(dialect)) => GdoiSa::decode(octets, dialect, &limits)?.encode_body(dialect),
        (PayloadType::KEY_DOWNLOAD, Some(_)) => KeyDownload::decode(octets, &limits)?.encode_body(),
        (PayloadType::GAP, Some(_)) => Gap::decode(octets)?.encode_body(),
        (PayloadType::SEQ, Some(_)) => Sequence::decode(octets)?.encode_body(),
        (PayloadType::ID, _) => Identification::decode(octets)?.encode_body(),
        (PayloadType::NOTIFY, _) => Notify::decode(octets)?.encode_body(),
        (PayloadType::DELETE, _) => Delete::decode(octets)?.encode_body(),
        (PayloadType::CERT, _) => Certificate::decode(octets)?.encode_body(),
        (PayloadType::CERT_REQ, _) => CertificateRequest::decode(octets)?.encode_body(),
        (PayloadType::FRAGMENT, _) => Fragment::decode(octets)?.encode_body(),
        // Public values, nonces, hashes, signatures, vendor ids: octets without an inner form.
        _ => octets.to_vec(),
    })
}
