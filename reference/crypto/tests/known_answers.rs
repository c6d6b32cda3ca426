//! Published answers for the primitives, so that a wrong feature or a swapped algorithm shows by itself.

mod common;

use common::unhex;
use hallmark_core::Rng;
use hallmark_crypto::{
    CipherAlg, CryptoError, Curve, HashAlg, KeyKind, SigningKey, VerifyingKey, cbc_decrypt, cbc_encrypt, hash,
    pad_zero, prf,
};

#[test]
fn hashes_of_abc_are_the_published_ones() {
    let expected = [
        (HashAlg::Md5, "900150983cd24fb0d6963f7d28e17f72"),
        (HashAlg::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (HashAlg::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            HashAlg::Sha384,
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
        ),
        (
            HashAlg::Sha512,
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
    ];
    for (alg, digest) in expected {
        assert_eq!(hash(alg, &[b"a", b"", b"bc"]), unhex(digest), "{alg}");
        assert_eq!(alg.len() * 2, digest.len());
    }
}

/// RFC 2202 and RFC 4231, second case: key "Jefe".
#[test]
fn hmac_of_the_rfc_cases_comes_out() {
    let expected = [
        (HashAlg::Md5, "750c783e6ab0b503eaa86e310a5db738"),
        (HashAlg::Sha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        (HashAlg::Sha256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (
            HashAlg::Sha384,
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
        ),
        (
            HashAlg::Sha512,
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
             9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
    ];
    for (alg, mac) in expected {
        assert_eq!(prf(alg, b"Jefe", &[b"what do ya want ", b"for nothing?"]), unhex(mac), "{alg}");
    }
}

/// RFC 2202 case 6 and RFC 4231 case 6: keys longer than a block are hashed first.
#[test]
fn hmac_with_a_long_key_comes_out() {
    let data: &[u8] = b"Test Using Larger Than Block-Size Key - Hash Key First";
    let sha1 = prf(HashAlg::Sha1, &[0xaa; 80], &[data]);
    assert_eq!(sha1, unhex("aa4ae5e15272d00e95705637ce8a3b55ed402112"));
    let sha256 = prf(HashAlg::Sha256, &[0xaa; 131], &[data]);
    assert_eq!(sha256, unhex("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"));
}

#[test]
fn block_ciphers_give_the_published_answers() {
    let cases = [
        // DES: the classic example of "Now is the time for all " in CBC (FIPS 81).
        (
            CipherAlg::Des,
            "0123456789abcdef",
            "1234567890abcdef",
            "4e6f77206973207468652074696d6520666f7220616c6c20",
            "e5c7cdde872bf27c43e934008c389c0f683788499a7c05f6",
        ),
        // 3DES with K1 = K2 = K3 is DES, so the same answer must come out.
        (
            CipherAlg::TripleDes,
            "0123456789abcdef0123456789abcdef0123456789abcdef",
            "1234567890abcdef",
            "4e6f77206973207468652074696d6520666f7220616c6c20",
            "e5c7cdde872bf27c43e934008c389c0f683788499a7c05f6",
        ),
        // NIST SP 800-67, three different keys, one block with a zero IV.
        (
            CipherAlg::TripleDes,
            "0123456789abcdef23456789abcdef01456789abcdef0123",
            "0000000000000000",
            "5468652071756663",
            "a826fd8ce53b855f",
        ),
        // NIST SP 800-38A F.2.
        (
            CipherAlg::Aes128,
            "2b7e151628aed2a6abf7158809cf4f3c",
            "000102030405060708090a0b0c0d0e0f",
            "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51",
            "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2",
        ),
        (
            CipherAlg::Aes192,
            "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
            "000102030405060708090a0b0c0d0e0f",
            "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51",
            "4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a",
        ),
        (
            CipherAlg::Aes256,
            "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
            "000102030405060708090a0b0c0d0e0f",
            "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51",
            "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d",
        ),
    ];
    for (cipher, key, iv, plain, expected) in cases {
        let (key, iv) = (unhex(key), unhex(iv));
        let mut data = unhex(plain);
        cbc_encrypt(cipher, &key, &iv, &mut data).unwrap();
        assert_eq!(data, unhex(expected), "{cipher}");
        cbc_decrypt(cipher, &key, &iv, &mut data).unwrap();
        assert_eq!(data, unhex(plain), "{cipher}");
    }
}

#[test]
fn ciphers_refuse_wrong_lengths_instead_of_panicking() {
    for cipher in CipherAlg::ALL {
        let (key, iv) = (vec![1; cipher.key_len()], vec![2; cipher.block_len()]);
        let block = cipher.block_len();
        let mut odd = vec![0; block + 1];
        let expected = Err(CryptoError::BlockMultiple { len: block + 1, block });
        assert_eq!(cbc_decrypt(cipher, &key, &iv, &mut odd), expected);
        assert_eq!(cbc_encrypt(cipher, &key, &iv, &mut odd), expected);
        let mut data = vec![0; block];
        assert!(cbc_encrypt(cipher, &key[1..], &iv, &mut data).is_err());
        assert!(cbc_encrypt(cipher, &key, &iv[1..], &mut data).is_err());
        assert_eq!(data, vec![0; block], "nothing is touched on refusal");
    }
}

#[test]
fn padding_adds_zeros_up_to_the_block_and_none_when_aligned() {
    let mut data = vec![7; 17];
    pad_zero(&mut data, 16);
    assert_eq!(data, [vec![7; 17], vec![0; 15]].concat());
    pad_zero(&mut data, 16);
    assert_eq!(data.len(), 32);
}

#[test]
fn names_and_numbers_of_the_suites_are_consistent() {
    for alg in HashAlg::ALL {
        assert_eq!(HashAlg::from_name(alg.name()), Some(alg));
        assert_eq!(HashAlg::from_ike(alg.to_ike()), Some(alg));
        assert_eq!(HashAlg::from_sig_hash(alg.to_sig_hash()), Some(alg));
    }
    assert_eq!(HashAlg::from_ike(3), None, "Tiger");
    for cipher in CipherAlg::ALL {
        assert_eq!(CipherAlg::from_name(cipher.name()), Some(cipher));
        let (ike, kek) = (cipher.to_ike(), cipher.to_kek());
        assert_eq!(CipherAlg::from_ike(ike.0, ike.1), Some(cipher));
        assert_eq!(CipherAlg::from_kek(kek.0, kek.1), Some(cipher));
    }
    assert_eq!(CipherAlg::from_ike(7, None), None, "AES needs its key length");
    assert_eq!(CipherAlg::from_ike(5, Some(192)), None, "3DES must not have one");
}

/// RFC 6979 appendix A.2: the signatures of "sample", verified; and their refusal after one flipped bit.
#[test]
fn published_ecdsa_signatures_verify() {
    let cases = [
        (
            Curve::P256,
            HashAlg::Sha256,
            "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6\
             7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
            "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
             f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
        ),
        (
            Curve::P384,
            HashAlg::Sha384,
            "ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64\
             def8f0ea9055866064a254515480bc138015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1\
             288b231c3ae0d4fe7344fd2533264720",
            "94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e80fabe46\
             99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628ac8",
        ),
        (
            Curve::P521,
            HashAlg::Sha512,
            "01894550d0785932e00eaa23b694f213f8c3121f86dc97a04e5a7167db4e5bcd371123d46e45db6b5d5370a7f20fb633\
             155d38ffa16d2bd761dcac474b9a2f5023a4\
             00493101c962cd4d2fddf782285e64584139c2f91b47f87ff82354d6630f746a28a0db25741b5b34a828008b22acc23f\
             924faafbd4d33f81ea66956dfeaa2bfdfcf5",
            "00c328fafcbd79dd77850370c46325d987cb525569fb63c5d3bc53950e6d4c5f174e25a1ee9017b5d450606add152b53\
             4931d7d4e8455cc91f9b15bf05ec36e377fa\
             00617cce7cf5064806c467f678d3b4080d6f1cc50af26ca209417308281b68af282623eaa63e5b5c0723d8b8c37ff077\
             7b1a20f8ccb1dccc43997f1ee0e44da4a67a",
        ),
    ];
    for (curve, alg, point, sig) in cases {
        let key = VerifyingKey::ecdsa_from_point(curve, &unhex(point)).unwrap();
        let digest = hash(alg, &[b"sample"]);
        let mut sig = unhex(sig);
        assert_eq!(key.signature_len(), sig.len());
        assert_eq!(key.verify_ike(&digest, &sig), Ok(()), "{curve:?}");
        assert_eq!(key.verify_push(alg, &digest, false, &sig), Ok(()), "{curve:?}");
        *sig.last_mut().unwrap() ^= 1;
        assert_eq!(key.verify_ike(&digest, &sig), Err(CryptoError::SignatureMismatch), "{curve:?}");
    }
}

#[test]
fn every_kind_of_key_signs_verifies_and_survives_its_encodings() {
    let mut rng = Rng::from_u64(11);
    let keys = [
        SigningKey::generate_rsa(1024, &mut rng).unwrap(),
        SigningKey::generate_ecdsa(Curve::P256, &mut rng),
        SigningKey::generate_ecdsa(Curve::P384, &mut rng),
        SigningKey::generate_ecdsa(Curve::P521, &mut rng),
    ];
    let kinds = [KeyKind::Rsa, KeyKind::Ecdsa256, KeyKind::Ecdsa384, KeyKind::Ecdsa521];
    for (key, kind) in keys.iter().zip(kinds) {
        assert_eq!(key.kind(), kind);
        let public = key.public();
        let alg = kind.fixed_hash().unwrap_or(HashAlg::Sha1);
        let (digest, other) = (hash(alg, &[b"one"]), hash(alg, &[b"two"]));
        let sig = key.sign_push(alg, &digest, false, &mut rng).unwrap();
        assert_eq!(sig.len(), key.signature_len());
        assert_eq!(public.verify_push(alg, &digest, false, &sig), Ok(()));
        assert_eq!(public.verify_push(alg, &other, false, &sig), Err(CryptoError::SignatureMismatch));
        let sig = key.sign_x509(alg, &digest, &mut rng).unwrap();
        assert_eq!(public.verify_x509(alg, &digest, &sig), Ok(()));
        assert_eq!(public.verify_x509(alg, &other, &sig), Err(CryptoError::SignatureMismatch));

        let spki = public.to_spki_der().unwrap();
        assert_eq!(VerifyingKey::from_spki_der(&spki).unwrap(), public);
        let again = SigningKey::from_pkcs8_der(&key.to_pkcs8_der().unwrap()).unwrap();
        assert_eq!(again.public(), public);
        let again = SigningKey::from_pem(&key.to_pem().unwrap()).unwrap();
        assert_eq!(again.public(), public);
        assert!(VerifyingKey::from_spki_der(&spki[..spki.len() - 1]).is_err());
        assert!(!format!("{key:?}").contains(&hex::encode(&key.to_pkcs8_der().unwrap()[40..48])));
    }
    assert!(SigningKey::generate_rsa(512, &mut rng).is_err());
}

#[test]
fn rsa_blocks_with_and_without_digest_info_are_not_confused() {
    let mut rng = Rng::from_u64(12);
    let key = SigningKey::generate_rsa(1024, &mut rng).unwrap();
    let public = key.public();
    for alg in HashAlg::ALL {
        let digest = hash(alg, &[b"rekey"]);
        for bare in [false, true] {
            let sig = key.sign_push(alg, &digest, bare, &mut rng).unwrap();
            assert_eq!(public.verify_push(alg, &digest, bare, &sig), Ok(()));
            assert_eq!(public.verify_push(alg, &digest, !bare, &sig), Err(CryptoError::SignatureMismatch));
        }
        assert_eq!(
            key.sign_push(alg, &digest[1..], false, &mut rng),
            Err(CryptoError::DigestLength { have: digest.len() - 1 })
        );
    }
}

/// The forgery that lax parsers accept for exponent 3: short padding, then the digest, then anything.
#[test]
fn an_rsa_block_with_short_padding_and_trailing_octets_is_refused() {
    let mut rng = Rng::from_u64(13);
    let key = SigningKey::generate_rsa(1024, &mut rng).unwrap();
    let digest = hash(HashAlg::Sha256, &[b"hash_i"]);
    let block = |fill: usize, tail: usize| [&[0, 1][..], &vec![0xff; fill], &[0], &digest, &vec![0x5a; tail]].concat();
    let good = key.sign_rsa_block(&block(128 - 3 - 32, 0)).unwrap();
    assert_eq!(key.public().verify_ike(&digest, &good), Ok(()));
    let forged = key.sign_rsa_block(&block(8, 128 - 3 - 32 - 8)).unwrap();
    assert_eq!(key.public().verify_ike(&digest, &forged), Err(CryptoError::SignatureMismatch));
    assert!(key.sign_rsa_block(&[0; 127]).is_err());
    assert!(key.sign_rsa_block(&[0xff; 128]).is_err());
}

#[test]
fn one_seed_draws_one_key() {
    let draw = |seed| SigningKey::generate_ecdsa(Curve::P256, &mut Rng::from_u64(seed)).public();
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}
