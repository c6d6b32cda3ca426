//! The tester's own scripted key server and group member.
//!
//! Two peers that can say anything, right or wrong, built on the wire formats and the cryptography alone: the judge
//! shares no state machine with the judged. [`ProbeGm`] plays initiator and group member against a key server,
//! [`ProbeKs`] plays responder and key server against a group member. Both run in any [`world::World`], draw
//! everything from its randomness and hand every key to its evidence. They record ([`Seen`], [`gm::Push`],
//! [`ks::AckSeen`]) and do not judge.
//!
//! # A key server under test
//!
//! "HASH(1) with one bit flipped gets no message 2, and the phase 1 SA survives":
//!
//! ```no_run
//! # use hallmark_probe::{alive, edit, Fault, ProbeGm, Step, Tamper, world::World};
//! # use hallmark_wire::isakmp::PayloadType;
//! # fn case(world: &mut dyn World) -> Result<(), Fault> {
//! let mut gm = ProbeGm::new(world, 0);                    // tester 0 against subject 0, PSK, group 1234
//! gm.phase1(world)?;                                      // main mode, happy path
//! gm.tamper(Step::Pull1, Tamper::sealed(|message| edit::flip_bit(message, PayloadType::HASH, 0, 0)));
//! match gm.pull(world) {
//!     Err(fault) if fault.refused_at(Step::Pull2) => {}   // silence or a notification: both are allowed
//!     Err(fault) => panic!("answered, and wrongly: {fault}"),
//!     Ok(_) => panic!("it was answered"),
//! }
//! alive::phase1_sa(world, &mut gm)?;                      // the control: an untampered PULL under the same SA
//! # Ok(()) }
//! ```
//!
//! Every step can be taken alone: `send_main1`, `receive_main2`, `send_main3`, `receive_main4`, `send_main5`,
//! `receive_main6`; `send_aggressive1`, `receive_aggressive2`, `send_aggressive3`; `send_pull1`, `receive_pull2`,
//! `send_pull3`, `receive_pull4`; `send_informational`, `send_notify`, `delete_sa`, `ping`; `await_push`, `ack`,
//! `ack_as`. `resend(step)` repeats octet for octet, `send_raw` sends anything, `collect` listens. What was sent is in
//! `gm.sent`, what came in `gm.log`, what a PULL gave in the [`gm::Registration`], and policy and keys of every PUSH in
//! the [`gm::Push`] with its `findings` (requirement and deviation, as data).
//!
//! # A group member under test
//!
//! "A PUSH signed by another key is dropped, and does not move the sequence number":
//!
//! ```no_run
//! # use hallmark_core::Duration;
//! # use hallmark_probe::{alive, keys, Fault, ProbeKs, PushSpec, Tamper, world::World};
//! # const PATIENCE: Duration = Duration::from_secs(10);
//! # fn case(world: &mut dyn World) -> Result<(), Fault> {
//! let mut ks = ProbeKs::new(world, 0);                    // tester 0 serves group 1234
//! ks.await_registration(world, Duration::from_secs(30))?; // the subject registers by itself
//! alive::group_member(world, &mut ks, PATIENCE)?;         // a valid PUSH is acknowledged
//! let other = keys::load(keys::OTHER_RSA_2048_PEM).expect("a fixture");
//! let forged = PushSpec::tek(ks.fresh_tek()).tamper(Tamper::none().sign_with(other));
//! let push = ks.push(world, forged)?;                     // tampered with: the KS does not count it
//! let deadline = world.now() + Duration::from_secs(5);
//! assert!(ks.await_ack(world, &push, deadline).is_none());
//! alive::group_member(world, &mut ks, PATIENCE)?;         // valid, with the same sequence number: still accepted
//! # Ok(()) }
//! ```
//!
//! Answers of the key server are tampered with by step too (`ks.tamper(Step::Pull2, ...)`), or withheld, repeated,
//! delayed and sent from elsewhere (`ks.reply(Step::Pull4, Reply::Silent)`); what is served stands in `ks.script`
//! (suites, credentials, [`GroupPolicy`] with [`Kek`], [`Tek`]s, GAP, sender ids, LKH path); what came is in `ks.log`.
//!
//! # Making a message wrong
//!
//! See [`tamper`] for the stages, [`edit`] for changes by payload, [`tamper::octets`] for changes of the datagram and
//! [`fragment`] for IKE and IP fragments. Some recipes:
//!
//! | wanted | how |
//! |---|---|
//! | wrong content, right crypto | `Tamper::content(\|m\| edit::sak(m, \|sak\| edit::attributes::add(&mut sak.attributes, 127, 1)))` |
//! | forced inner length | `Tamper::content(\|m\| edit::sa_tree(m, \|_, inner\| inner[0].length = Field::Force(2)))` |
//! | HASH(3) in Quick Mode form | `Tamper::hashed(\|input\| input.prepend(vec![0]))` |
//! | HASH(4) with nonces exchanged | `Tamper::hashed(\|input\| input.swap("ni_b", "nr_b"))` |
//! | PUSH without the `rekey` prefix | `Tamper::hashed(\|input\| input.remove("rekey"))` |
//! | plaintext with the E flag clear | `Tamper::none().in_clear()` |
//! | a block of padding too much | `Tamper::none().pad_with(vec![0; 16])` |
//! | wrong header length | `Tamper::wire(\|d\| octets::set_length(d, 27))` |
//! | low-exponent forgery | `Tamper::none().sign_block(\|digest, len\| rsa_block::short_padding(HashAlg::Sha256, digest, len))` |
//!
//! # Traffic
//!
//! [`data`] is for the data plane: packets in clear, ESP as another member of the group sends it with the keys that
//! [`ProbeKs`] has handed out, and what the subject sent, opened and looked at. `world.inject` and `world.carried` move
//! packets in and out of the subject's ports.
//!
//! # Time
//!
//! Only waiting lets time pass. A probe waits `script.patience` for an answer (sending the message again after 3 s as a
//! lost datagram would demand), but only `script.quiet` for the answer to a tampered message, which it sends once.

pub mod alive;
pub mod certs;
pub mod data;
pub mod edit;
pub mod fragment;
pub mod gm;
pub mod group;
pub mod keys;
pub mod ks;
mod sa;
mod seal;
pub mod seen;
pub mod step;
pub mod suite;
pub mod tamper;
pub mod vendor;
pub mod world;

pub use gm::{GmScript, ProbeGm};
pub use group::{Flow, GroupPolicy, Kek, SidPlan, Tek};
pub use ks::{KsScript, ProbeKs, PushSpec, Reply};
pub use sa::{Credentials, Fixed, Sa};
pub use seen::{Payload, Seen};
pub use step::{Fault, Step};
pub use suite::{Auth, Suite};
pub use tamper::Tamper;
