//! The table of malformed and boundary first messages, each against an idle responder.

use hallmark_wire::isakmp::{ExchangeType, Notify, SecurityAssociation};
use serde_json::Value;

use super::*;

/// What a responder did with a datagram.
#[derive(Debug, PartialEq)]
enum Outcome {
    Silence,
    Accepted(u8),
    Notified(u16),
}

fn outcome(responder: &mut IkeEndpoint, datagram: &Datagram) -> Outcome {
    responder.handle_datagram(now_at(0), datagram);
    let sent = outputs(responder);
    assert!(sent.len() <= 1);
    let Some(answer) = sent.first() else { return Outcome::Silence };
    assert_eq!((answer.src, answer.dst), (datagram.dst, datagram.src));
    // REQ IKE-INF-007
    let header = Header::decode(&answer.payload).unwrap();
    if header.exchange == ExchangeType::INFORMATIONAL {
        assert!(answer.payload.len() <= datagram.payload.len());
        let notify = Notify::decode(&payload(&answer.payload, PayloadType::NOTIFY)).unwrap();
        return Outcome::Notified(notify.kind.0);
    }
    let sa = SecurityAssociation::decode(&payload(&answer.payload, PayloadType::SA)).unwrap();
    assert_eq!((sa.proposals.len(), sa.proposals[0].transforms.len()), (1, 1));
    Outcome::Accepted(sa.proposals[0].transforms[0].number)
}

fn fits(expect: &str, outcome: &Outcome) -> bool {
    let (verdict, list) = expect.split_once(':').unwrap_or((expect, ""));
    let listed = |kind: &u16| list.split(',').any(|n| n.trim() == kind.to_string());
    match (verdict, outcome) {
        ("accept", Outcome::Accepted(_)) | ("policy", _) => true,
        ("accept-transform", Outcome::Accepted(number)) => list == number.to_string(),
        ("discard" | "discard-or-notify" | "accept-or-discard" | "accept-or-notify", Outcome::Silence) => true,
        ("discard-or-notify" | "accept-or-notify", Outcome::Notified(kind)) => listed(kind),
        ("accept-or-discard" | "accept-or-notify", Outcome::Accepted(_)) => true,
        _ => false,
    }
}

#[test]
fn every_datagram_of_the_table_is_judged_as_the_table_says() {
    let path = format!("{}/../../fixtures/vectors/ikev1-malformed.json", env!("CARGO_MANIFEST_DIR"));
    let table: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let rows: Vec<&Value> = table.as_object().unwrap().values().filter_map(Value::as_array).flatten().collect();
    assert_eq!(rows.len(), 118);
    let baseline = unhex(rows.iter().find(|r| r["id"] == "ok-baseline").unwrap()["datagram"].as_str().unwrap());
    let mut wrong = Vec::new();
    for variant in [None, Some(Variant::IkeNotifiesErrors), Some(Variant::IkeSilentNoProposal)] {
        for row in &rows {
            let mut config = config_r();
            if let Some(variant) = variant {
                config = with_variant(config, variant);
            }
            let mut responder = endpoint(config, 3);
            let octets = unhex(row["datagram"].as_str().unwrap());
            let got = outcome(&mut responder, &to_r(&octets));
            let expect = row["expect"].as_str().unwrap();
            let events: Vec<IkeEvent> = std::iter::from_fn(|| responder.poll_event()).collect();
            if !fits(expect, &got) {
                wrong.push(format!("{} wants {expect}, got {got:?}: {events:?}", row["id"]));
            }
            // Silence to the peer is no silence to the operator.
            let told = events.iter().any(|e| e.code().is_some()) || octets == [0xff];
            assert!(matches!(got, Outcome::Accepted(_)) || told, "{}", row["id"]);
            // After each case a correct message from elsewhere is served.
            let mut after = baseline.clone();
            after[..8].copy_from_slice(b"\x7fservice");
            let elsewhere = Datagram::new(addr("10.0.0.9:40000"), addr(R), after);
            assert!(matches!(outcome(&mut responder, &elsewhere), Outcome::Accepted(_)), "{}", row["id"]);
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn no_octet_string_makes_an_endpoint_panic_or_lose_its_service() {
    let path = format!("{}/../../fixtures/vectors/ikev1-malformed.json", env!("CARGO_MANIFEST_DIR"));
    let table: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let rows: Vec<Vec<u8>> = table
        .as_object()
        .unwrap()
        .values()
        .filter_map(Value::as_array)
        .flatten()
        .map(|row| unhex(row["datagram"].as_str().unwrap()))
        .collect();
    let mut rng = Rng::from_u64(77);
    let (mut pair, _) = Pair::up(config_i(), config_r());
    let recorded: Vec<Vec<u8>> = pair.wire.iter().map(|d| d.payload.clone()).collect();
    for round in 0..20_000 {
        let pool = if round % 2 == 0 { &rows } else { &recorded };
        let mut octets = pool[usize::try_from(rng.below(pool.len() as u64)).unwrap()].clone();
        for _ in 0..=rng.below(4) {
            if octets.is_empty() {
                break;
            }
            let at = usize::try_from(rng.below(octets.len() as u64)).unwrap();
            octets[at] = u8::try_from(rng.below(256)).unwrap();
        }
        if round % 3 == 0 && octets.len() > 28 {
            octets = resized(octets);
        }
        pair.r.handle_datagram(pair.now, &to_r(&octets));
        outputs(&mut pair.r);
        codes(&mut pair.r);
    }
    assert_eq!(pair.r.established(), 1);
    let mut fresh = IkeEndpoint::new(config_i(), Limits::default(), Rng::from_u64(5), now_at(0)).unwrap();
    std::mem::swap(&mut pair.i, &mut fresh);
    pair.connect();
    pair.pump();
    assert_eq!(pair.i.established(), 1);
}
