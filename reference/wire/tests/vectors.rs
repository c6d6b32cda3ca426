//! Published and self-made vectors decode to the values that they were made from, and encode to the same octets.

mod common;

use common::{appendix, json, octets};
use hallmark_core::Limits;
use hallmark_wire::gdoi::{
    Dialect, GdoiSa, KeyDownload, KeyPacket, LkhDownload, LkhUpdate, SaAttribute, SaKek, SaTek, Sequence, gap_attr,
    kd_type, kek_attr, kek_key, sid_key, tek_attr, tek_key,
};
use hallmark_wire::isakmp::{
    Certificate, CertificateRequest, Chain, Delete, ExchangeType, Flags, Fragment, Header, Identification, Message,
    Notify, NotifyType, PayloadType, SecurityAssociation, build_chain, vendor_id,
};
use hallmark_wire::raw::RawMessage;

const RFC: Dialect = Dialect::RFC6407;

fn limits() -> Limits {
    Limits::default()
}

#[test]
fn the_pull_request_names_group_1234() {
    let plain = appendix("A.msg1_plain");
    let chain = Chain::decode(PayloadType::HASH, &plain, &limits()).unwrap();
    assert_eq!(chain.kinds(), [PayloadType::HASH, PayloadType::NONCE, PayloadType::ID]);
    assert_eq!(chain.find(PayloadType::HASH).unwrap().body, appendix("A.HASH1"));
    assert_eq!(chain.find(PayloadType::NONCE).unwrap().body, appendix("A.Ni_b"));
    assert_eq!(chain.after_first(), [appendix("A.Ni_payload"), appendix("A.ID_payload")].concat());
    let id = Identification::decode(chain.find(PayloadType::ID).unwrap().body).unwrap();
    assert_eq!(id, Identification::key_id(1234));
    let rebuilt = build_chain(&chain.iter().map(|view| (view.kind, view.body.to_vec())).collect::<Vec<_>>());
    assert_eq!((rebuilt.first, rebuilt.octets), (PayloadType::HASH, plain));
}

#[test]
fn the_pull_policy_decodes_and_encodes_to_the_same_octets() {
    let payload = appendix("A.SA_payload");
    let sa = GdoiSa::decode(&payload[4..], &RFC, &limits()).unwrap();
    assert_eq!(sa.encode_body(&RFC), payload[4..]);
    assert_eq!((sa.doi, sa.situation), (2, 0));
    let kek = sa.kek().unwrap();
    assert_eq!(kek.spi.to_vec(), hex::decode("a0a1a2a3a4a5a6a7a8a9aaabacadaeaf").unwrap());
    assert_eq!(
        (kek.src.to_string().as_str(), kek.dst.to_string().as_str()),
        ("192.0.2.1 port 848", "239.192.1.1 port 848")
    );
    assert_eq!(kek.attributes.uint(kek_attr::KEY_LIFETIME), Some(86400));
    assert_eq!(kek.attributes.uint(kek_attr::SIG_KEY_LENGTH), Some(2048));
    assert_eq!(sa.gap().unwrap().attributes.uint(gap_attr::DEACTIVATION_TIME_DELAY), Some(90));
    let tek = sa.teks().next().unwrap().ipsec().unwrap();
    assert_eq!((tek.transform_id, tek.spi), (20, 0x1122_aabb));
    assert_eq!(tek.attributes.uint(tek_attr::SA_DIRECTION), Some(3));
    assert_eq!((tek.src.to_string().as_str(), tek.dst.to_string().as_str()), ("0.0.0.0/0", "233.252.0.0/16"));
}

#[test]
fn each_policy_of_the_pull_decodes_by_itself() {
    let (sak, sat) = (appendix("A.SAK"), appendix("A.SAT"));
    assert_eq!(SaKek::decode(&sak[4..], &RFC, &limits()).unwrap().encode_body(&RFC), sak[4..]);
    assert_eq!(SaTek::decode(&sat[4..], &RFC, &limits()).unwrap().encode_body(&RFC), sat[4..]);
    for name in ["A.GAP", "A.GAP_msg3"] {
        let gap = appendix(name);
        let decoded = hallmark_wire::gdoi::Gap::decode(&gap[4..]).unwrap();
        assert_eq!(decoded.encode_body(), gap[4..]);
        assert_eq!(decoded.attributes.uint(gap_attr::SENDER_ID_REQUEST).is_some(), name == "A.GAP_msg3");
    }
}

#[test]
fn the_pull_keys_decode_and_encode_to_the_same_octets() {
    let body =
        [vec![0, 3, 0, 0], appendix("A.KP_KEK_head"), appendix("B.SPKI"), appendix("A.KP_TEK"), appendix("A.KP_SID")]
            .concat();
    let download = KeyDownload::decode(&body, &limits()).unwrap();
    assert_eq!(download.encode_body(), body);
    let kek = download.find(kd_type::KEK).unwrap();
    let iv_and_key = [appendix("B.KEK_IV"), appendix("B.KEK_key")].concat();
    assert_eq!(kek.attributes.octets(kek_key::ALGORITHM), Some(&iv_and_key[..]));
    assert_eq!(kek.attributes.octets(kek_key::SIGNATURE), Some(&appendix("B.SPKI")[..]));
    let tek = download.tek(0x1122_aabb).unwrap();
    assert_eq!(tek.attributes.octets(tek_key::ALGORITHM).map(<[u8]>::len), Some(20));
    let sid = download.find(kd_type::SID).unwrap();
    assert_eq!((sid.attributes.uint(sid_key::BITS), sid.sid_values(&RFC)), (Some(8), vec![0, 1]));
    assert_eq!(KeyPacket::sids(8, &[0, 1], &RFC), *sid);
}

#[test]
fn the_push_is_a_sequence_a_policy_a_download_and_a_signature() {
    let header = Header::decode(&appendix("B.HDR_wire")).unwrap();
    assert_eq!((header.exchange, header.flags, header.message_id), (ExchangeType::PUSH, Flags::ENCRYPTION, 0));
    assert_eq!((header.next, header.length), (PayloadType::SEQ, 460));
    let signature = appendix("B.SIG_data");
    let sig = hallmark_wire::isakmp::payload_octets(PayloadType::NONE, &signature);
    let padding = vec![0; 12];
    let clear = [appendix("B.SEQ"), appendix("B.SA"), appendix("B.KD"), sig, padding].concat();
    let chain = Chain::decode(header.next, &clear, &limits()).unwrap();
    assert_eq!(chain.kinds(), [PayloadType::SEQ, PayloadType::SA, PayloadType::KEY_DOWNLOAD, PayloadType::SIG]);
    assert_eq!((chain.payload_octets() + Header::LEN, chain.trailing().len()), (448, 12));
    assert_eq!(Sequence::decode(chain.find(PayloadType::SEQ).unwrap().body), Ok(Sequence(1)));
    let sa = chain.find(PayloadType::SA).unwrap().body;
    let decoded = GdoiSa::decode(sa, &RFC, &limits()).unwrap();
    assert!(decoded.kek().is_none() && matches!(decoded.attributes[..], [SaAttribute::Tek(_)]));
    assert_eq!(decoded.encode_body(&RFC), sa);
    let kd = chain.find(PayloadType::KEY_DOWNLOAD).unwrap().body;
    let download = KeyDownload::decode(kd, &limits()).unwrap();
    assert_eq!(download.encode_body(), kd);
    let keys = download.tek(0x3344_ccdd).unwrap();
    assert_eq!(keys.attributes.octets(tek_key::INTEGRITY).map(<[u8]>::len), Some(32));
    // The header as it is signed differs from the wire in its length only.
    let signed = Header { length: 448, ..header };
    assert_eq!(signed.encode().to_vec(), appendix("B.HDR_signed"));
}

#[test]
fn deletes_of_everything_hold_one_zero_spi() {
    for (name, protocol, spi_size) in [("C.D_TEK_all", 1, 4_u8), ("C.D_KEK_all", 0, 16)] {
        let payload = appendix(name);
        let delete = Delete::decode(&payload[4..]).unwrap();
        assert_eq!(delete, Delete { doi: 2, protocol, spi_size, spis: vec![vec![0; spi_size.into()]] });
        assert_eq!(delete.encode_body(), payload[4..]);
    }
    assert_eq!(Sequence::decode(&appendix("C.SEQ")[4..]), Ok(Sequence(2)));
}

#[test]
fn acknowledgements_are_clear_messages() {
    for reading in ["0100", "0200", "0080"] {
        let datagram = appendix(&format!("D.L={reading}.message"));
        let message = Message::decode(&datagram).unwrap();
        assert_eq!((message.header.exchange, message.header.flags.0), (ExchangeType::PUSH_ACK, 0));
        let chain = message.chain(&limits()).unwrap();
        assert_eq!(chain.kinds(), [PayloadType::HASH, PayloadType::SEQ, PayloadType::ID]);
        assert_eq!(chain.find(PayloadType::HASH).unwrap().body, appendix(&format!("D.L={reading}.HASH")));
        assert_eq!(chain.after_first(), [appendix("D.SEQ"), appendix("D.ID")].concat());
        let id = Identification::decode(chain.find(PayloadType::ID).unwrap().body).unwrap();
        assert_eq!(id, Identification::from_ip("192.0.2.10".parse().unwrap()));
        assert_eq!(RawMessage::from_clear(&datagram).unwrap().encode(), datagram);
    }
}

#[test]
fn the_key_hierarchy_goes_from_the_leaf_to_the_root() {
    let value = appendix("E.DOWNLOAD_ARRAY");
    let download = LkhDownload::decode(&value, 32).unwrap();
    assert_eq!(download.encode(), value);
    assert_eq!(download.keys.iter().map(|key| key.id).collect::<Vec<_>>(), [4, 2, 1]);
    assert_eq!(download.keys[2].data, [vec![0xe0; 16], vec![0xe1; 16]].concat());
    let value = appendix("E.UPDATE_ARRAY");
    let update = LkhUpdate::decode(&value, 32).unwrap();
    assert_eq!(update.encode(), value);
    assert_eq!((update.wrapper_id, update.wrapper_handle), (4, 1));
    assert_eq!(update.keys.iter().map(|key| (key.id, key.handle)).collect::<Vec<_>>(), [(2, 2), (1, 2)]);
}

#[test]
fn main_mode_vectors_decode_payload_by_payload() {
    let file = json("vectors/ikev1-mainmode-psk.json");
    for (name, doi, situation) in [("variant_gdoi", 2, 0), ("variant_ipsec", 1, 1)] {
        let variant = &file[name];
        for (message, body) in [("message1", "sa_i_body"), ("message2", "sa_r_body")] {
            let datagram = octets(&variant[message]);
            let decoded = Message::decode(&datagram).unwrap();
            assert_eq!(decoded.header.exchange, ExchangeType::MAIN);
            let chain = decoded.chain(&limits()).unwrap();
            assert_eq!(chain.first(), PayloadType::SA);
            let sa_body = chain.find(PayloadType::SA).unwrap().body;
            assert_eq!(sa_body, octets(&variant[body]));
            let sa = SecurityAssociation::decode(sa_body).unwrap();
            assert_eq!((sa.doi, sa.situation, sa.proposals.len()), (doi, situation, 1));
            assert_eq!(sa.encode_body(), sa_body);
            assert_eq!(sa.proposals[0].transforms[0].attributes.uint(12), Some(86400));
            let vendors: Vec<_> = chain
                .iter()
                .filter(|view| view.kind == PayloadType::VENDOR_ID)
                .map(|view| vendor_id::name(view.body))
                .collect();
            assert!(vendors.contains(&Some("DPD")) && vendors.contains(&Some("NAT-T RFC 3947")), "{vendors:?}");
        }
        let datagram = octets(&variant["message3"]);
        let chain = Message::decode(&datagram).unwrap().chain(&limits()).unwrap();
        assert_eq!(chain.find(PayloadType::KE).unwrap().body, octets(&file["dh"]["public_i"]));
        assert_eq!(chain.find(PayloadType::NONCE).unwrap().body, octets(&file["nonce_i_body"]));
        assert_eq!(chain.count(PayloadType::NAT_D), 2);
        let plain = octets(&variant["message5"]["plaintext_unpadded"]);
        let chain = Chain::decode(PayloadType::ID, &plain, &limits()).unwrap();
        assert_eq!(chain.find(PayloadType::HASH).unwrap().body, octets(&variant["hash_i"]));
        let id = chain.find(PayloadType::ID).unwrap().body;
        assert_eq!(id, octets(&variant["id_i_body"]));
        assert_eq!(Identification::decode(id).unwrap().encode_body(), id);
    }
}

#[test]
fn informational_vectors_decode_to_notify_and_delete() {
    let variant = &json("vectors/ikev1-mainmode-psk.json")["variant_gdoi"];
    let cookies = hex::decode("1a2b3c4d5e6f708192a3b4c5d6e7f809").unwrap();
    let payload = |name: &str, kind| {
        let plain = octets(&variant[name]["plaintext_unpadded"]);
        let chain = Chain::decode(PayloadType::HASH, &plain, &limits()).unwrap();
        chain.find(kind).unwrap().body.to_vec()
    };
    let body = payload("info_dpd_r_u_there", PayloadType::NOTIFY);
    let notify = Notify::decode(&body).unwrap();
    assert_eq!((notify.kind, notify.data.len()), (NotifyType::R_U_THERE, 4));
    assert_eq!((notify.spi.clone(), notify.encode_body()), (cookies.clone(), body));
    let body = payload("info_delete_isakmp_sa", PayloadType::DELETE);
    let delete = Delete::decode(&body).unwrap();
    assert_eq!((delete.protocol, delete.spis.clone(), delete.encode_body()), (1, vec![cookies], body));
}

#[test]
fn fragments_join_to_the_message_that_they_were_cut_from() {
    let file = json("vectors/ikev1-mainmode-psk.json");
    let datagrams = file["fragmented_message5_variant_gdoi"]["datagrams"].as_array().unwrap().clone();
    let mut whole = Vec::new();
    for (index, datagram) in datagrams.iter().enumerate() {
        let datagram = octets(datagram);
        let message = Message::decode(&datagram).unwrap();
        assert_eq!(message.header.next, PayloadType::FRAGMENT);
        let chain = message.chain(&limits()).unwrap();
        let fragment = Fragment::decode(chain.find(PayloadType::FRAGMENT).unwrap().body).unwrap();
        assert_eq!((usize::from(fragment.number), fragment.id), (index + 1, 1));
        assert_eq!(fragment.is_last(), index + 1 == datagrams.len());
        whole.extend(fragment.data);
    }
    assert_eq!(whole, octets(&file["variant_gdoi"]["message5"]["datagram"]));
    assert!(Message::decode(&whole).is_ok());
}

#[test]
fn certificates_travel_with_their_encoding() {
    let file = json("vectors/ikev1-mainmode-rsasig.json");
    let message4 = octets(&file["message4"]);
    let chain = Message::decode(&message4).unwrap().chain(&limits()).unwrap();
    let request = CertificateRequest::decode(chain.find(PayloadType::CERT_REQ).unwrap().body).unwrap();
    assert_eq!(
        (request.encoding, &request.authority),
        (Certificate::X509_SIGNATURE, &octets(&file["certreq_ca_dn_der"]))
    );
    let plain = octets(&file["message5"]["plaintext_unpadded"]);
    let chain = Chain::decode(PayloadType::ID, &plain, &limits()).unwrap();
    let certificate = Certificate::decode(chain.find(PayloadType::CERT).unwrap().body).unwrap();
    assert_eq!(certificate.data, octets(&file["initiator_certificate_der"]));
    assert_eq!(certificate.encode_body(), chain.find(PayloadType::CERT).unwrap().body);
    assert_eq!(chain.find(PayloadType::SIG).unwrap().body, octets(&file["sig_i"]));
}

#[test]
fn malformed_datagrams_break_the_rule_that_they_were_made_to_break() {
    let file = json("vectors/ikev1-malformed.json");
    let mut refused = 0;
    let mut accepted = 0;
    for case in file["cases"].as_array().unwrap() {
        let (id, expect) = (case["id"].as_str().unwrap(), case["expect"].as_str().unwrap());
        let datagram = octets(&case["datagram"]);
        let decoded = Message::decode(&datagram).and_then(|message| message.chain(&limits()));
        let sa = decoded.as_ref().ok().and_then(|chain| chain.find(PayloadType::SA));
        let outcome = match (&decoded, sa) {
            (Err(error), _) => Err(*error),
            (Ok(_), Some(sa)) => SecurityAssociation::decode(sa.body).map(|_| ()),
            (Ok(_), None) => Ok(()),
        };
        if expect.starts_with("accept") && !expect.contains("discard") && !expect.contains("notify") {
            accepted += 1;
            assert_eq!(outcome, Ok(()), "{id}");
        }
        if let Err(error) = outcome {
            refused += 1;
            assert!(!expect.eq("accept") && error.offset <= datagram.len(), "{id}: {error}");
        }
        if let Some(code) = code_of(id) {
            assert_eq!(outcome.map_err(|error| error.code.as_str()), Err(code), "{id}");
        }
    }
    assert!(refused >= 30 && accepted >= 10, "{refused} refused, {accepted} accepted");
}

fn code_of(id: &str) -> Option<&'static str> {
    Some(match id {
        "sa-count-0-of-1" => "isakmp.proposal.count",
        "sa-transform-np-2" => "isakmp.transform.dangling-next",
        "sa-proposal-np-3" => "isakmp.proposal.dangling-next",
        "sa-spi-17" => "isakmp.proposal.spi-size",
        "sa-truncated-situation" => "isakmp.payload.truncated",
        "sa-gdoi-phase2-layout" => "isakmp.proposal.reserved",
        "at-truncated-2" | "at-tlv-overrun" => "isakmp.attribute.truncated",
        "fr-length-overrun" => "isakmp.payload.length",
        "fr-np-nonzero" => "isakmp.payload.dangling-next",
        _ => return None,
    })
}

#[test]
fn the_raw_tree_loses_no_octet_of_any_malformed_datagram() {
    let file = json("vectors/ikev1-malformed.json");
    let mut nested = 0;
    for case in file["cases"].as_array().unwrap() {
        let datagram = octets(&case["datagram"]);
        match RawMessage::from_clear(&datagram) {
            Ok(mut raw) => {
                assert_eq!(raw.encode(), datagram, "{}", case["id"]);
                nested += usize::from(raw.find_mut(PayloadType::SA).is_some_and(|sa| sa.children_mut().is_some()));
            }
            Err(_) => assert!(datagram.len() < Header::LEN, "{}", case["id"]),
        }
    }
    assert!(nested >= 50, "{nested}");
}
