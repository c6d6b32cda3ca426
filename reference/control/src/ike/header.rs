//! Steps 1 to 7 of the receive pipeline: what the header alone decides.

use hallmark_wire::isakmp::{ExchangeType, Flags, Header, Message, PayloadType};

use super::exchange::Refusal;
use super::sa::{Path, SaId};
use super::{IkeEndpoint, code};
use crate::behaviour::{Behaviour, Defect, Variant};

/// Names what a message belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Target {
    Sa(SaId),
    Exchange(SaId),
    First,
    Unbound,
}

impl IkeEndpoint {
    /// Steps 1 and 2: the size.
    pub(super) fn size(&self, message: &[u8]) -> Result<Header, Refusal> {
        match Message::decode(message) {
            Ok(message) => Ok(message.header),
            // REQ IKE-HDR-001
            Err(_) if self.config.behaviour.has(Defect::IkeLengthNotChecked) => Ok(Header::decode(message)?),
            Err(error) => Err(error.into()),
        }
    }

    /// Steps 3 to 7: cookies, version, exchange type, flags, message id.
    pub(super) fn locate(&self, header: &Header, path: Path, depth: u8) -> Result<Target, Refusal> {
        let behaviour = &self.config.behaviour;
        let target = self.find(header)?;
        let first = target == Target::First;
        // REQ IKE-HDR-004, IKE-HDR-005
        let phase1 = first || matches!(target, Target::Exchange(_));
        if header.version >> 4 != 1 && !(phase1 && behaviour.has(Defect::IkeAcceptsMajorVersion)) {
            return Err(Refusal::keep(code::VERSION_MAJOR));
        }
        if header.version & 15 != 0 && !(phase1 && behaviour.has(Defect::IkeAcceptsMinorVersion)) {
            return Err(Refusal::keep(code::VERSION_MINOR));
        }
        // REQ IKE-HDR-007
        if header.flags.undefined_bits() != 0 && !behaviour.has(Defect::IkeAcceptsReservedFlags) {
            return Err(Refusal::keep(code::FLAGS).with(format!("{:#04x}", header.flags.0)));
        }
        if target == Target::Unbound {
            return Ok(target);
        }
        if header.next == PayloadType::FRAGMENT {
            // REQ IKE-FRAG-006, IKE-FRAG-010
            let nested = if behaviour.has(Defect::IkeNestedFragmentsAccepted) { 8 } else { 0 };
            return match target {
                _ if depth > nested => Err(Refusal::keep(code::FRAGMENT_INNER)),
                Target::First => Err(Refusal::keep(code::FRAGMENT_UNKNOWN)),
                _ if header.flags.contains(Flags::ENCRYPTION) => Err(Refusal::keep(code::FRAGMENT_FORM)),
                target => Ok(target),
            };
        }
        self.check_exchange(header, target)?;
        self.check_flags(header, target)?;
        check_message_id(header, behaviour)?;
        // REQ IKE-NAT-004
        if first && behaviour.has(Defect::IkeOtherPortsRefused) && !matches!(path.peer.port(), 500 | 848 | 4500) {
            return Err(Refusal::keep(code::PEER_UNKNOWN));
        }
        // REQ IKE-NAT-008
        if first && path.marker && behaviour.has(Defect::IkeStartOn4500Refused) {
            return Err(Refusal::keep(code::PEER_UNKNOWN));
        }
        Ok(target)
    }

    /// Step 3: whose cookies these are.
    fn find(&self, header: &Header) -> Result<Target, Refusal> {
        let behaviour = &self.config.behaviour;
        if is_unbound(header.exchange) {
            return Ok(Target::Unbound);
        }
        // REQ IKE-CKY-003
        let zero = header.initiator_cookie == [0; 8];
        if zero && !(header.responder_cookie == [0; 8] && behaviour.has(Defect::IkeZeroCookieAccepted)) {
            return Err(Refusal::keep(code::COOKIE_ZERO));
        }
        if let Some(&id) = self.by_cookies.get(&header.cookies()) {
            return Ok(if self.sas.contains_key(&id) { Target::Sa(id) } else { Target::Exchange(id) });
        }
        let waiting = self.by_initiator.get(&header.initiator_cookie).copied();
        if header.responder_cookie == [0; 8] {
            return match waiting {
                Some(id) if header.exchange == ExchangeType::INFORMATIONAL => Ok(Target::Exchange(id)),
                // REQ IKE-CKY-001
                Some(id) if behaviour.has(Defect::IkeZeroResponderCookieAccepted) => Ok(Target::Exchange(id)),
                // REQ IKE-MM-029
                Some(_) => Err(Refusal::keep(code::COOKIE_REFLECTED)),
                None if header.exchange == ExchangeType::INFORMATIONAL => Err(Refusal::keep(code::COOKIE_UNKNOWN)),
                None => Ok(Target::First),
            };
        }
        match waiting {
            Some(id) => Ok(Target::Exchange(id)),
            // REQ IKE-CKY-004
            None if behaviour.has(Defect::IkeForeignResponderCookieAccepted)
                && header.exchange == ExchangeType::MAIN =>
            {
                Ok(Target::First)
            }
            // REQ IKE-FRAG-006
            None if header.next == PayloadType::FRAGMENT => Err(Refusal::keep(code::FRAGMENT_UNKNOWN)),
            // REQ IKE-CKY-005
            None => Err(Refusal::keep(code::COOKIE_UNKNOWN)),
        }
    }

    /// Step 5: the exchange type is known and the one of the SA.
    fn check_exchange(&self, header: &Header, target: Target) -> Result<(), Refusal> {
        let behaviour = &self.config.behaviour;
        let kind = header.exchange;
        match target {
            Target::First => {
                if !self.config.accept {
                    return Err(Refusal::keep(code::NOT_SERVED));
                }
                match kind {
                    ExchangeType::MAIN => Ok(()),
                    // REQ IKE-AM-008
                    ExchangeType::AGGRESSIVE
                        if self.config.aggressive || behaviour.has(Defect::IkeAggressiveAlwaysServed) =>
                    {
                        Ok(())
                    }
                    ExchangeType::AGGRESSIVE => Err(Refusal::keep(code::AGGRESSIVE_OFF)),
                    _ if behaviour.has(Defect::IkeServesUnknownExchange) => Ok(()),
                    // REQ IKE-HDR-006
                    _ => Err(Refusal::keep(code::EXCHANGE).with(format!("exchange type {}", kind.0))),
                }
            }
            Target::Exchange(id) => {
                let mode = self.exchanges.get(&id).map(|x| x.mode.exchange());
                match kind {
                    ExchangeType::INFORMATIONAL => Ok(()),
                    // REQ IKE-MM-035
                    ExchangeType::PULL if behaviour.has(Defect::IkeServesPullEarly) => Ok(()),
                    ExchangeType::PULL => Err(Refusal::keep(code::NOT_ESTABLISHED)),
                    kind if Some(kind) == mode => Ok(()),
                    // REQ IKE-MM-012
                    ExchangeType::MAIN | ExchangeType::AGGRESSIVE
                        if behaviour.has(Defect::IkeExchangeSwitchAccepted) =>
                    {
                        Ok(())
                    }
                    kind => Err(Refusal::keep(code::EXCHANGE).with(format!("exchange type {}", kind.0))),
                }
            }
            Target::Sa(id) => {
                let mode = self.sas.get(&id).map(|sa| sa.mode.exchange());
                let known = matches!(kind, ExchangeType::INFORMATIONAL | ExchangeType::PULL) || Some(kind) == mode;
                if known {
                    Ok(())
                } else {
                    Err(Refusal::keep(code::EXCHANGE).with(format!("exchange type {}", kind.0)))
                }
            }
            Target::Unbound => Ok(()),
        }
    }

    /// Step 6, the part that no exchange state is needed for.
    fn check_flags(&self, header: &Header, target: Target) -> Result<(), Refusal> {
        let behaviour = &self.config.behaviour;
        let phase1 = matches!(header.exchange, ExchangeType::MAIN | ExchangeType::AGGRESSIVE);
        if header.flags.contains(Flags::AUTH_ONLY) && !(phase1 && behaviour.varies(Variant::IkeAuthOnlyTolerated)) {
            return Err(Refusal::keep(code::AUTH_ONLY));
        }
        // REQ IKE-HDR-009
        if target == Target::First
            && header.flags.contains(Flags::ENCRYPTION)
            && !behaviour.has(Defect::IkeEncryptionFlagIgnored)
        {
            return Err(Refusal::keep(code::FLAGS).with("encrypted first message"));
        }
        // REQ IKE-HDR-015: the commit flag is not authenticated; a conforming node takes no notice of it.
        if phase1 && header.flags.contains(Flags::COMMIT) && behaviour.has(Defect::IkeCommitStalls) {
            return Err(Refusal::keep(code::COMMIT));
        }
        Ok(())
    }

    /// Checks flag E and the length of a message that an SA must protect.
    pub(super) fn protected_form(&self, id: SaId, header: &Header, message: &[u8]) -> Result<(), Refusal> {
        if !header.flags.contains(Flags::ENCRYPTION) {
            // REQ GDOI-NEG-027
            let behaviour = &self.config.behaviour;
            if behaviour.has(Defect::KsClearPullServed) || behaviour.has(Defect::GmClearPullTaken) {
                return Ok(());
            }
            return Err(Refusal::keep(code::FLAGS).with("not encrypted"));
        }
        let block = self.sas.get(&id).map_or(16, |sa| sa.cipher().block_len());
        let octets = message.len().saturating_sub(Header::LEN);
        if octets == 0 || !octets.is_multiple_of(block) {
            return Err(Refusal::keep(code::BLOCK));
        }
        Ok(())
    }
}

/// Step 7.
fn check_message_id(header: &Header, behaviour: &Behaviour) -> Result<(), Refusal> {
    let wrong = match header.exchange {
        ExchangeType::PULL => header.message_id == 0,
        ExchangeType::INFORMATIONAL => header.message_id == 0 && header.flags.contains(Flags::ENCRYPTION),
        // REQ IKE-HDR-008
        _ => header.message_id != 0 && !behaviour.has(Defect::IkeAcceptsPhase1MessageId),
    };
    if wrong { Err(Refusal::keep(code::MESSAGE_ID)) } else { Ok(()) }
}

/// Tells whether phase 1 has no state for an exchange type.
pub(super) const fn is_unbound(exchange: ExchangeType) -> bool {
    matches!(exchange, ExchangeType::PUSH | ExchangeType::PUSH_ACK)
}
