//! Random material: the certificate authority, certificates, keys and passwords. Made once, when their Secret is
//! created. May touch the random source; never logs, and its errors hold no value.

use std::collections::BTreeMap;

use accord_plan::outcome::Material;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The system's random source failed.
    #[error("the system gives no random bytes")]
    Random,
    /// A key or certificate couldn't be made.
    #[error("the certificate can't be made")]
    Certificate,
    /// The authority's Secret isn't one.
    #[error("the Secret of the certificate authority has no usable key under ca.key")]
    Authority,
}

/// The data of the Secret: name to value. `authority_key` is the authority's key, PEM, for a certificate.
pub(crate) fn make(
    material: &Material,
    authority_key: Option<&str>,
) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    let pairs = match material {
        Material::Authority { common_name } => authority(common_name)?,
        Material::Certificate {
            dns_names,
            ca_certificate,
            ..
        } => certificate(dns_names, ca_certificate, authority_key.ok_or(Error::Authority)?)?,
        Material::KeyRing => vec![
            ("active".into(), token::<64>()?),
            ("fallbacks".into(), String::new()),
        ],
        Material::Passwords { names } => names
            .iter()
            .map(|name| Ok((name.clone(), token::<32>()?)))
            .collect::<Result<_, Error>>()?,
        Material::Canary => {
            let username = format!("accord-canary-{}", lowercase(12)?);
            vec![
                ("email".into(), format!("{username}@example.com")),
                // Four classes of characters: password policies ask for them.
                ("password".into(), format!("{}Aa1!", token::<32>()?)),
                ("username".into(), username),
            ]
        }
    };
    Ok(pairs
        .into_iter()
        .map(|(name, value)| (name, value.into_bytes()))
        .collect())
}

/// A Secret's value as it stands in a manifest.
pub(crate) fn encode(value: &[u8]) -> String {
    STANDARD.encode(value)
}

type Pairs = Vec<(String, String)>;

fn authority(common_name: &str) -> Result<Pairs, Error> {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(|_| Error::Certificate)?;
    let mut params = params(Vec::new(), common_name)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).map_err(|_| Error::Certificate)?;
    Ok(vec![
        ("ca.crt".into(), certificate.pem()),
        ("ca.key".into(), key.serialize_pem()),
    ])
}

fn certificate(dns_names: &[String], ca_certificate: &str, ca_key: &str) -> Result<Pairs, Error> {
    let ca_key = KeyPair::from_pem(ca_key).map_err(|_| Error::Authority)?;
    let issuer = Issuer::from_ca_cert_pem(ca_certificate, ca_key).map_err(|_| Error::Authority)?;
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(|_| Error::Certificate)?;
    // 64 characters at most: the bound of X.520. The names that count are in the extension.
    let common_name = dns_names
        .first()
        .filter(|n| n.len() <= 64)
        .map_or("accord", String::as_str);
    let mut params = params(dns_names.to_vec(), common_name)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.signed_by(&key, &issuer).map_err(|_| Error::Certificate)?;
    Ok(vec![
        ("ca.crt".into(), ca_certificate.to_owned()),
        ("tls.crt".into(), certificate.pem()),
        ("tls.key".into(), key.serialize_pem()),
    ])
}

/// Valid from yesterday (clocks differ) for ten years.
fn params(dns_names: Vec<String>, common_name: &str) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(dns_names).map_err(|_| Error::Certificate)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let date = |date: jiff::civil::Date| {
        rcgen::date_time_ymd(
            date.year().into(),
            date.month().unsigned_abs(),
            date.day().unsigned_abs(),
        )
    };
    params.not_before = date(today.yesterday().map_err(|_| Error::Certificate)?);
    params.not_after = date(
        today
            .checked_add(jiff::Span::new().years(10))
            .map_err(|_| Error::Certificate)?,
    );
    Ok(params)
}

/// `N` random bytes as URL-safe base64 without padding.
fn token<const N: usize>() -> Result<String, Error> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Random letters from a to z, each equally likely.
fn lowercase(count: usize) -> Result<String, Error> {
    let mut letters = String::with_capacity(count);
    while letters.len() < count {
        let mut byte = [0; 1];
        aws_lc_rs::rand::fill(&mut byte).map_err(|_| Error::Random)?;
        // 234 = 9 × 26: the bytes above would favour the first letters.
        if byte[0] < 234 {
            letters.push(char::from(b'a' + byte[0] % 26));
        }
    }
    Ok(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(data: &BTreeMap<String, Vec<u8>>, name: &str) -> String {
        String::from_utf8(data[name].clone()).unwrap()
    }

    #[test]
    fn a_client_that_trusts_the_authority_trusts_the_certificate_for_its_names_only() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let ca = make(
            &Material::Authority {
                common_name: "harbour".into(),
            },
            None,
        )
        .unwrap();
        let asked = Material::Certificate {
            dns_names: vec!["harbour-db".into(), "harbour-db.docks.svc".into()],
            ca_certificate: text(&ca, "ca.crt"),
            ca_secret: "harbour-ca".into(),
        };
        let made = make(&asked, Some(&text(&ca, "ca.key"))).unwrap();
        assert_eq!(made["ca.crt"], ca["ca.crt"]);
        assert!(handshake(&ca, &made, "harbour-db.docks.svc").is_ok());
        assert!(handshake(&ca, &made, "pier-db").is_err());
        let other = make(
            &Material::Authority {
                common_name: "harbour".into(),
            },
            None,
        )
        .unwrap();
        assert!(handshake(&other, &made, "harbour-db").is_err());
    }

    /// A TLS handshake in memory.
    fn handshake(
        ca: &BTreeMap<String, Vec<u8>>,
        server: &BTreeMap<String, Vec<u8>>,
        name: &str,
    ) -> Result<(), rustls::Error> {
        use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(&ca["ca.crt"]).unwrap())
            .unwrap();
        let client = rustls::ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(&server["tls.crt"]).unwrap()],
                PrivateKeyDer::from_pem_slice(&server["tls.key"]).unwrap(),
            )
            .unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = rustls::ClientConnection::new(client.into(), name).unwrap();
        let mut server = rustls::ServerConnection::new(server.into()).unwrap();
        for _ in 0..10 {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets()?;
            let mut wire = Vec::new();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        assert!(!client.is_handshaking());
        Ok(())
    }

    #[test]
    fn passwords_and_keys_have_the_promised_form_and_differ() {
        let names = vec!["app_a".to_owned(), "app_b".to_owned()];
        let made = make(&Material::Passwords { names }, None).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(&made["app_a"]).unwrap().len(), 32);
        assert_ne!(made["app_a"], made["app_b"]);
        let ring = make(&Material::KeyRing, None).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(&ring["active"]).unwrap().len(), 64);
        assert_eq!(text(&ring, "fallbacks"), "");
    }

    #[test]
    fn the_canary_can_pass_a_password_policy() {
        let made = make(&Material::Canary, None).unwrap();
        let username = text(&made, "username");
        let random = username.strip_prefix("accord-canary-").unwrap();
        assert!(random.len() == 12 && random.bytes().all(|b| b.is_ascii_lowercase()));
        assert_eq!(text(&made, "email"), format!("{username}@example.com"));
        assert!(text(&made, "password").ends_with("Aa1!"));
    }
}
