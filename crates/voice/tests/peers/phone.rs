//! What a phone hears, recorded by baresip.

use std::time::Duration;

use voice::g711::Codec;
use voice::outcome::CallOutcome;
use voice::trunk::{Trunk, TrunkConfig};

use crate::stage::{assert_heard, baresip, call, config, noise, recording, request, speech};

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
