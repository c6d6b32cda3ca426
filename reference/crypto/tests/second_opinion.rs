//! Another implementation of the same primitives, the `openssl` command, has to agree in both directions.
//!
//! Each test is skipped, and says so, where the command is not installed.

#![expect(clippy::print_stderr, reason = "a skipped test says why")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::unhex;
use hallmark_core::{Rng, UnixTime};
use hallmark_crypto::cert::{CertSpec, TrustStore, issue_ca, issue_cert, issue_crl, pem_blocks, to_pem};
use hallmark_crypto::{
    CipherAlg, Curve, DhKey, Group, HashAlg, KeyKind, SigningKey, VerifyingKey, cbc_encrypt, hash, prf,
};

/// A folder that goes away with the test, and the command that works in it.
struct OpenSsl(PathBuf);

impl OpenSsl {
    fn new(name: &str) -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_err() {
            assert!(
                std::env::var_os("HALLMARK_NOTHING_SKIPPED").is_none(),
                "openssl is not installed, and nothing may be skipped"
            );
            eprintln!("skipped: the openssl command is not installed");
            return None;
        }
        let folder = std::env::temp_dir().join(format!("hallmark-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Some(Self(folder))
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.0.join(name), content).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.join(name)).unwrap()
    }

    /// Runs the command and gives its standard output, or its complaint.
    fn run(&self, arguments: &str) -> Result<Vec<u8>, String> {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(&self.0).output().unwrap();
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(format!("openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr)))
        }
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let folder: &Path = &self.0;
        let _ = std::fs::remove_dir_all(folder);
    }
}

#[test]
fn ciphers_hashes_and_hmacs_agree() {
    let Some(openssl) = OpenSsl::new("symmetric") else { return };
    let mut rng = Rng::from_u64(1);
    let data = rng.vec(192);
    openssl.write("data", &data);
    for (cipher, name) in [
        (CipherAlg::TripleDes, "des-ede3-cbc"),
        (CipherAlg::Aes128, "aes-128-cbc"),
        (CipherAlg::Aes192, "aes-192-cbc"),
        (CipherAlg::Aes256, "aes-256-cbc"),
    ] {
        let (key, iv) = (rng.vec(cipher.key_len()), rng.vec(cipher.block_len()));
        let arguments = format!("enc -{name} -nopad -K {} -iv {} -in data", hex::encode(&key), hex::encode(&iv));
        let theirs = openssl.run(&arguments).unwrap();
        let mut ours = data.clone();
        cbc_encrypt(cipher, &key, &iv, &mut ours).unwrap();
        assert_eq!(ours, theirs, "{name}");
    }
    for alg in HashAlg::ALL {
        assert_eq!(hash(alg, &[&data]), openssl.run(&format!("dgst -{alg} -binary data")).unwrap(), "{alg}");
        let key = rng.vec(200);
        let arguments = format!("dgst -{alg} -mac HMAC -macopt hexkey:{} -binary data", hex::encode(&key));
        assert_eq!(prf(alg, &key, &[&data]), openssl.run(&arguments).unwrap(), "{alg}");
    }
}

#[test]
fn rsa_signatures_agree_in_both_encodings() {
    let Some(openssl) = OpenSsl::new("rsa") else { return };
    let mut rng = Rng::from_u64(2);
    openssl.run("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out key.pem").unwrap();
    openssl.run("pkey -in key.pem -pubout -outform DER -out public.der").unwrap();
    let key = SigningKey::from_pem(&String::from_utf8(openssl.read("key.pem")).unwrap()).unwrap();
    assert_eq!(key.public(), VerifyingKey::from_spki_der(&openssl.read("public.der")).unwrap());
    assert_eq!(key.public().to_spki_der().unwrap(), openssl.read("public.der"));
    openssl.write("data", b"rekey and so on");
    for alg in HashAlg::ALL {
        let digest = hash(alg, &[b"rekey and so on"]);
        openssl.write("digest", &digest);
        let standard = openssl.run(&format!("dgst -{alg} -sign key.pem data")).unwrap();
        assert_eq!(key.sign_push(alg, &digest, false, &mut rng).unwrap(), standard, "{alg}");
        let bare = openssl.run("pkeyutl -sign -inkey key.pem -in digest").unwrap();
        assert_eq!(key.sign_ike(&digest, &mut rng).unwrap(), bare, "{alg}");
        assert_eq!(key.sign_push(alg, &digest, true, &mut rng).unwrap(), bare, "{alg}");
    }
    // A key from here is a key there.
    let ours = SigningKey::generate_rsa(1024, &mut rng).unwrap();
    openssl.write("ours.pem", ours.to_pem().unwrap());
    openssl.run("pkey -in ours.pem -check -noout").unwrap();
}

#[test]
fn ecdsa_signatures_verify_in_both_directions() {
    let Some(openssl) = OpenSsl::new("ecdsa") else { return };
    let mut rng = Rng::from_u64(3);
    openssl.write("data", b"hash_i");
    for (curve, name, alg) in [
        (Curve::P256, "P-256", HashAlg::Sha256),
        (Curve::P384, "P-384", HashAlg::Sha384),
        (Curve::P521, "P-521", HashAlg::Sha512),
    ] {
        let digest = hash(alg, &[b"hash_i"]);
        let ours = SigningKey::generate_ecdsa(curve, &mut rng);
        openssl.write("ours.der", ours.public().to_spki_der().unwrap());
        openssl.write("sig", ours.sign_x509(alg, &digest, &mut rng).unwrap());
        openssl.run(&format!("dgst -{alg} -verify ours.der -keyform DER -signature sig data")).unwrap();

        for form in ["", " -traditional"] {
            openssl.run(&format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:{name} -out theirs.pem")).unwrap();
            let pem = openssl.run(&format!("pkey -in theirs.pem{form}")).unwrap();
            let theirs = SigningKey::from_pem(&String::from_utf8(pem).unwrap()).unwrap();
            let sig = openssl.run(&format!("dgst -{alg} -sign theirs.pem data")).unwrap();
            assert_eq!(theirs.public().verify_x509(alg, &digest, &sig), Ok(()), "{name}{form}");
        }
    }
}

#[test]
fn diffie_hellman_agrees_in_the_groups_that_both_know() {
    let Some(openssl) = OpenSsl::new("dh") else { return };
    for (group, parameter) in [
        (Group::Modp1536, "DH -pkeyopt group:modp_1536"),
        (Group::Modp2048, "DH -pkeyopt group:modp_2048"),
        (Group::Modp3072, "DH -pkeyopt group:modp_3072"),
        (Group::Modp4096, "DH -pkeyopt group:modp_4096"),
        (Group::Ecp256, "EC -pkeyopt ec_paramgen_curve:P-256"),
        (Group::Ecp384, "EC -pkeyopt ec_paramgen_curve:P-384"),
        (Group::Ecp521, "EC -pkeyopt ec_paramgen_curve:P-521"),
    ] {
        for side in ["a", "b"] {
            openssl.run(&format!("genpkey -algorithm {parameter} -out {side}.pem")).unwrap();
            openssl.run(&format!("pkey -in {side}.pem -pubout -out {side}.pub")).unwrap();
        }
        // Unless told, OpenSSL leaves out the zeros that one secret of 256 begins with.
        let padded = if parameter.starts_with("DH") { " -pkeyopt dh_pad:1" } else { "" };
        let theirs = openssl.run(&format!("pkeyutl -derive -inkey a.pem -peerkey b.pub{padded}")).unwrap();
        let [a, b] = ["a", "b"].map(|side| {
            let text = openssl.run(&format!("pkey -in {side}.pem -noout -text")).unwrap();
            let text = String::from_utf8(text).unwrap();
            let private = number_in(&text, "priv");
            let key = DhKey::from_private(group, &private).unwrap();
            // The curves are printed with their format octet, the numbers of MODP perhaps with a sign octet.
            assert!(number_in(&text, "pub").ends_with(key.public()), "{group}");
            key
        });
        assert_eq!(a.agree(b.public()).unwrap().expose(), theirs, "{group}");
    }
}

/// Reads the hexadecimal block under a heading such as `priv:` or `private-key:`.
fn number_in(text: &str, heading: &str) -> Vec<u8> {
    let lines = text.lines().skip_while(|line| !line.trim_start().starts_with(heading)).skip(1);
    let digits: String = lines
        .take_while(|line| line.starts_with(' ') && !line.contains(|c: char| c.is_ascii_uppercase()))
        .flat_map(str::chars)
        .filter(char::is_ascii_hexdigit)
        .collect();
    let octets = unhex(&digits);
    // A number of the curve may be printed shorter than its order, and one of MODP with a leading zero octet.
    let zeros = octets.iter().take_while(|octet| **octet == 0).count();
    let short = octets[zeros..].to_vec();
    match octets.len() {
        32 | 48 | 66 => octets,
        _ => short,
    }
}

#[test]
fn issued_certificates_and_lists_satisfy_the_other_checker() {
    let Some(openssl) = OpenSsl::new("issued") else { return };
    let mut rng = Rng::from_u64(4);
    // The other checker looks at the clock of this machine, so validity spans everything.
    let (start, end) = (UnixTime::from_secs(1), UnixTime::from_secs(4_000_000_000));
    let keys = [
        SigningKey::generate_rsa(2048, &mut rng).unwrap(),
        SigningKey::generate_ecdsa(Curve::P256, &mut rng),
        SigningKey::generate_ecdsa(Curve::P384, &mut rng),
        SigningKey::generate_ecdsa(Curve::P521, &mut rng),
    ];
    for root_key in keys {
        let root = issue_ca(&CertSpec::authority("CN=Root,O=Laboratory", 1, start, end), &root_key, &mut rng).unwrap();
        let key = SigningKey::generate_ecdsa(Curve::P256, &mut rng);
        let spec = CertSpec::end_entity("CN=gm1,O=Laboratory", 200, start, end)
            .with_ip("192.0.2.10".parse().unwrap())
            .with_ip("2001:db8::10".parse().unwrap())
            .with_dns("gm1.example")
            .with_email("gm1@example.org");
        let leaf = issue_cert(&spec, &key.public(), &root, &root_key, &mut rng).unwrap();
        let crl = |revoked: &[u64], rng: &mut Rng| issue_crl(&root, &root_key, revoked, start, end, rng).unwrap();
        openssl.write("root.pem", to_pem("CERTIFICATE", &root).unwrap());
        openssl.write("leaf.pem", to_pem("CERTIFICATE", &leaf).unwrap());
        openssl.write("crl.pem", to_pem("X509 CRL", &crl(&[7], &mut rng)).unwrap());
        let arguments = "verify -CAfile root.pem -CRLfile crl.pem -crl_check leaf.pem";
        openssl.run(arguments).unwrap();
        openssl.run("verify -CAfile root.pem -verify_hostname gm1.example leaf.pem").unwrap();
        openssl.run("verify -CAfile root.pem -verify_ip 2001:db8::10 leaf.pem").unwrap();
        assert!(openssl.run("verify -CAfile root.pem -verify_ip 192.0.2.11 leaf.pem").is_err());
        openssl.write("crl.pem", to_pem("X509 CRL", &crl(&[7, 200], &mut rng)).unwrap());
        assert!(openssl.run(arguments).unwrap_err().contains("revoked"), "{root_key:?}");
    }
}

#[test]
fn certificates_of_the_other_issuer_satisfy_this_checker() {
    let Some(openssl) = OpenSsl::new("theirs") else { return };
    for (algorithm, kind) in [("rsa:2048", KeyKind::Rsa), ("ec:curve", KeyKind::Ecdsa384)] {
        if kind != KeyKind::Rsa {
            openssl.run("genpkey -genparam -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out curve").unwrap();
        }
        let request = format!(
            "req -x509 -newkey {algorithm} -nodes -keyout ca.key -out ca.pem -subj /O=Lab/CN=CA -days 30 \
             -addext keyUsage=critical,keyCertSign,cRLSign"
        );
        openssl.run(&request).unwrap();
        let request = format!(
            "req -x509 -newkey {algorithm} -nodes -keyout gm.key -out gm.pem -subj /O=Lab/CN=gm1 -days 30 -CA ca.pem \
             -CAkey ca.key -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=DNS:gm1.example"
        );
        if openssl.run(&request).is_err() {
            eprintln!("skipped: this openssl cannot issue with req -CA");
            return;
        }
        let der = |name: &str| pem_blocks(&String::from_utf8(openssl.read(name)).unwrap()).unwrap().remove(0).1;
        let (ca, gm) = (der("ca.pem"), der("gm.pem"));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let store = TrustStore::new(&[ca], &[]).unwrap();
        let cert = store.validate(&[&gm], UnixTime::from_secs(now as i64 + 60), false).unwrap();
        assert_eq!(cert.public_key().kind(), kind);
        assert_eq!(cert.identity().dns, ["gm1.example"]);
    }
}
