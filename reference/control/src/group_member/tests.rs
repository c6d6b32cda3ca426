//! What a group member refuses in policies and keys, one rule at a time.

use std::collections::BTreeSet;

use hallmark_core::{Code, Instant, Limits, Now, UnixTime};
use hallmark_crypto::{KeyKind, Secret};
use hallmark_wire::gdoi::{
    Dialect, Gap, GdoiSa, IpsecTek, KeyDownload, KeyPacket, LkhDownload, LkhKey, SaAttribute, SaKek, SaTek, Selector,
    TekBody, gap_attr, kd_type, kek_attr, kek_key, lkh_key, sid_key, tek_attr, tek_key,
};
use hallmark_wire::isakmp::{Attribute, Attributes, IdType};

use super::keys::{KekKeys, Keys, RekeySa, SequenceRules, read_kd};
use super::policy::{Policy, Rules, read_sa};
use crate::behaviour::Behaviour;
use crate::code;
use crate::config::{Compat, DataTransform, MembershipConfig};

const SPI: [u8; 16] = [7; 16];
const NOW: Now = Now::new(Instant::ZERO, UnixTime(0));

struct Reader {
    config: MembershipConfig,
    compat: Compat,
    behaviour: Behaviour,
    limits: Limits,
    pull: bool,
}

impl Reader {
    fn new() -> Self {
        Self {
            config: MembershipConfig::new(1),
            compat: Compat::NONE,
            behaviour: Behaviour::conforming(),
            limits: Limits::default(),
            pull: true,
        }
    }

    fn rules(&self) -> Rules<'_> {
        Rules {
            config: &self.config,
            compat: self.compat,
            behaviour: &self.behaviour,
            limits: &self.limits,
            pull: self.pull,
        }
    }

    fn sa(&self, sa: &GdoiSa) -> Result<Policy, Code> {
        read_sa(&sa.encode_body(&Dialect::RFC6407), self.rules())
    }

    fn kd(&self, sa: &GdoiSa, packets: Vec<KeyPacket>, current: Option<&RekeySa>) -> Result<Keys, Code> {
        let policy = self.sa(sa)?;
        read_kd(&KeyDownload { packets }.encode_body(), &policy, current, NOW, self.rules())
    }
}

fn sak() -> SaKek {
    SaKek {
        protocol: 17,
        src: Selector::from_ip("10.0.0.1".parse().unwrap()),
        dst: Selector::any_ipv4(),
        spi: SPI,
        attributes: Attributes(vec![
            Attribute::basic(kek_attr::ALGORITHM, 3),
            Attribute::basic(kek_attr::KEY_LENGTH, 128),
            Attribute::u32(kek_attr::KEY_LIFETIME, 3_600),
            Attribute::basic(kek_attr::SIG_HASH, 3),
            Attribute::basic(kek_attr::SIG_ALGORITHM, 1),
        ]),
    }
}

fn sat() -> IpsecTek {
    IpsecTek {
        ip_protocol: 0,
        src: Selector::any_ipv4(),
        dst: Selector::any_ipv4(),
        transform_id: 12,
        spi: 0x1_0000,
        attributes: Attributes(vec![
            Attribute::basic(tek_attr::LIFE_TYPE, 1),
            Attribute::u32(tek_attr::LIFE_DURATION, 900),
            Attribute::basic(tek_attr::ENCAPSULATION_MODE, 1),
            Attribute::basic(tek_attr::AUTH_ALGORITHM, 5),
            Attribute::basic(tek_attr::KEY_LENGTH, 128),
        ]),
    }
}

fn sa_of(kek: Option<SaKek>, gap: Option<Vec<Attribute>>, teks: Vec<IpsecTek>) -> GdoiSa {
    let mut attributes: Vec<SaAttribute> = kek.into_iter().map(SaAttribute::Kek).collect();
    attributes.extend(gap.map(|attributes| SaAttribute::Gap(Gap { attributes: Attributes(attributes) })));
    attributes.extend(teks.into_iter().map(|tek| SaAttribute::Tek(SaTek::esp(tek))));
    GdoiSa::new(attributes)
}

fn set(attributes: &mut Attributes, attribute: Attribute) {
    attributes.0.retain(|known| known.class != attribute.class);
    attributes.push(attribute);
}

fn drop_class(attributes: &mut Attributes, class: u16) {
    attributes.0.retain(|known| known.class != class);
}

#[test]
fn a_usual_policy_is_understood() {
    let gap = vec![Attribute::basic(gap_attr::ACTIVATION_TIME_DELAY, 10), Attribute::basic(3, 9)];
    let policy = Reader::new().sa(&sa_of(Some(sak()), Some(gap), vec![sat()])).unwrap();
    let kek = policy.kek.unwrap();
    assert_eq!((kek.kind, kek.lifetime.map(|lifetime| lifetime.as_secs())), (KeyKind::Rsa, Some(3_600)));
    assert_eq!(policy.activation.map(|delay| delay.as_secs()), Some(10));
    assert_eq!(policy.teks[0].transform.to_string(), "esp aes128-cbc hmac-sha256");
    assert_eq!(policy.teks[0].lifetime.as_secs(), 900);
}

#[test]
fn each_rule_of_a_sak_has_its_code() {
    type Change = fn(&mut SaKek);
    let rules: &[(Code, Change)] = &[
        (code::SAK_PROTOCOL, |sak| sak.protocol = 6),
        (code::SAK_SPI, |sak| sak.spi = [0; 16]),
        (code::SAK_ATTRIBUTE, |sak| sak.attributes.push(Attribute::basic(100, 1))),
        (code::SAK_ATTRIBUTE, |sak| sak.attributes.push(Attribute::basic(8, 1))),
        (code::SAK_REPEATED, |sak| sak.attributes.push(Attribute::basic(kek_attr::ALGORITHM, 3))),
        (code::SAK_FORM, |sak| set(&mut sak.attributes, Attribute::u32(kek_attr::ALGORITHM, 3))),
        (code::SAK_ALGORITHM, |sak| drop_class(&mut sak.attributes, kek_attr::ALGORITHM)),
        (code::SAK_ALGORITHM, |sak| set(&mut sak.attributes, Attribute::basic(kek_attr::ALGORITHM, 50))),
        (code::SAK_KEY_LENGTH, |sak| drop_class(&mut sak.attributes, kek_attr::KEY_LENGTH)),
        (code::SAK_KEY_LENGTH, |sak| set(&mut sak.attributes, Attribute::basic(kek_attr::KEY_LENGTH, 129))),
        (code::SAK_LIFETIME, |sak| set(&mut sak.attributes, Attribute::basic(kek_attr::KEY_LIFETIME, 9))),
        (code::SAK_LIFETIME, |sak| set(&mut sak.attributes, Attribute::variable(kek_attr::KEY_LIFETIME, vec![1, 2]))),
        (code::SAK_LIFETIME, |sak| set(&mut sak.attributes, Attribute::u32(kek_attr::KEY_LIFETIME, 0))),
        (code::SAK_SIG_ALGORITHM, |sak| drop_class(&mut sak.attributes, kek_attr::SIG_ALGORITHM)),
        (code::SAK_SIG_ALGORITHM, |sak| set(&mut sak.attributes, Attribute::basic(kek_attr::SIG_ALGORITHM, 7))),
        (code::SAK_SIG_HASH, |sak| drop_class(&mut sak.attributes, kek_attr::SIG_HASH)),
        (code::SAK_SIG_HASH, |sak| set(&mut sak.attributes, Attribute::basic(kek_attr::SIG_HASH, 6))),
        (code::SAK_SIG_HASH, |sak| set(&mut sak.attributes, Attribute::basic(kek_attr::SIG_ALGORITHM, 5))),
        (code::SAK_SELECTOR, |sak| sak.dst = Selector { id_type: IdType::IPV4_ADDR, port: 0, data: vec![1, 2, 3] }),
        (code::POLICY_KEK_CIPHER, |sak| {
            drop_class(&mut sak.attributes, kek_attr::KEY_LENGTH);
            set(&mut sak.attributes, Attribute::basic(kek_attr::ALGORITHM, 1));
        }),
        (code::POLICY_SIG_HASH, |sak| set(&mut sak.attributes, Attribute::basic(kek_attr::SIG_HASH, 1))),
    ];
    for (code, change) in rules {
        let mut sak = sak();
        change(&mut sak);
        assert_eq!(Reader::new().sa(&sa_of(Some(sak), None, vec![])).map(|_| ()), Err(*code));
    }
}

#[test]
fn what_a_sak_may_leave_out_or_add_is_accepted() {
    let mut bare = sak();
    bare.attributes =
        Attributes(vec![Attribute::basic(kek_attr::ALGORITHM, 2), Attribute::basic(kek_attr::SIG_ALGORITHM, 4)]);
    assert!(Reader::new().sa(&sa_of(Some(bare), None, vec![])).is_ok());
    for value in [1, 77] {
        let mut managed = sak();
        managed.attributes.push(Attribute::basic(kek_attr::MANAGEMENT_ALGORITHM, value));
        let sa = sa_of(Some(managed), None, vec![]);
        assert!(Reader::new().sa(&sa).is_ok(), "ignored in a PULL");
        let push = Reader { pull: false, ..Reader::new() };
        assert_eq!(push.sa(&sa).is_ok(), value == 1, "judged in a PUSH");
    }
    let mut unknown = sak();
    unknown.attributes.push(Attribute::basic(100, 1));
    unknown.attributes.push(Attribute::basic(kek_attr::ACK_REQUESTED, 200));
    let mut lenient = Reader::new();
    lenient.config.ignore_unknown_attributes = true;
    let policy = lenient.sa(&sa_of(Some(unknown), None, vec![])).unwrap();
    assert_eq!(policy.kek.unwrap().ack, Some(200));
    let mut short = sak();
    set(&mut short.attributes, Attribute::basic(kek_attr::KEY_LIFETIME, 900));
    let tolerant = Reader { compat: Compat::KEK_LIFETIME_TV, ..Reader::new() };
    assert!(tolerant.sa(&sa_of(Some(short), None, vec![])).is_ok());
}

#[test]
fn each_rule_of_a_sat_has_its_code() {
    type Change = fn(&mut IpsecTek);
    let bad = |id_type: u8, data: &[u8]| Selector { id_type: IdType(id_type), port: 0, data: data.to_vec() };
    let _ = bad;
    let rules: &[(Code, Change)] = &[
        (code::SAT_SPI, |tek| tek.spi = 0),
        (code::SAT_SPI, |tek| tek.spi = 255),
        (code::SAT_TRANSFORM, |tek| tek.transform_id = 99),
        (code::SAT_TRANSFORM, |tek| set(&mut tek.attributes, Attribute::basic(tek_attr::KEY_LENGTH, 100))),
        (code::SAT_ATTRIBUTE, |tek| tek.attributes.push(Attribute::basic(100, 1))),
        (code::SAT_VALUE, |tek| tek.attributes.push(Attribute::basic(tek_attr::ADDRESS_PRESERVATION, 0))),
        (code::SAT_VALUE, |tek| tek.attributes.push(Attribute::basic(tek_attr::ADDRESS_PRESERVATION, 5))),
        (code::SAT_VALUE, |tek| tek.attributes.push(Attribute::basic(tek_attr::SA_DIRECTION, 4))),
        (code::SAT_VALUE, |tek| tek.attributes.push(Attribute::basic(tek_attr::KEY_LENGTH, 128))),
        (code::SAT_VALUE, |tek| tek.attributes.push(Attribute::basic(tek_attr::ESN, 2))),
        (code::SAT_VALUE, |tek| set(&mut tek.attributes, Attribute::basic(tek_attr::ENCAPSULATION_MODE, 3))),
        (code::SAT_LIFETIME, |tek| drop_class(&mut tek.attributes, tek_attr::LIFE_TYPE)),
        (code::SAT_LIFETIME, |tek| drop_class(&mut tek.attributes, tek_attr::LIFE_DURATION)),
        (code::SAT_LIFETIME, |tek| tek.attributes.0.swap(0, 1)),
        (code::SAT_LIFETIME, |tek| tek.attributes.0[1] = Attribute::u32(tek_attr::LIFE_DURATION, 0)),
        (code::SAT_LIFETIME, |tek| tek.attributes.0[0] = Attribute::basic(tek_attr::LIFE_TYPE, 3)),
        (code::SAT_SELECTOR, |tek| tek.src.data.truncate(3)),
        (code::SAT_SELECTOR, |tek| tek.dst = Selector::from_ip("::1".parse().unwrap())),
        (code::SAT_SELECTOR, |tek| tek.dst.id_type = IdType::FQDN),
    ];
    for (code, change) in rules {
        let mut tek = sat();
        change(&mut tek);
        assert_eq!(Reader::new().sa(&sa_of(None, None, vec![tek])).map(|_| ()), Err(*code));
    }
    let other = SaTek { protocol_id: 4, body: TekBody::Other(vec![1, 2, 3]) };
    let sa = GdoiSa::new(vec![SaAttribute::Tek(other)]);
    assert_eq!(Reader::new().sa(&sa).map(|_| ()), Err(code::SAT_PROTOCOL));
}

#[test]
fn several_selectors_make_one_sa_unless_they_contradict_each_other() {
    let mut second = sat();
    second.dst = Selector::from_subnet("10.9.0.0".parse().unwrap(), 16);
    let policy = Reader::new().sa(&sa_of(None, None, vec![sat(), second.clone()])).unwrap();
    assert_eq!((policy.teks.len(), policy.teks[0].selectors.len()), (1, 2));
    set(&mut second.attributes, Attribute::basic(tek_attr::KEY_LENGTH, 256));
    let refused = Reader::new().sa(&sa_of(None, None, vec![sat(), second]));
    assert_eq!(refused.map(|_| ()), Err(code::SAT_CONFLICT));
    let mut small = Reader::new();
    small.limits.teks = 2;
    let many = (0..3).map(|index| IpsecTek { spi: 1_000 + index, ..sat() }).collect();
    assert!(small.sa(&sa_of(None, None, many)).is_err());
    small.limits.teks = 3;
    let many = (0..3).map(|index| IpsecTek { spi: 1_000 + index, ..sat() }).collect();
    assert!(small.sa(&sa_of(None, None, many)).is_ok());
}

#[test]
fn doi_situation_delays_and_floors_have_their_codes() {
    let reader = Reader::new();
    let with = |change: fn(&mut GdoiSa)| {
        let mut sa = sa_of(Some(sak()), None, vec![sat()]);
        change(&mut sa);
        Reader::new().sa(&sa).map(|_| ())
    };
    assert_eq!(with(|sa| sa.doi = 0x0100_0002), Err(code::SA_DOI));
    assert_eq!(with(|sa| sa.situation = 0x0100_0000), Err(code::SA_SITUATION));
    let gap = |attributes| reader.sa(&sa_of(Some(sak()), Some(attributes), vec![])).map(|_| ());
    assert_eq!(gap(vec![Attribute::basic(100, 1)]), Err(code::GAP_ATTRIBUTE));
    assert_eq!(gap(vec![Attribute::u32(1, 1)]), Err(code::GAP_FORM));
    assert_eq!(gap(vec![Attribute::basic(2, 1), Attribute::basic(2, 1)]), Err(code::GAP_FORM));
    let mut strict = Reader::new();
    strict.config.acceptable_transforms = vec![DataTransform::from_names("esp", "aes256-gcm16", None).unwrap()];
    assert_eq!(strict.sa(&sa_of(None, None, vec![sat()])).map(|_| ()), Err(code::POLICY_TRANSFORM));
}

fn tek_packet() -> KeyPacket {
    KeyPacket {
        kd_type: kd_type::TEK,
        spi: 0x1_0000_u32.to_be_bytes().to_vec(),
        attributes: Attributes(vec![
            Attribute::variable(tek_key::ALGORITHM, vec![1; 16]),
            Attribute::variable(tek_key::INTEGRITY, vec![2; 32]),
        ]),
    }
}

fn kek_packet() -> KeyPacket {
    let attributes = Attributes(vec![Attribute::variable(kek_key::ALGORITHM, vec![3; 32])]);
    KeyPacket { kd_type: kd_type::KEK, spi: SPI.to_vec(), attributes }
}

#[test]
fn each_rule_of_a_tek_packet_has_its_code() {
    type Change = fn(&mut KeyPacket);
    let rules: &[(Code, Change)] = &[
        (code::KD_TEK_SPI, |packet| packet.spi.truncate(3)),
        (code::KD_TEK_SPI, |packet| packet.spi = vec![9; 4]),
        (code::KD_ATTRIBUTE, |packet| packet.attributes.push(Attribute::basic(100, 1))),
        (code::KD_KEY, |packet| packet.attributes.0[0] = Attribute::basic(tek_key::ALGORITHM, 1)),
        (code::KD_KEY, |packet| packet.attributes.0[0] = Attribute::variable(tek_key::ALGORITHM, vec![1; 15])),
        (code::KD_KEY, |packet| packet.attributes.0.truncate(1)),
        (code::KD_REPEATED, |packet| packet.attributes.0.extend(packet.attributes.0.clone())),
        (code::KD_TYPE, |packet| packet.kd_type = 5),
        (code::KD_KEK_SPI, |packet| *packet = kek_packet()),
    ];
    let sa = sa_of(None, None, vec![sat()]);
    for (code, change) in rules {
        let mut packet = tek_packet();
        change(&mut packet);
        assert_eq!(Reader::new().kd(&sa, vec![packet], None).map(|_| ()), Err(*code));
    }
    assert!(Reader::new().kd(&sa, vec![tek_packet()], None).is_ok());
    assert_eq!(Reader::new().kd(&sa, vec![], None).map(|_| ()), Err(code::SA_KEY_MISSING));
    assert_eq!(Reader::new().kd(&sa, vec![tek_packet(), tek_packet()], None).map(|_| ()), Err(code::KD_REPEATED));
}

#[test]
fn each_rule_of_a_kek_packet_has_its_code() {
    type Change = fn(&mut KeyPacket);
    let rules: &[(Code, Change)] = &[
        (code::KD_KEK_SPI, |packet| packet.spi = vec![8; 16]),
        (code::KD_KEK, |packet| packet.attributes.0.clear()),
        (code::KD_KEK, |packet| packet.attributes.0[0] = Attribute::variable(kek_key::ALGORITHM, vec![3; 16])),
        (code::KD_KEK, |packet| packet.attributes.0[0] = Attribute::variable(kek_key::ALGORITHM, vec![3; 33])),
        (code::KD_ATTRIBUTE, |packet| packet.attributes.push(Attribute::variable(100, vec![]))),
        (code::KD_SIG_KEY, |packet| packet.attributes.push(Attribute::variable(kek_key::SIGNATURE, vec![1, 2, 3]))),
        (code::KD_REPEATED, |packet| packet.attributes.0.extend(packet.attributes.0.clone())),
        (code::KD_LKH, |packet| {
            packet.kd_type = kd_type::LKH;
            packet.attributes.0.clear();
        }),
    ];
    let sa = sa_of(Some(sak()), None, vec![]);
    for (code, change) in rules {
        let mut packet = kek_packet();
        change(&mut packet);
        assert_eq!(Reader::new().kd(&sa, vec![packet], None).map(|_| ()), Err(*code));
    }
    assert!(Reader::new().kd(&sa, vec![kek_packet()], None).is_ok());
    assert_eq!(Reader::new().kd(&sa, vec![], None).map(|_| ()), Err(code::KD_KEK));
}

#[test]
fn sender_ids_and_trees_belong_into_a_registration() {
    let sa = sa_of(Some(sak()), None, vec![]);
    let sids = |attributes| {
        let packet = KeyPacket { kd_type: kd_type::SID, spi: vec![], attributes: Attributes(attributes) };
        vec![kek_packet(), packet]
    };
    let good = vec![Attribute::basic(sid_key::BITS, 8), Attribute::u32(sid_key::VALUE, 255)];
    let read = Reader::new().kd(&sa, sids(good.clone()), None).unwrap();
    assert_eq!(read.sids.map(|sids| (sids.bits, sids.values)), Some((8, vec![255])));
    for bad in [
        vec![Attribute::u32(sid_key::VALUE, 1)],
        vec![Attribute::basic(sid_key::BITS, 0), Attribute::u32(sid_key::VALUE, 0)],
        vec![Attribute::basic(sid_key::BITS, 64), Attribute::u32(sid_key::VALUE, 0)],
        vec![Attribute::basic(sid_key::BITS, 8), Attribute::u32(sid_key::VALUE, 256)],
        vec![Attribute::basic(sid_key::BITS, 8), Attribute::variable(sid_key::VALUE, vec![0; 9])],
        vec![Attribute::basic(sid_key::BITS, 8), Attribute::variable(sid_key::VALUE, vec![])],
        vec![Attribute::basic(sid_key::BITS, 8)],
    ] {
        assert_eq!(Reader::new().kd(&sa, sids(bad), None).map(|_| ()), Err(code::KD_SID));
    }
    let push = Reader { pull: false, ..Reader::new() };
    assert_eq!(push.kd(&sa, sids(good), None).map(|_| ()), Err(code::KD_SID_PUSH));
    let key = LkhKey { id: 4, key_type: 3, created: 0, expires: 0, handle: 1, data: vec![5; 32] };
    let value = LkhDownload { keys: vec![key] }.encode();
    let attributes = Attributes(vec![Attribute::variable(lkh_key::DOWNLOAD, value)]);
    let tree = KeyPacket { kd_type: kd_type::LKH, spi: SPI.to_vec(), attributes };
    assert_eq!(push.kd(&sa, vec![tree.clone()], None).map(|_| ()), Err(code::KD_LKH_PUSH));
    let read = Reader::new().kd(&sa, vec![tree], None).unwrap();
    assert_eq!(read.kek.map(|kek| kek.iv_and_key), Some(Secret::new(vec![5; 32])));
}

#[test]
fn the_sequence_only_ever_rises() {
    let policy = Reader::new().sa(&sa_of(Some(sak()), None, vec![])).unwrap().kek.unwrap();
    let keys = KekKeys { iv_and_key: Secret::new(vec![3; 32]), verifying: None, path: None };
    let mut kek = RekeySa::new(&policy, keys, 5, Instant::ZERO);
    let takes = |kek: &RekeySa, compat| -> BTreeSet<u32> {
        (0..=70).filter(|sequence| kek.takes(*sequence, compat, SequenceRules::default())).collect()
    };
    assert_eq!(takes(&kek, Compat::NONE), (6..=70).collect());
    kek.accept(40);
    assert_eq!(takes(&kek, Compat::NONE), (41..=70).collect());
    // Numbers from before the registration stay out of the window as well.
    assert_eq!(takes(&kek, Compat::SEQ_WINDOW_32), (9..=39).chain(41..=70).collect());
    kek.accept(20);
    assert_eq!(kek.sequence, 40);
    assert!(!kek.takes(20, Compat::SEQ_WINDOW_32, SequenceRules::default()));
    kek.accept(u32::MAX);
    assert!(takes(&kek, Compat::NONE).is_empty(), "no wrap");
}

#[test]
fn a_data_policy_is_judged_as_a_whole() {
    use hallmark_wire::gdoi::{DataPolicy, ReplayPolicy};
    let time = |window| Some(ReplayPolicy { method: ReplayPolicy::TIME, window });
    let right = DataPolicy { replay: time(4), pseudotime: Some(7), ..DataPolicy::default() };
    let read = |pull: bool, attributes: Vec<Attribute>| {
        Reader { pull, ..Reader::new() }
            .sa(&sa_of(Some(sak()), Some(attributes), vec![sat()]))
            .map(|policy| policy.data)
    };
    let judged = |policy: DataPolicy| read(true, policy.attributes()).map(|data| data.pseudotime);
    assert_eq!(judged(right), Ok(Some(7)));
    assert_eq!(judged(DataPolicy { pseudotime: None, ..right }), Err(code::GAP_PSEUDOTIME));
    assert!(read(false, DataPolicy { pseudotime: None, ..right }.attributes()).is_ok(), "a PUSH may leave it out");
    let d3p = DataPolicy { d3p_type: Some(1), d3p_window_ms: Some(5_000), ..DataPolicy::default() };
    assert!(judged(d3p).is_ok());
    for wrong in [
        DataPolicy { replay: time(0), ..right },
        DataPolicy { replay: Some(ReplayPolicy { method: 9, window: 64 }), ..right },
        DataPolicy { replay: Some(ReplayPolicy { method: ReplayPolicy::COUNTER, window: 16 }), ..right },
        DataPolicy { direction: Some(9), ..right },
        DataPolicy { replay: right.replay, ..d3p },
        DataPolicy { d3p_type: Some(2), ..d3p },
        DataPolicy { d3p_type: None, ..d3p },
        DataPolicy { d3p_window_ms: Some(0), ..d3p },
    ] {
        assert_eq!(judged(wrong), Err(code::GAP_REPLAY), "{wrong:?}");
    }
    let mut twice = right.attributes();
    twice.extend(right.attributes());
    assert_eq!(read(true, twice), Err(code::GAP_FORM));
    assert_eq!(read(true, vec![Attribute::basic(gap_attr::REPLAY, 2)]), Err(code::GAP_FORM));
}

#[test]
fn a_bypass_is_an_entry_of_the_list_and_no_sa() {
    use hallmark_wire::gdoi::Bypass;
    let deny = |src: &str, dst: &str| {
        let of = |ip: &str| Selector::from_ip(ip.parse().unwrap());
        SaAttribute::Tek(SaTek::bypass(Bypass { ip_protocol: 6, src: of(src), dst: of(dst) }))
    };
    let mut sa = sa_of(Some(sak()), None, vec![sat()]);
    sa.attributes.insert(1, deny("10.0.0.1", "10.0.0.2"));
    let policy = Reader::new().sa(&sa).unwrap();
    assert_eq!((policy.teks.len(), policy.acl.len()), (1, 2));
    assert_eq!(policy.acl.iter().map(|entry| entry.spi).collect::<Vec<_>>(), [None, Some(0x1_0000)]);
    sa.attributes.insert(1, deny("10.0.0.1", "2001:db8::1"));
    assert_eq!(Reader::new().sa(&sa).err(), Some(code::SAT_SELECTOR));
}
