//! Informational exchanges from the group member: notifications, deletes, dead peer detection.

use hallmark_core::Duration;
use hallmark_wire::isakmp::{Delete, ExchangeType, Notify, NotifyType, PayloadType};

use super::ProbeGm;
use crate::seal;
use crate::seen::Seen;
use crate::step::{Fault, Step};
use crate::world::World;

impl ProbeGm {
    /// Sends a protected Informational with these payloads behind its HASH, under a fresh message id.
    ///
    /// # Errors
    /// When there is no phase 1 SA.
    pub fn send_informational(
        &mut self,
        world: &mut dyn World,
        payloads: Vec<(PayloadType, Vec<u8>)>,
    ) -> Result<u32, Fault> {
        let tamper = self.tamper_of(Step::Informational);
        let sa = self.established()?;
        let message_id = self.script.fixed.message_id(&mut self.rng);
        let sealed =
            sa.seal_alone(ExchangeType::INFORMATIONAL, message_id, payloads, &tamper).map_err(Fault::tester)?;
        self.transmit(world, Step::Informational, &sealed);
        Ok(message_id)
    }

    /// Sends an unprotected Informational, with the cookies as far as they are known.
    ///
    /// # Errors
    /// None that a peer could cause.
    pub fn send_clear_informational(
        &mut self,
        world: &mut dyn World,
        payloads: Vec<(PayloadType, Vec<u8>)>,
    ) -> Result<(), Fault> {
        let tamper = self.tamper_of(Step::Informational);
        let cookies = self.sa.as_ref().map_or_else(|| self.half_cookies(), crate::sa::Sa::cookies);
        let message_id = self.script.fixed.message_id(&mut self.rng);
        let message = seal::raw(cookies, ExchangeType::INFORMATIONAL, message_id, false, payloads);
        let sealed = seal::finish(message, &tamper, |_| Ok(()), None).map_err(Fault::tester)?;
        self.transmit(world, Step::Informational, &sealed);
        Ok(())
    }

    /// Sends a protected notification.
    ///
    /// # Errors
    /// When there is no phase 1 SA.
    pub fn send_notify(&mut self, world: &mut dyn World, notify: Notify) -> Result<u32, Fault> {
        self.send_informational(world, vec![(PayloadType::NOTIFY, notify.encode_body())])
    }

    /// Gives the Delete payload for the phase 1 SA.
    ///
    /// # Errors
    /// When there is no phase 1 SA.
    pub fn delete_of_sa(&self) -> Result<Delete, Fault> {
        let sa = self.established()?;
        Ok(Delete { doi: self.script.doi, protocol: 1, spi_size: 16, spis: vec![sa.spi().to_vec()] })
    }

    /// Deletes the phase 1 SA, and forgets it.
    ///
    /// # Errors
    /// When there is no phase 1 SA.
    pub fn delete_sa(&mut self, world: &mut dyn World) -> Result<(), Fault> {
        let delete = self.delete_of_sa()?;
        self.send_informational(world, vec![(PayloadType::DELETE, delete.encode_body())])?;
        self.sa = None;
        Ok(())
    }

    /// Gives the R-U-THERE notification with this sequence number.
    ///
    /// # Errors
    /// When there is no phase 1 SA.
    pub fn r_u_there(&self, sequence: u32) -> Result<Notify, Fault> {
        let sa = self.established()?;
        Ok(Notify {
            doi: 1,
            protocol: 1,
            spi: sa.spi().to_vec(),
            kind: NotifyType::R_U_THERE,
            data: sequence.to_be_bytes().to_vec(),
        })
    }

    /// Sends R-U-THERE and waits for its acknowledgement.
    ///
    /// # Errors
    /// When there is no phase 1 SA, or no acknowledgement with this sequence number comes.
    pub fn ping(&mut self, world: &mut dyn World, sequence: u32, patience: Duration) -> Result<Seen, Fault> {
        let query = self.r_u_there(sequence)?;
        self.send_notify(world, query)?;
        let start = world.now();
        let deadline = start + patience;
        while let Some(seen) = self.receive(world, deadline) {
            let answers =
                |notify: &Notify| notify.kind == NotifyType::R_U_THERE_ACK && notify.data == sequence.to_be_bytes();
            if seen.authentic == Some(true) && seen.notifies().iter().any(answers) {
                return Ok(seen);
            }
        }
        Err(Fault::Silent { step: Step::Informational, waited: world.now().saturating_since(start) })
    }
}
