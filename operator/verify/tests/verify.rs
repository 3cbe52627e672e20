//! The command against small servers on loopback.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../exchange/tests/fake/mod.rs"]
mod fake;

use std::net::SocketAddr;
use std::process::Output;
use std::sync::Arc;

use fake::{App, Fake, HOSTNAME, PASSWORD, USERNAME};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;
use tokio::process::Command;

/// A recipe, with the ring as the key of tokens.
const RECIPE: &str = "
csrf: {path: /csrf/}
login:
  path: /login/
  sessionCookie: sessionid
  accessToken: access
  accessTokenKey: KeyRing
  refreshToken: refresh
check: {path: /me/, username: /username}
refresh: {path: /refresh/}
logout: {path: /logout/, refreshField: refresh}
";

struct Call {
    dir: tempfile::TempDir,
    args: Vec<String>,
    account: bool,
}

impl Call {
    fn new(urls: &[String]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("recipe.yaml"), RECIPE).unwrap();
        let recipe = dir.path().join("recipe.yaml");
        let mut args = [
            "verify",
            "--hostname",
            HOSTNAME,
            "--recipe",
            recipe.to_str().unwrap(),
        ]
        .map(str::to_owned)
        .to_vec();
        args.extend(urls.iter().flat_map(|url| ["--url".to_owned(), url.clone()]));
        Self {
            dir,
            args,
            account: true,
        }
    }

    fn of(fakes: &[&Fake]) -> Self {
        let urls: Vec<_> = fakes.iter().map(|f| format!("http://{}", f.address)).collect();
        Self::new(&urls)
    }

    fn with(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|a| (*a).to_owned()));
        self
    }

    fn file(self, flag: &str, text: &str) -> Self {
        let path = self.dir.path().join(flag);
        std::fs::write(&path, text).unwrap();
        self.with(&[flag, path.to_str().unwrap()])
    }

    async fn run(&self) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_accord"));
        command.args(&self.args).env_clear();
        if self.account {
            command
                .env("ACCORD_USERNAME", USERNAME)
                .env("ACCORD_PASSWORD", PASSWORD);
        }
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().await.unwrap();
        let text = String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap();
        for secret in [USERNAME, PASSWORD] {
            assert!(!text.contains(secret), "{text}");
        }
        (status.code().unwrap(), text)
    }

    /// Exit code, and each replica's verdict and reason.
    async fn found(self) -> (i32, Vec<String>) {
        let (code, text) = self.with(&["--output", "json"]).run().await;
        let report: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"));
        let row = |r: &Value| {
            format!(
                "{} {}",
                r["verdict"].as_str().unwrap(),
                r["reason"].as_str().unwrap()
            )
        };
        (
            code,
            report["replicas"].as_array().unwrap().iter().map(row).collect(),
        )
    }
}

#[tokio::test]
async fn replicas_that_agree_end_with_0() {
    let app = App::new("k");
    let (a, b, c) = (
        app.replica().serve("a", 2).await,
        app.replica().serve("b", 3).await,
        app.replica().serve("c", 4).await,
    );
    let (code, text) = Call::of(&[&a, &b, &c]).file("--keys", "k\nolder\n").run().await;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("3 of 3 replicas agree."), "{text}");
    let (code, text) = Call::of(&[&a]).with(&["--output", "yaml"]).run().await;
    assert!(code == 0 && text.starts_with("verdict: Agrees"), "{text}");
}

#[tokio::test]
async fn the_odd_one_of_three_is_named_wherever_it_stands() {
    for odd in 0..3 {
        let app = App::new("k");
        let mut fakes = Vec::new();
        for at in 0..3 {
            let own = App {
                sessions: Arc::default(),
                ..app.replica()
            };
            let app = if at == odd { own } else { app.replica() };
            fakes.push(app.serve("x", 10 + u8::try_from(at).unwrap()).await);
        }
        let (code, found) = Call::of(&fakes.iter().collect::<Vec<_>>()).found().await;
        assert_eq!(code, 1);
        for (at, row) in found.iter().enumerate() {
            let expected = if at == odd {
                "Diverges LocalSession"
            } else {
                "Agrees Verified"
            };
            assert_eq!(row, expected, "{odd}: {found:?}");
        }
    }
}

/// The account is known from its login on, and each replica is asked about the others' sessions before.
#[tokio::test]
async fn users_that_are_kept_in_memory_are_told_at_each_replica_after_the_first() {
    let app = App::new("k");
    let mut fakes = Vec::new();
    for at in 10..13 {
        let remembering = app.replica().with(|f| f.knows_who_logged_in = true);
        fakes.push(remembering.serve("x", at).await);
    }
    let (code, found) = Call::of(&fakes.iter().collect::<Vec<_>>()).found().await;
    let told = "Diverges Ambiguous";
    assert_eq!(
        (code, found),
        (1, vec!["Agrees Verified".into(), told.into(), told.into()])
    );
}

#[tokio::test]
async fn with_two_neither_is_cleared_unless_one_shows_it_by_itself() {
    let (a, b) = (
        App::new("k").serve("a", 2).await,
        App::new("k").serve("b", 3).await,
    );
    let (code, text) = Call::of(&[&a, &b]).run().await;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("can't be told which"), "{text}");
    assert!(text.contains("0 of 2 replicas agree."), "{text}");

    // The declared key tells.
    let app = App::new("k");
    let odd = App {
        key: "made at start".into(),
        ..app.replica()
    };
    let (a, b) = (odd.serve("a", 2).await, app.serve("b", 3).await);
    let (code, found) = Call::of(&[&a, &b]).file("--keys", "k").found().await;
    assert_eq!(
        (code, found),
        (1, vec!["Diverges KeyMismatch".into(), "Agrees Verified".into()])
    );
}

#[tokio::test]
async fn a_password_is_changed_and_changed_back_when_asked_for() {
    let step = "changePassword: {path: /password/, oldField: old_password}\n";
    for asked in [false, true] {
        let app = App::new("k");
        let stale = App {
            lookup: Arc::default(),
            ..app.replica()
        }
        .with(|f| f.believes_lookup = true);
        let (a, b, c) = (
            app.replica().serve("a", 2).await,
            app.replica().serve("b", 3).await,
            stale.serve("c", 4).await,
        );
        let mut call = Call::of(&[&a, &b, &c]);
        std::fs::write(call.dir.path().join("recipe.yaml"), format!("{RECIPE}{step}")).unwrap();
        if asked {
            call = call.with(&["--change-password"]);
        }
        let (code, found) = call.found().await;
        let third = ["Agrees Verified", "Diverges StaleCache"][usize::from(asked)];
        assert_eq!((code, found[2].as_str()), (i32::from(asked), third), "{found:?}");
        assert_eq!(found[..2], ["Agrees Verified", "Agrees Verified"]);
        assert_eq!(app.users.lock().unwrap()[USERNAME], PASSWORD);
    }
}

#[tokio::test]
async fn what_could_not_be_told_ends_with_2() {
    let a = App::new("k").serve("a", 2).await;
    let nobody = std::net::TcpListener::bind("127.0.0.5:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let urls = [format!("http://{}", a.address), format!("http://{nobody}")];
    let (code, found) = Call::new(&urls).found().await;
    assert_eq!((code, found[1].as_str()), (2, "Unknown ProbeBlocked"));
}

#[tokio::test]
async fn wrong_use_ends_with_64_and_names_the_way_out() {
    let url = ["http://127.0.0.1:1".to_owned()];
    let mut no_account = Call::new(&url);
    no_account.account = false;
    let cases = [
        (no_account, "ACCORD_USERNAME"),
        (Call::new(&[]), "--url"),
        (Call::new(&["127.0.0.1:1".to_owned()]), "http://"),
        (Call::new(&url).with(&["--framework", "Django"]), "--framework"),
        (Call::new(&url).with(&["--password", "x"]), "--password"),
        (Call::new(&url).with(&["--keys", "/nowhere"]), "/nowhere"),
    ];
    for (call, word) in cases {
        let (code, text) = call.run().await;
        assert!(code == 64 && text.contains(word), "{code} {text}");
    }
}

#[tokio::test]
async fn the_account_may_come_from_a_file() {
    let a = App::new("k").serve("a", 2).await;
    let mut call = Call::of(&[&a]).file("--credentials", &format!("{USERNAME}\n{PASSWORD}\n"));
    call.account = false;
    assert_eq!(call.run().await.0, 0);
}

#[tokio::test]
async fn over_https_the_certificate_has_to_be_for_the_hostname() {
    let app = App::new("k");
    let (a, b) = (
        app.replica().serve("a", 2).await,
        app.replica().serve("b", 3).await,
    );
    let ca = Authority::new();
    let urls = [
        format!("https://{}", ca.terminate(HOSTNAME, a.address).await),
        format!("https://{}", ca.terminate("other.example.com", b.address).await),
    ];
    let (code, text) = Call::new(&urls[..1]).file("--ca-file", &ca.pem).run().await;
    assert_eq!(code, 0, "{text}");
    let (code, found) = Call::new(&urls).file("--ca-file", &ca.pem).found().await;
    assert_eq!((code, found[1].as_str()), (2, "Unknown ProbeBlocked"));
    // Another authority vouches for nobody here.
    let (code, _) = Call::new(&urls[..1])
        .file("--ca-file", &Authority::new().pem)
        .run()
        .await;
    assert_eq!(code, 2);
}

/// A certificate authority.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// Takes TLS connections as `name` and hands them on.
    async fn terminate(&self, name: &str, to: SocketAddr) -> SocketAddr {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut outer = acceptor.accept(stream).await.ok()?;
                    let mut inner = tokio::net::TcpStream::connect(to).await.ok()?;
                    tokio::io::copy_bidirectional(&mut outer, &mut inner).await.ok()
                });
            }
        });
        address
    }
}

/// A cache on loopback that holds every key, or none.
async fn cache(holds: u8) -> SocketAddr {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut heard = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut heard).await {
                    let text = String::from_utf8_lossy(&heard[..length]).into_owned();
                    let answers: String = text
                        .split('*')
                        .skip(1)
                        .map(|command| match command {
                            c if c.contains("EXISTS") => format!(":{holds}\r\n"),
                            c if c.contains("PING") => "+PONG\r\n".to_owned(),
                            _ => "+OK\r\n".to_owned(),
                        })
                        .collect();
                    stream.write_all(answers.as_bytes()).await.unwrap();
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn the_cache_tells_sessions_in_memory_from_another_key() {
    let recipe = RECIPE
        .replace(
            "  accessToken: access\n  accessTokenKey: KeyRing\n  refreshToken: refresh\n",
            "",
        )
        .replace("refresh: {path: /refresh/}\n", "")
        .replace(", refreshField: refresh", "")
        .replace("sessionid\n", "sessionid\n  sessionKey: 'session:{id}'\n");
    let (a, b) = (
        App::new("k").serve("a", 2).await,
        App::new("k").serve("b", 3).await,
    );
    let call = || {
        let call = Call::of(&[&a, &b]);
        std::fs::write(call.dir.path().join("recipe.yaml"), &recipe).unwrap();
        call
    };
    let (code, text) = call().run().await;
    let all = "It may be LocalSession or KeyMismatch or LocalDatabase.";
    assert!(code == 1 && text.contains(all), "{text}");

    let uri = format!("redis://{}/0?any=thing\n", cache(0).await);
    let (code, found) = call().file("--cache", &uri).found().await;
    assert_eq!((code, found), (1, vec!["Diverges LocalSession".to_owned(); 2]));
    // Which database a replica asks still isn't seen.
    let uri = format!("redis://{}", cache(1).await);
    let (code, text) = call().file("--cache", &uri).run().await;
    let fewer = "It may be KeyMismatch or LocalDatabase.";
    assert!(code == 1 && text.contains(fewer), "{text}");
}

#[tokio::test]
async fn a_cache_that_is_of_no_use_is_told() {
    let a = App::new("k").serve("a", 2).await;
    let (code, text) = Call::of(&[&a]).file("--cache", "redis://127.0.0.1:9").run().await;
    assert!(code == 64 && text.contains("no login.sessionKey"), "{text}");

    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let recipe = RECIPE.replace("sessionid\n", "sessionid\n  sessionKey: 'session:{id}'\n");
    for (uri, code, words) in [
        (format!("redis://:{PASSWORD}@{free}"), 2, "can't be asked"),
        (format!("http://:{PASSWORD}@{free}"), 64, "another scheme"),
        (PASSWORD.to_owned(), 64, "not a URI"),
    ] {
        let call = Call::of(&[&a]).file("--cache", &uri);
        std::fs::write(call.dir.path().join("recipe.yaml"), &recipe).unwrap();
        let (found, text) = call.run().await;
        assert!(found == code && text.contains(words), "{found}: {text}");
    }
}
