//! One direction of a host's link: delay, loss, duplication, reordering, damage, rate and outages.

use hallmark_core::{Duration, Instant, Rng};
use hallmark_wire::ip::{Ipv4Packet, parse_udp, udp_packet};

use crate::mark::Marks;
use crate::tap::DropReason;

/// Says how much the delay of packets varies.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Jitter {
    /// Not at all.
    #[default]
    None,
    /// Evenly between nothing and this.
    Uniform(Duration),
    /// Exponentially with this mean, cut at a maximum.
    Exponential {
        /// The mean of the extra delay.
        mean: Duration,
        /// The maximum of the extra delay.
        cap: Duration,
    },
}

/// Loses packets in bursts: the link changes between a good and a bad phase with each packet (Gilbert-Elliott).
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct GilbertElliott {
    /// Probability of turning bad, for each packet in the good phase.
    pub good_to_bad: f64,
    /// Probability of turning good, for each packet in the bad phase.
    pub bad_to_good: f64,
    /// Probability of losing a packet in the good phase.
    pub loss_good: f64,
    /// Probability of losing a packet in the bad phase.
    pub loss_bad: f64,
}

/// Says how a packet is damaged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Damage {
    /// One bit is flipped.
    Bit,
    /// So many octets in a row are overwritten with random ones.
    Burst {
        /// Length of the burst.
        octets: usize,
    },
    /// The end is cut off.
    Truncate,
}

/// Damages packets.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Corruption {
    /// Probability, for each packet.
    pub probability: f64,
    /// How.
    pub damage: Damage,
    /// Whether the damage hits only the UDP payload and lengths and checksums are made right again, so that it reaches
    /// the protocol above. Packets other than unfragmented UDP are then left alone.
    pub repair: bool,
}

/// Takes a link down again and again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flap {
    /// When the first outage begins.
    pub first: Instant,
    /// How long each outage lasts.
    pub down: Duration,
    /// Time from the beginning of one outage to the beginning of the next.
    pub period: Duration,
}

/// Describes one direction of a link. The default carries everything up to 1,500 octets in order after 1 ms.
#[derive(Clone, PartialEq, Debug)]
pub struct LinkProfile {
    /// Delay of each packet.
    pub latency: Duration,
    /// Variation of the delay.
    pub jitter: Jitter,
    /// Whether packets stay in order in spite of jitter (those that [`LinkProfile::reorder`] picks do not).
    pub keep_order: bool,
    /// Probability of losing a packet, each by itself.
    pub loss: f64,
    /// Loss in bursts.
    pub gilbert: Option<GilbertElliott>,
    /// Packets that are dropped by their number, counted from 1 since the profile was set.
    pub drop_nth: Vec<u64>,
    /// Probability that a packet arrives twice.
    pub duplicate: f64,
    /// How much later the second copy arrives; zero for at once.
    pub duplicate_delay: Duration,
    /// Probability that a packet is held back so that later ones overtake it.
    pub reorder: f64,
    /// How long such a packet is held back.
    pub reorder_by: Duration,
    /// Damage to packets.
    pub corrupt: Option<Corruption>,
    /// Largest packet that fits. On the way up it is what the host's own interface carries.
    pub mtu: usize,
    /// Whether packets that do not fit and may not be cut vanish without an ICMP report (a path MTU black hole).
    pub black_hole: bool,
    /// Bits per second; nothing for unlimited.
    pub rate_bps: Option<u64>,
    /// Octets that wait before a link of limited rate; what comes beyond is dropped.
    pub queue_octets: usize,
    /// Spans of time in which the link is down, from the first instant up to but not at the second.
    pub outages: Vec<(Instant, Instant)>,
    /// Outages that come back.
    pub flap: Option<Flap>,
}

impl Default for LinkProfile {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(1),
            jitter: Jitter::None,
            keep_order: true,
            loss: 0.0,
            gilbert: None,
            drop_nth: Vec::new(),
            duplicate: 0.0,
            duplicate_delay: Duration::ZERO,
            reorder: 0.0,
            reorder_by: Duration::from_millis(50),
            corrupt: None,
            mtu: 1_500,
            black_hole: false,
            rate_bps: None,
            queue_octets: 256 * 1024,
            outages: Vec::new(),
            flap: None,
        }
    }
}

impl LinkProfile {
    /// Says whether the link is down at a time.
    #[must_use]
    pub fn is_down(&self, now: Instant) -> bool {
        let flaps = self.flap.is_some_and(|flap| {
            let period = u64::try_from(flap.period.as_nanos()).unwrap_or(u64::MAX).max(1);
            now >= flap.first && u128::from((now.0 - flap.first.0) % period) < flap.down.as_nanos()
        });
        flaps || self.outages.iter().any(|(from, until)| now >= *from && now < *until)
    }
}

/// A copy of a packet that comes out of a link.
#[derive(Debug)]
pub(crate) struct Carried {
    pub(crate) arrival: Instant,
    /// The damaged packet, where it differs from what was sent.
    pub(crate) damaged: Option<Vec<u8>>,
    pub(crate) marks: Marks,
}

/// A profile with its state.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) profile: LinkProfile,
    rng: Rng,
    bad: bool,
    count: u64,
    busy_until: Instant,
    last_arrival: Instant,
}

impl Link {
    /// No packet crosses a link in less time, so that every exchange makes time pass.
    const TRANSIT_MIN: Duration = Duration::from_micros(1);

    pub(crate) fn new(rng: Rng) -> Self {
        Self {
            profile: LinkProfile::default(),
            rng,
            bad: false,
            count: 0,
            busy_until: Instant::ZERO,
            last_arrival: Instant::ZERO,
        }
    }

    pub(crate) fn set_profile(&mut self, profile: LinkProfile) {
        self.profile = profile;
        self.bad = false;
        self.count = 0;
    }

    /// Decides what becomes of a packet that enters at `now`: one or two copies come out, or none.
    pub(crate) fn carry(&mut self, now: Instant, packet: &[u8]) -> Result<(Carried, Option<Carried>), DropReason> {
        self.count += 1;
        self.lose(now)?;
        let finished = self.queue(now, packet.len())?;
        let mut arrival = finished + self.profile.latency + self.vary();
        let mut marks = Marks::NONE;
        if self.chance(self.profile.reorder) {
            arrival += self.profile.reorder_by;
            marks = marks.with(Marks::REORDERED);
        } else if self.profile.keep_order {
            arrival = arrival.max(self.last_arrival);
            self.last_arrival = arrival;
        }
        let arrival = arrival.max(now + Self::TRANSIT_MIN);
        let second = self.chance(self.profile.duplicate).then(|| Carried {
            arrival: arrival + self.profile.duplicate_delay,
            damaged: None,
            marks: marks.with(Marks::DUPLICATE),
        });
        let damaged = self.damage(packet);
        if damaged.is_some() {
            marks = marks.with(Marks::DAMAGED);
        }
        Ok((Carried { arrival, damaged, marks }, second))
    }

    fn lose(&mut self, now: Instant) -> Result<(), DropReason> {
        if self.profile.is_down(now) {
            return Err(DropReason::LinkDown);
        }
        if self.profile.drop_nth.contains(&self.count) {
            return Err(DropReason::Nth);
        }
        if self.chance(self.profile.loss) {
            return Err(DropReason::Loss);
        }
        if let Some(gilbert) = self.profile.gilbert {
            let turn = if self.bad { gilbert.bad_to_good } else { gilbert.good_to_bad };
            self.bad ^= self.chance(turn);
            let loss = if self.bad { gilbert.loss_bad } else { gilbert.loss_good };
            if self.chance(loss) {
                return Err(DropReason::Burst);
            }
        }
        Ok(())
    }

    /// Gives the time at which the packet is sent out completely.
    fn queue(&mut self, now: Instant, octets: usize) -> Result<Instant, DropReason> {
        let Some(rate_bps) = self.profile.rate_bps else { return Ok(now) };
        let rate_bps = u128::from(rate_bps.max(1));
        let waiting_octets = (self.busy_until - now).as_nanos() * rate_bps / 8_000_000_000;
        if waiting_octets + octets as u128 > self.profile.queue_octets as u128 {
            return Err(DropReason::QueueFull);
        }
        let nanos = octets as u128 * 8_000_000_000 / rate_bps;
        let spent = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.busy_until = self.busy_until.max(now) + spent;
        Ok(self.busy_until)
    }

    fn vary(&mut self) -> Duration {
        match self.profile.jitter {
            Jitter::None => Duration::ZERO,
            Jitter::Uniform(most) => Duration::from_nanos(self.rng.below(nanos(most).saturating_add(1))),
            Jitter::Exponential { mean, cap } => {
                let (whole, fraction) = exponential(&mut self.rng);
                let mean = u128::from(nanos(mean));
                let extra = mean * u128::from(whole) + ((mean * u128::from(fraction)) >> 32);
                Duration::from_nanos(u64::try_from(extra).unwrap_or(u64::MAX)).min(cap)
            }
        }
    }

    fn damage(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let corrupt = self.profile.corrupt?;
        if !self.chance(corrupt.probability) {
            return None;
        }
        if !corrupt.repair {
            let mut damaged = packet.to_vec();
            self.damage_octets(corrupt.damage, &mut damaged);
            return Some(damaged);
        }
        let mut datagram = parse_udp(packet).ok()?;
        let header = Ipv4Packet::decode(packet).ok().map(|ip| ip.header);
        self.damage_octets(corrupt.damage, &mut datagram.payload);
        let (ident, dont_fragment) = header.map_or((0, false), |h| (h.ident, h.dont_fragment));
        Some(udp_packet(&datagram, ident, dont_fragment))
    }

    fn damage_octets(&mut self, damage: Damage, octets: &mut Vec<u8>) {
        let len = octets.len() as u64;
        if len == 0 {
            return;
        }
        let at = self.rng.below(len) as usize;
        match damage {
            Damage::Bit => {
                let bit = self.rng.below(8);
                if let Some(octet) = octets.get_mut(at) {
                    *octet ^= 1 << bit;
                }
            }
            Damage::Burst { octets: burst } => {
                let end = at.saturating_add(burst.max(1)).min(octets.len());
                if let Some(hit) = octets.get_mut(at..end) {
                    self.rng.fill(hit);
                }
            }
            Damage::Truncate => octets.truncate(at),
        }
    }

    /// Draws only where something can happen, so that one fault switched off shifts no other.
    fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.rng.chance(probability)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Draws from the exponential distribution of mean 1, as a whole number and a fraction in units of 2^-32.
///
/// Von Neumann's method needs comparisons only, so every machine draws the same numbers.
fn exponential(rng: &mut Rng) -> (u32, u32) {
    for whole in 0..64 {
        let first = rng.next_u32();
        let mut last = first;
        let mut falling = 1u32;
        loop {
            let next = rng.next_u32();
            if next > last || falling >= 64 {
                break;
            }
            last = next;
            falling += 1;
        }
        if falling % 2 == 1 {
            return (whole, first);
        }
    }
    (64, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_draws_have_mean_and_variance_of_one() {
        let mut rng = Rng::from_u64(5);
        let draws: Vec<f64> = (0..20_000)
            .map(|_| exponential(&mut rng))
            .map(|(whole, fraction)| f64::from(whole) + f64::from(fraction) / 4_294_967_296.0)
            .collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        assert!((0.97..1.03).contains(&mean), "{mean}");
        assert!((0.93..1.07).contains(&variance), "{variance}");
    }

    #[test]
    fn outages_end_and_flaps_come_back() {
        let profile = LinkProfile {
            outages: vec![(Instant::from_secs(1), Instant::from_secs(2))],
            flap: Some(Flap {
                first: Instant::from_secs(10),
                down: Duration::from_secs(1),
                period: Duration::from_secs(5),
            }),
            ..LinkProfile::default()
        };
        let down: Vec<u64> = (0..25).filter(|s| profile.is_down(Instant::from_secs(*s))).collect();
        assert_eq!(down, [1, 10, 15, 20]);
    }
}
