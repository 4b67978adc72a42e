//! Calls through kamailio, which challenges them, to a phone that is registered there.

use std::fs;
use std::time::Duration;

use voice::g711::Codec;
use voice::outcome::CallOutcome;
use voice::trunk::{Credentials, Transport, Trunk, TrunkConfig, TrunkFault, TrunkState};

use crate::stage::{
    Peer, assert_heard, baresip, call, config, fill, free_port, noise, now, recording, request,
    run, speech,
};

const PASSWORD: &str = "an-unlikely-password";

struct Proxy {
    peer: Peer,
    port: u16,
    tls_port: u16,
}

fn kamailio() -> Proxy {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let (port, tls_port) = (free_port(), free_port());
    let certificate = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
        -keyout key.pem -out cert.pem -subj /CN=trunk.test \
        -addext subjectAltName=DNS:trunk.test -addext basicConstraints=critical,CA:FALSE";
    let arguments: Vec<_> = certificate.split_whitespace().collect();
    run("openssl", "openssl", &path, &arguments);
    let directory = path.to_str().unwrap().to_owned();
    let (port_text, tls_text) = (port.to_string(), tls_port.to_string());
    let places = [
        ("PORT", port_text.as_str()),
        ("TLS_PORT", &tls_text),
        ("DIR", &directory),
        ("PASSWORD", PASSWORD),
    ];
    fill("kamailio/proxy.cfg", &path.join("proxy.cfg"), &places);
    fill("kamailio/tls.cfg", &path.join("tls.cfg"), &places);
    let arguments = ["-f", "proxy.cfg", "-DD", "-E", "-m", "32", "-M", "8", "-Y", &directory];
    let mut peer = Peer::start("kamailio", "kamailio kamailio-tls-modules", folder, &arguments);
    peer.wait_for_port(port);
    peer.wait_until("listen for TLS", || {
        std::net::TcpStream::connect(("127.0.0.1", tls_port)).is_ok()
    });
    Proxy { peer, port, tls_port }
}

/// A phone that has registered with the proxy.
fn registered_phone(proxy: &Proxy) -> Peer {
    let account = format!(
        "<sip:1001@trunk.test;transport=udp>;auth_user=1001;auth_pass={PASSWORD};\
         outbound=\"sip:127.0.0.1:{}\";regint=60;answermode=auto;audio_codecs=PCMA/8000/1",
        proxy.port
    );
    let (mut phone, _) = baresip(&account);
    let output = phone.folder.path().join("output");
    phone.wait_until("register", || fs::read_to_string(&output).unwrap().contains("200 OK"));
    phone
}

fn trunk_config(proxy: &Proxy, transport: Transport) -> TrunkConfig {
    let port = match transport {
        Transport::Tls { .. } => proxy.tls_port,
        Transport::Udp | Transport::Tcp => proxy.port,
    };
    let user = "countersign".to_owned();
    let credentials = Some(Credentials { user, password: PASSWORD.to_owned() });
    TrunkConfig { transport, credentials, ..config(port) }
}

fn tls(proxy: &Proxy) -> Transport {
    Transport::Tls {
        ca_file: Some(proxy.peer.folder.path().join("cert.pem")),
        server_name: Some("trunk.test".to_owned()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_phone_is_reached_over_udp_tcp_and_tls() {
    let proxy = kamailio();
    for transport in [Transport::Udp, Transport::Tcp, tls(&proxy)] {
        let phone = registered_phone(&proxy);
        let trunk = Trunk::open(trunk_config(&proxy, transport.clone())).await.unwrap();
        let (record, _) = call(&trunk, request("1001", speech(2))).await;
        assert_eq!(record.outcome, CallOutcome::Completed, "{transport:?}: {record:?}");
        assert_eq!(record.codec, Some(Codec::Pcma));
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_heard(&recording(phone.folder.path()), &noise(2), Codec::Pcma);
        assert_eq!(trunk.dialogs_open(), 0);
        assert_eq!(trunk.state(), TrunkState::Up);
        let (record, _) = call(&trunk, request("404404", speech(1))).await;
        assert_eq!(record.outcome, CallOutcome::InvalidNumber, "nobody has registered so");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_apart_from_a_trunk_that_fails() {
    let proxy = kamailio();
    let mut config = trunk_config(&proxy, Transport::Udp);
    config.credentials.as_mut().unwrap().password = "wrong".to_owned();
    let trunk = Trunk::open(config).await.unwrap();
    let (record, _) = call(&trunk, request("1001", speech(1))).await;
    assert_eq!((record.outcome, record.sip_status), (CallOutcome::CredentialsRefused, Some(407)));
    assert_eq!(trunk.state(), TrunkState::Down(TrunkFault::CredentialsRefused));
}

#[tokio::test(flavor = "multi_thread")]
async fn we_register_over_every_transport_and_a_wrong_password_is_refused() {
    let proxy = kamailio();
    for transport in [Transport::Udp, Transport::Tcp, tls(&proxy)] {
        let mut config = trunk_config(&proxy, transport);
        config.register_for = Some(Duration::from_mins(1));
        let trunk = Trunk::open(config.clone()).await.unwrap();
        assert_eq!(becomes_known(&trunk).await, TrunkState::Up);

        config.credentials.as_mut().unwrap().password = "wrong".to_owned();
        let trunk = Trunk::open(config).await.unwrap();
        assert_eq!(becomes_known(&trunk).await, TrunkState::Down(TrunkFault::CredentialsRefused));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_may_call_us_and_a_closed_trunk_is_no_longer_registered() {
    let proxy = kamailio();
    let mut config = trunk_config(&proxy, Transport::Udp);
    let caller = Trunk::open(config.clone()).await.unwrap();
    config.register_for = Some(Duration::from_mins(1));
    config.credentials.as_mut().unwrap().user = "2002".to_owned();
    let called = Trunk::open(config).await.unwrap();
    assert_eq!(becomes_known(&called).await, TrunkState::Up);
    let (record, _) = call(&caller, request("2002", speech(1))).await;
    assert_eq!(record.sip_status, Some(403), "our own refusal");
    drop(called);
    let started = now();
    loop {
        let (record, _) = call(&caller, request("2002", speech(1))).await;
        if record.outcome == CallOutcome::InvalidNumber {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(8), "still there: {record:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_sees_the_trunk_go_and_come() {
    let proxy = kamailio();
    let ping_every = Some(Duration::from_millis(300));
    for transport in [Transport::Tcp, tls(&proxy)] {
        let config = TrunkConfig { ping_every, ..trunk_config(&proxy, transport) };
        let trunk = Trunk::open(config).await.unwrap();
        assert_eq!(becomes_known(&trunk).await, TrunkState::Up);
    }
    let config = TrunkConfig { ping_every, ..trunk_config(&proxy, Transport::Udp) };
    let trunk = Trunk::open(config).await.unwrap();
    assert_eq!(becomes_known(&trunk).await, TrunkState::Up);
    drop(proxy);
    let started = now();
    while trunk.state() == TrunkState::Up {
        assert!(started.elapsed() < Duration::from_secs(8), "nobody noticed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(trunk.state(), TrunkState::Down(TrunkFault::Silent));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_trusted_ends_a_call_at_once() {
    let proxy = kamailio();
    let stranger = kamailio();
    let trusted = tls(&stranger);
    let trunk = Trunk::open(trunk_config(&proxy, trusted)).await.unwrap();
    let started = now();
    let (record, _) = call(&trunk, request("1001", speech(1))).await;
    assert_eq!(record.outcome, CallOutcome::TrunkUnreachable);
    assert!(started.elapsed() < Duration::from_secs(1));
    let TrunkState::Down(TrunkFault::Connect(reason)) = trunk.state() else {
        panic!("{:?}", trunk.state());
    };
    assert!(reason.contains("certificate"), "{reason}");
}

async fn becomes_known(trunk: &Trunk) -> TrunkState {
    let started = now();
    while trunk.state() == TrunkState::Unknown {
        assert!(started.elapsed() < Duration::from_secs(8), "nothing is known of the trunk");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    trunk.state()
}
