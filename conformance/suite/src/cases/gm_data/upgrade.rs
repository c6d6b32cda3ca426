//! Traffic of a member whose key server is of an older generation: what the server does wrong must not cost packets.

use hallmark_core::{Duration, Instant};
use hallmark_probe::ks::PushSpec;

use super::marks::{came, inbound, tek_lives, tester};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::data::{DataScene, Rule};

pub(crate) const CASES: &[Case] = &[
    case! {
        "UPG-003", "data.rollover", Must, Gm,
        title: "a key server that begins to count anew under an old KEK costs a new member no traffic",
        purpose: "Old servers deliver each new KEK under number 1 of the old one. New members have to refuse that, and come \
                  back for the keys early enough: an upgrade that is done member by member meets it at every KEK.",
        requirements: ["UPG-003"],
        sources: ["CSCta05809", "getvpn.md §6 P01", "getvpn.md §9.13"],
        catches: ["gm_no_seqcheck", "gm_reregisters_late", "gm_never_reregisters"],
        needs: [Datapath],
        cost: 260,
        run: server_counts_anew,
    },
    case! {
        "UPG-004", "data.rollover", Must, Gm,
        title: "a key server that renews its KEK only when it ends costs a new member no traffic",
        purpose: "Old servers send the new KEK when the old one has ended, which a new member cannot read any more. It has \
                  to come back by itself in each life of a KEK, and go on with its keys meanwhile.",
        requirements: ["UPG-004"],
        sources: ["getvpn.md §6 P05", "getvpn.md §9.13"],
        catches: ["gm_no_kek_timer"],
        needs: [Datapath],
        cost: 400,
        run: kek_at_its_end,
    },
];

/// Follows the traffic of a member, one packet each way in about a second.
struct Traffic {
    scene: DataScene,
    /// Registrations that the other member has heard of.
    heard: usize,
    sent: u16,
    lost: usize,
    /// Seconds in a row in which a packet was lost, and the longest such time.
    in_a_row: usize,
    longest: usize,
}

impl Traffic {
    fn of(scene: DataScene) -> Self {
        let heard = scene.scene.ks.log.registrations;
        Self { scene, heard, sent: 0, lost: 0, in_a_row: 0, longest: 0 }
    }

    /// Lets a second go by. The other member goes over to the newest TEK when this one has registered again, as it would
    /// itself at about that time. Tells whether it has.
    fn second(&mut self, cx: &mut Cx<'_>) -> Flow<bool> {
        let registrations = self.scene.scene.ks.log.registrations;
        let again = registrations > self.heard;
        if again {
            self.heard = registrations;
            let tek = self.scene.tek()?;
            if self.scene.peer()?.spi != tek.spi {
                self.scene.send_under(&tek)?;
            }
        }
        self.sent = self.sent.wrapping_add(1);
        let out = DataScene::outbound().ident(self.sent).octets();
        let passed = self.scene.lan_to_wan(cx, &out)?;
        let left = passed.wan.iter().any(|carried| self.scene.open(carried).is_ok());
        let esp = self.scene.seal(cx, &inbound(self.sent))?;
        let arrived = came(cx, &mut self.scene, &esp)?;
        let lost = usize::from(!left) + usize::from(!arrived);
        self.lost += lost;
        self.in_a_row = if lost > 0 { self.in_a_row + 1 } else { 0 };
        self.longest = self.longest.max(self.in_a_row);
        self.scene.scene.ks.serve_for(cx.world, Duration::from_millis(800));
        Ok(again)
    }

    /// Judges that no two seconds in a row have lost a packet.
    fn judge(&self, cx: &mut Cx<'_>, rule: &Rule) {
        cx.measure("packets lost", self.lost as f64, "");
        let observed = format!("{} of {} packets lost, {} s in a row at most", self.lost, self.sent * 2, self.longest);
        rule.judge(cx, self.longest < 2, "no outage of more than a second", observed);
    }
}

fn server_counts_anew(cx: &mut Cx<'_>) -> Flow {
    const REFUSED: Rule = Rule::new("upgrade.number-refused", &["UPG-003"]);
    const BACK: Rule = Rule::new("upgrade.comes-back", &["UPG-003"]);
    const TRAFFIC: Rule = Rule::new("upgrade.no-outage", &["UPG-003"]);
    const LIFE: u32 = 100;
    let scene = DataScene::with(
        cx,
        |_| {},
        |script| {
            tek_lives(script, LIFE);
            if let Some(kek) = &mut script.group.kek {
                kek.seq = 7;
            }
        },
    )?;
    let mut traffic = Traffic::of(scene);
    for roll in 1..=3 {
        let ks = &mut traffic.scene.scene.ks;
        let (mut kek, tek) = (ks.fresh_kek().map_err(tester)?, ks.fresh_tek());
        // The next KEK has sent some rekeys too when its turn comes.
        kek.seq = 7;
        let spec = PushSpec::kek(kek).with_tek(tek).seq(1).commit(true);
        let push = ks.push(cx.world, spec).map_err(tester)?;
        let end = cx.in_secs(u64::from(LIFE));
        let mut back = false;
        while !back && cx.world.now() < end {
            back = traffic.second(cx)?;
        }
        let acks = &traffic.scene.scene.ks.log.acks;
        let taken = acks.iter().any(|ack| ack.is_valid() && ack.seq == Some(1) && ack.seen.at >= push.at);
        let observed = format!("KEK {roll}: {}", if taken { "acknowledged" } else { "not acknowledged" });
        REFUSED.judge(cx, !taken, "a rekey with number 1 after number 7 is not acknowledged", observed);
        let observed = format!("KEK {roll}: {}", if back { "it registered" } else { "it did not register" });
        BACK.judge(cx, back, "it registers before its TEK ends", observed);
    }
    traffic.judge(cx, &TRAFFIC);
    traffic.scene.finish(cx)
}

fn kek_at_its_end(cx: &mut Cx<'_>) -> Flow {
    const BACK: Rule = Rule::new("upgrade.comes-back-each-life", &["UPG-004"]);
    const TRAFFIC: Rule = Rule::new("upgrade.no-outage", &["UPG-004"]);
    const LIFE: u64 = 120;
    let scene = DataScene::with(
        cx,
        |_| {},
        |script| {
            if let Some(kek) = &mut script.group.kek {
                kek.lifetime_secs = Some(LIFE);
            }
        },
    )?;
    let born = scene.scene.ks.members.last().map_or(cx.world.now(), |member| member.at);
    let mut traffic = Traffic::of(scene);
    let mut end = born + Duration::from_secs(LIFE);
    for life in 1..=3 {
        let mut back = 0;
        while cx.world.now() < end {
            // Whoever registers is told what is left of the KEK.
            tell_life(&mut traffic, end, cx.world.now());
            back += usize::from(traffic.second(cx)?);
        }
        let observed = format!("KEK {life}: it registered {back} times");
        BACK.judge(cx, back > 0, "it registers before its KEK ends", observed);
        let ks = &mut traffic.scene.scene.ks;
        let mut kek = ks.fresh_kek().map_err(tester)?;
        kek.lifetime_secs = Some(LIFE);
        ks.push(cx.world, PushSpec::kek(kek).commit(true)).map_err(tester)?;
        end = cx.in_secs(LIFE);
    }
    tell_life(&mut traffic, end, cx.world.now());
    for _ in 0..20 {
        traffic.second(cx)?;
    }
    traffic.judge(cx, &TRAFFIC);
    traffic.scene.finish(cx)
}

/// Makes the key server tell what is left of its KEK.
fn tell_life(traffic: &mut Traffic, end: Instant, now: Instant) {
    if let Some(kek) = &mut traffic.scene.scene.ks.script.group.kek {
        kek.lifetime_secs = Some(end.saturating_since(now).as_secs().max(1));
    }
}
