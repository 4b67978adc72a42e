//! What a phone hears, recorded by baresip.

use std::fs;
use std::path::Path;
use std::time::Duration;

use voice::g711::Codec;
use voice::outcome::CallOutcome;
use voice::trunk::{Trunk, TrunkConfig};

use crate::stage::{Peer, call, config, fill, free_port, noise, request, speech};

/// Starts a phone with one account, given as baresip writes it; `@SIP_PORT@` is its port.
pub(crate) fn baresip(account: &str) -> (Peer, u16) {
    let folder = tempfile::tempdir().unwrap();
    let (port, rtp) = (free_port(), free_port());
    let (port_text, directory) = (port.to_string(), folder.path().to_str().unwrap().to_owned());
    let (rtp_first, rtp_last) = (rtp.to_string(), rtp.saturating_add(40).to_string());
    let places = [
        ("SIP_PORT", port_text.as_str()),
        ("RTP_FIRST", &rtp_first),
        ("RTP_LAST", &rtp_last),
        ("DIR", &directory),
    ];
    fill("baresip/config", &folder.path().join("config"), &places);
    let account = account.replace("@SIP_PORT@", &port_text);
    fs::write(folder.path().join("accounts"), account + "\n").unwrap();
    fs::write(folder.path().join("contacts"), "").unwrap();
    fs::write(folder.path().join("current_contact"), "").unwrap();
    fs::create_dir(folder.path().join("recordings")).unwrap();
    let arguments = ["-f", &directory, "-p", "/usr/share/baresip"];
    let mut peer = Peer::start("baresip", "baresip-core", folder, &arguments);
    peer.wait_for_port(port);
    (peer, port)
}

/// Reads what the phone heard: 16-bit samples at 8000 a second.
pub(crate) fn recording(folder: &Path) -> Vec<i16> {
    let wav = fs::read_dir(folder.join("recordings"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_str().unwrap().ends_with("-dec.wav"))
        .expect("the phone recorded nothing");
    let octets = fs::read(wav).unwrap();
    let data = octets.windows(4).position(|window| window == b"data").unwrap() + 8;
    octets[data..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// Checks that what was heard is what was said, sample by sample, from wherever the phone began.
pub(crate) fn assert_heard(heard: &[i16], said: &[i16], codec: Codec) {
    let said: Vec<i16> = said.iter().map(|sample| codec.decode(codec.encode(*sample))).collect();
    // The first packets may be lost while the phone makes its buffer.
    let begun = 4_000;
    let probe = &said[begun..begun + 400];
    let is_same = |said: &i16, heard: &i16| said.abs_diff(*heard) <= ZERO_IN_BARESIP;
    let at = heard
        .windows(probe.len())
        .position(|window| probe.iter().zip(window).all(|(said, heard)| is_same(said, heard)));
    let at = at.unwrap_or_else(|| panic!("nothing said is in the {} samples", heard.len()));
    let same = said[begun..]
        .iter()
        .zip(&heard[at..])
        .take_while(|(said, heard)| is_same(said, heard))
        .count();
    let rest = said.len() - begun;
    // The last packets may be on their way when the BYE overtakes them.
    assert!(same + 480 >= rest, "only {same} of {rest} samples are the same");
}

/// Its table decodes the two zeros of µ-law as 2 and -2.
const ZERO_IN_BARESIP: u16 = 2;

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_hears_exactly_what_was_said_in_either_codec() {
    for (codec, name) in [(Codec::Pcmu, "PCMU"), (Codec::Pcma, "PCMA")] {
        let account = format!(
            "<sip:1000@127.0.0.1:@SIP_PORT@>;regint=0;answermode=auto;audio_codecs={name}/8000/1"
        );
        let (phone, port) = baresip(&account);
        let domain = format!("127.0.0.1:{port}");
        let trunk = Trunk::open(TrunkConfig { domain, ..config(port) }).await.unwrap();
        let (record, _) = call(&trunk, request("1000", speech(3))).await;
        assert_eq!((record.outcome, record.codec), (CallOutcome::Completed, Some(codec)));
        assert!(record.packets_sent >= 150, "{} packets", record.packets_sent);
        assert!(record.packets_received > 100, "the phone echoes: {}", record.packets_received);
        assert!(record.talked_for() >= Duration::from_secs(3));
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_heard(&recording(phone.folder.path()), &noise(3), codec);
        assert_eq!(trunk.dialogs_open(), 0);
    }
}
