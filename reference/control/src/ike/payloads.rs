//! What a phase 1 message must and may hold (steps 11 and 14 of section 1.9).

use hallmark_wire::isakmp::{Chain, PayloadType};

use super::code;
use super::exchange::Refusal;
use crate::behaviour::{Behaviour, Defect, Variant};

/// Says what a message must and may hold.
pub(super) fn check_payloads(
    chain: &Chain<'_>,
    mandatory: &[PayloadType],
    behaviour: &Behaviour,
) -> Result<(), Refusal> {
    // REQ IKE-HDR-011
    if chain.is_empty() {
        return Err(Refusal::keep(code::FIRST_PAYLOAD));
    }
    for payload in chain.iter() {
        let kind = payload.kind;
        let refused = match kind {
            PayloadType::VENDOR_ID | PayloadType::NOTIFY | PayloadType::NAT_D | PayloadType::NAT_OA => false,
            // REQ IKE-PAY-010
            PayloadType::CERT | PayloadType::CERT_REQ => {
                behaviour.has(Defect::IkeCertreqRefused)
                    && !mandatory.contains(&PayloadType::ID)
                    && kind == PayloadType::CERT_REQ
            }
            PayloadType::SA
            | PayloadType::KE
            | PayloadType::ID
            | PayloadType::HASH
            | PayloadType::SIG
            | PayloadType::NONCE => !mandatory.contains(&kind),
            PayloadType::FRAGMENT => return Err(Refusal::keep(code::FRAGMENT_INNER)),
            // REQ IKE-PAY-006
            kind if kind.is_private() => behaviour.varies(Variant::IkePrivatePayloadRefused),
            // REQ IKE-PAY-005
            kind if kind.is_reserved() => !behaviour.has(Defect::IkeAcceptsReservedPayloads),
            // REQ IKE-PAY-013
            _ => true,
        };
        if refused {
            let method = matches!(kind, PayloadType::HASH | PayloadType::SIG)
                && (mandatory.contains(&PayloadType::HASH) || mandatory.contains(&PayloadType::SIG));
            // REQ IKE-MM-030
            let code = if method { code::METHOD } else { code::PAYLOAD_TYPE };
            return Err(Refusal::keep(code).with(format!("payload {}", kind.0)));
        }
    }
    for &kind in mandatory {
        match chain.count(kind) {
            1 => {}
            // REQ IKE-PAY-014
            0 if kind == PayloadType::ID && behaviour.has(Defect::IkeMissingIdAccepted) => {}
            0 => {
                let lost = behaviour.has(Defect::IkeMissingPayloadKills);
                return Err(Refusal {
                    lost,
                    ..Refusal::keep(code::PAYLOAD_MISSING).with(format!("payload {}", kind.0))
                });
            }
            // REQ IKE-PAY-012
            _ if kind != PayloadType::SA && behaviour.has(Defect::IkeDuplicatePayloadAccepted) => {}
            _ => return Err(Refusal::keep(code::PAYLOAD_DUPLICATE).with(format!("payload {}", kind.0))),
        }
    }
    // REQ IKE-PAY-007
    if behaviour.has(Defect::IkePayloadOrderMatters) && !mandatory.contains(&PayloadType::SA) {
        let order: Vec<PayloadType> = chain.iter().map(|p| p.kind).filter(|k| mandatory.contains(k)).collect();
        if order != mandatory {
            return Err(Refusal::keep(code::PAYLOAD_TYPE).with("order"));
        }
    }
    Ok(())
}

/// Checks the octets after the last payload of a clear message: up to three zero octets are padding.
pub(super) fn check_trailing(chain: &Chain<'_>, behaviour: &Behaviour) -> Result<(), Refusal> {
    let trailing = chain.trailing();
    let strict = behaviour.varies(Variant::IkeClearTrailingRefused);
    if trailing.is_empty() || (!strict && trailing.len() <= 3 && trailing.iter().all(|&o| o == 0)) {
        return Ok(());
    }
    Err(Refusal::keep(code::TRAILING))
}

/// Gives the body of a mandatory payload.
pub(super) fn body<'a>(chain: &Chain<'a>, kind: PayloadType) -> Result<&'a [u8], Refusal> {
    chain.find(kind).map(|p| p.body).ok_or(Refusal::keep(code::PAYLOAD_MISSING))
}

/// Gives the nonce of a message.
pub(super) fn nonce<'a>(chain: &Chain<'a>, behaviour: &Behaviour) -> Result<&'a [u8], Refusal> {
    let nonce = body(chain, PayloadType::NONCE)?;
    // REQ IKE-MM-007
    if !(8..=256).contains(&nonce.len()) && !behaviour.has(Defect::IkeShortNonceAccepted) {
        return Err(Refusal::keep(code::NONCE_LENGTH).with(format!("{} octets", nonce.len())));
    }
    Ok(nonce)
}
