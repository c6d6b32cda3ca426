//! ISAKMP messages, payload chains and the payloads of phase 1 and of informational exchanges.
//!
//! A datagram is a [`Message`]; its body, in clear or decrypted, is a [`Chain`] of [`PayloadView`]s; the body of each
//! view decodes to one of the owned payload values. What may appear where is decided by the protocol, not here.

mod attribute;
mod build;
mod chain;
mod header;
mod payloads;
mod registry;
mod sa;
pub mod vendor_id;

pub use attribute::{Attribute, AttributeValue, Attributes};
pub use build::{Built, build_chain, payload_octets};
pub use chain::{Chain, PayloadView, Payloads};
pub use header::{Cookie, Header, Message};
pub use payloads::{Certificate, CertificateRequest, Delete, Fragment, Identification, Notify};
pub use registry::{ExchangeType, Flags, IdType, NotifyType, PayloadType};
pub use sa::{Proposal, SecurityAssociation, Transform};

pub(crate) use chain::generic_header;

#[cfg(test)]
mod tests;
