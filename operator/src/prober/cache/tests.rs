//! Anchors C and R against a real server on loopback.

use std::process::{Child, Command, Stdio};

use super::*;

struct Server {
    process: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    async fn start() -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let program = ["valkey-server", "redis-server"].into_iter().find(|program| {
            let found = Command::new(program)
                .arg("--version")
                .stdout(Stdio::null())
                .status();
            found.is_ok()
        });
        let process = Command::new(program.expect("a cache: apt-get install valkey-server or redis-server"))
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "0.0.0.0",
                "--save",
                "",
                "--requirepass",
                "secret",
            ])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { process, port };
        let up = async {
            while server.cache("secret").connect().await.is_none() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), up)
            .await
            .expect("the cache is up within a minute");
        server
    }

    fn cache(&self, password: &str) -> Cache {
        Cache::new(CacheCheck {
            trigger: String::new(),
            // Another address than the pod's.
            host: "127.0.0.1".into(),
            port: self.port,
            user: None,
            password: Some(password.into()),
            tls: false,
            ca_certificate: None,
        })
    }
}

/// The pod: another address, because everything else comes from 127.0.0.1.
const POD: &str = "127.0.0.9";

/// A client that comes from the pod's address and says `PING`.
async fn command_from_the_pod(port: u16) -> tokio::net::TcpStream {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(format!("{POD}:0").parse().unwrap()).unwrap();
    let mut stream = socket
        .connect(SocketAddr::new([127, 0, 0, 1].into(), port))
        .await
        .unwrap();
    stream
        .write_all(b"AUTH secret\r\nSET session:abc 1\r\n")
        .await
        .unwrap();
    let mut answer = [0; 10];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"+OK\r\n+OK\r\n");
    stream
}

async fn seen_during_a_login(cache: &Cache, login: impl Future<Output = ()>) -> Option<bool> {
    let watch = cache.watch(POD.parse().unwrap()).await?;
    let (done, until) = oneshot::channel();
    let login = async {
        login.await;
        drop(done);
    };
    tokio::join!(watch.seen(until), login).0
}

#[tokio::test]
async fn a_pod_is_seen_by_what_it_sends_while_it_logs_in() {
    let server = Server::start().await;
    let cache = server.cache("secret");
    assert_eq!(seen_during_a_login(&cache, async {}).await, Some(false));
    let mut kept = None;
    let login = async { kept = Some(command_from_the_pod(server.port).await) };
    assert_eq!(seen_during_a_login(&cache, login).await, Some(true));
    // A connection that is only there says nothing, unless its commands are counted.
    assert_ne!(seen_during_a_login(&cache, async {}).await, Some(true));
    drop(kept);

    assert_eq!(cache.holds("session:abc").await, Some(true));
    assert_eq!(cache.holds("session:other").await, Some(false));
    // Without the right to ask nothing is claimed.
    let stranger = server.cache("wrong");
    assert_eq!(stranger.holds("session:abc").await, None);
    assert!(stranger.watch(POD.parse().unwrap()).await.is_none());
}

#[test]
fn commands_are_counted_where_the_server_does() {
    let line = |id: u64, commands: &str| {
        format!("id={id} addr=10.0.0.7:4242 laddr=10.0.0.1:6379 age=9 idle=0 {commands} user=default")
    };
    let of = |lines: &[String]| -> Connections {
        let address = "10.0.0.7".parse().unwrap();
        lines
            .iter()
            .filter_map(|line| connection(line, address))
            .collect()
    };
    let before = of(&[line(7, "tot-cmds=3")]);
    assert_eq!(sent(&before, &of(&[line(7, "tot-cmds=4")])), Some(true));
    assert_eq!(sent(&before, &of(&[line(7, "tot-cmds=3")])), Some(false));
    assert_eq!(
        sent(&before, &of(&[line(7, "tot-cmds=3"), line(8, "tot-cmds=1")])),
        Some(true)
    );
    assert_eq!(sent(&before, &Connections::new()), Some(false));
    let uncounted = of(&[line(7, "")]);
    assert_eq!(sent(&uncounted, &uncounted), None);
    assert_eq!(
        of(&["id=1 addr=10.0.0.77:4242 tot-cmds=1".into()]),
        Connections::new()
    );
}
