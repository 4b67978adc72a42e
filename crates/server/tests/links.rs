//! Links that come and go while messages are sent, with carriers that do as a test says.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[cfg(test)]
#[path = "links/carrier.rs"]
mod carrier;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use carrier::{Carrier, Wire};
use countersign::channels::gate::Control;
use countersign::channels::switchboard::{Reloaded, SwitchError, Switchboard};
use countersign::clock::Stopwatch;
use countersign::config::{Config, RouteEntry};
use countersign::driver::{Driver, MessageRequest};
use countersign::server::Server;
use countersign::store::{Claim, ConfigChange, Lease, MessageView, Notify, StoreError};
use engine::{
    AccountId, AttemptId, ErrorCode, MessageId, MessageStatus, Numbering, Originator, PhoneNumber,
    Receipt, ReceiptStatus, SecretText, Subject,
};

#[tokio::test]
async fn a_reload_changes_what_differs_and_leaves_the_rest_alone() {
    let stage = Stage::open(&[link("a", ""), link("b", "")]).await;
    let first = [stage.carrier("a"), stage.carrier("b")];
    stage.write(&[link("a", "per_s = 50"), link("b", ""), link("c", "")]);
    let reloaded = stage.reload().await.unwrap();
    assert_eq!(reloaded.added, ["c"]);
    assert_eq!(reloaded.changed, ["a"]);
    assert!(reloaded.removed.is_empty() && reloaded.needs_restart.is_empty(), "{reloaded:?}");
    assert!(!Arc::ptr_eq(&first[0], &stage.carrier("a")), "it was started anew");
    assert!(Arc::ptr_eq(&first[1], &stage.carrier("b")), "it was left alone");
    first[0].wait_until_closed().await;
    assert!(!first[1].is_closed());
    stage.write(&[link("b", "")]);
    assert_eq!(stage.reload().await.unwrap().removed, ["a", "c"]);
    assert_eq!(stage.reload().await.unwrap(), Reloaded::default(), "nothing differs any more");
    let sent = stage.send(NUMBER).await;
    assert_eq!(stage.submitted(sent).await.record.passage.link.as_deref(), Some("b"));
}

#[tokio::test]
async fn a_reload_that_changes_nothing_leaves_links_and_routes_as_old_as_they_are() {
    let stage = Stage::open(&[link("a", "")]).await;
    let since = || stage.driver().channels.ways().since;
    let begun = since();
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(stage.reload().await.unwrap(), Reloaded::default());
    stage.switchboard.set_routes(stage.driver(), None).await.unwrap();
    assert_eq!(since(), begun);
    stage.write(&[link("a", ""), "[route.r]\nlinks = ['a']\n".to_owned()]);
    stage.reload().await.unwrap();
    assert!(since() > begun);
}

#[tokio::test]
async fn what_a_link_refused_is_counted_with_the_link_that_took_it() {
    let stage = Stage::open(&[link("a", ""), link("b", "")]).await;
    stage.carrier("a").refuses.store(true, Ordering::SeqCst);
    let sent = stage.send(NUMBER).await;
    assert_eq!(stage.submitted(sent).await.record.passage.link.as_deref(), Some("b"));
    let told = stage.driver().metrics.encode();
    let counted = |link: &str| {
        told.contains(&format!("countersign_time_to_submit_seconds_count{{link=\"{link}\"}} 1"))
    };
    assert_eq!(["a", "b"].map(counted), [false, true], "{told}");
}

#[tokio::test]
async fn a_reload_starts_a_link_anew_whose_credentials_were_refused() {
    let stage = Stage::open(&[link("a", ""), link("b", "")]).await;
    let first = [stage.carrier("a"), stage.carrier("b")];
    first[0].is_refused.store(true, Ordering::SeqCst);
    assert_eq!(stage.reload().await.unwrap().changed, ["a"], "its password may be another now");
    first[0].wait_until_closed().await;
    assert!(Arc::ptr_eq(&first[1], &stage.carrier("b")), "it was left alone");
}

#[tokio::test]
async fn a_configuration_with_mistakes_changes_nothing_and_tells_them_all() {
    let stage = Stage::open(&[link("a", "")]).await;
    let bad = "[route.r]\nlinks = ['x:0', 'nowhere']\n[engine]\nchecks_max = 99\n".to_owned();
    stage.write(&[link("a", "per_s = 0"), link("b", ""), bad]);
    let SwitchError::Mistakes(mistakes) = stage.reload().await.unwrap_err() else {
        panic!("it has mistakes")
    };
    let told = mistakes.to_string();
    for place in ["link.a.per_s", "route.r.links", "nowhere", "engine.checks_max"] {
        assert!(told.contains(place), "{told}");
    }
    assert_eq!(stage.names(), ["a"]);
    stage.write(&[link("a", ""), link("b", ""), link("unstartable", "")]);
    assert!(matches!(stage.reload().await, Err(SwitchError::Link(_))));
    assert_eq!(stage.names(), ["a"], "not even the links that could be started");
}

#[tokio::test]
async fn other_sections_are_named_and_wait_for_a_restart() {
    let stage = Stage::open(&[link("a", "")]).await;
    stage.write(&[link("a", ""), "[engine]\nchecks_max = 5\n".to_owned()]);
    assert_eq!(stage.reload().await.unwrap().needs_restart, ["engine"]);
}

#[tokio::test]
async fn what_is_under_way_when_its_link_goes_is_finished() {
    let stage = Stage::open(&[link("a", "")]).await;
    let old = stage.carrier("a");
    old.hold(true);
    let sent = stage.send(NUMBER).await;
    old.wait_until_handed(1).await;
    stage.write(&[link("a", "per_s = 9")]);
    stage.reload().await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!old.is_closed(), "its hand-over has not been answered");
    assert_eq!(stage.status(sent).await, MessageStatus::Queued);
    old.hold(false);
    assert_eq!(stage.submitted(sent).await.record.status, MessageStatus::Submitted);
    old.wait_until_closed().await;
    assert_eq!(stage.carrier("a").handed(), 0, "nothing was sent twice");
}

#[tokio::test]
async fn what_is_under_way_when_its_link_goes_can_still_be_withdrawn() {
    let stage = Stage::open(&[link("a", "")]).await;
    let old = stage.carrier("a");
    old.hold(true);
    let id = stage.send(NUMBER).await;
    old.wait_until_handed(1).await;
    for rate in ["per_s = 9", "per_s = 10"] {
        stage.write(&[link("a", rate)]);
        stage.reload().await.unwrap();
    }
    let attempt = AttemptId { subject: Subject::Message(id), step: 0 };
    stage.driver().channels.withdraw(attempt);
    assert_eq!(old.withdrawn.load(Ordering::Acquire), 1);
    old.hold(false);
}

#[tokio::test]
async fn what_was_accepted_waits_for_a_link_that_a_reload_takes_away_for_a_while() {
    let stage = Stage::open(&[link("a", "")]).await;
    stage.control("a", Control::Paused).await;
    let sent = stage.send(NUMBER).await;
    stage.write(&[link("other", ""), "[route.r]\ncountries = ['US']\nlinks = ['other']\n".into()]);
    assert_eq!(stage.reload().await.unwrap().removed, ["a"]);
    stage.try_again(1).await;
    assert_eq!(stage.status(sent).await, MessageStatus::Queued, "no route fits any more");
    let since_then = stage.send(NUMBER + 1).await;
    let refused = Receipt { status: ReceiptStatus::Rejected, error: ErrorCode::UNROUTABLE };
    let view = stage.submitted(since_then).await;
    assert_eq!(view.record.status, MessageStatus::Reported(refused), "it never had a way");
    stage.write(&[link("a", "")]);
    stage.reload().await.unwrap();
    stage.control("a", Control::Running).await;
    stage.try_again(1).await;
    assert_eq!(stage.submitted(sent).await.record.passage.link.as_deref(), Some("a"));
}

#[tokio::test]
async fn reloads_under_load_lose_nothing_and_send_nothing_twice() {
    let stage = Stage::open(&[link("a", "")]).await;
    let files = [
        vec![link("a", "per_s = 1000")],
        vec![link("b", "")],
        vec![link("b", ""), link("c", ""), "[route.r]\nlinks = ['c', 'b']\n".into()],
        vec![link("a", ""), "[route.r]\nlinks = ['a']\n".into()],
    ];
    let mut sent = Vec::new();
    for file in files.iter().cycle().take(20) {
        for _ in 0..8 {
            sent.push(stage.send(NUMBER + u64::try_from(sent.len()).unwrap()).await);
        }
        stage.write(file);
        stage.reload().await.unwrap();
    }
    for id in &sent {
        assert_eq!(stage.submitted(*id).await.record.status, MessageStatus::Submitted);
    }
    let carriers = stage.carriers.lock().unwrap();
    assert!(carriers.len() > 20, "links came and went");
    let handed: usize = carriers.iter().map(|(_, carrier)| carrier.handed()).sum();
    assert_eq!(handed, sent.len());
}

#[tokio::test]
async fn a_link_that_a_route_names_and_that_is_gone_is_told_of() {
    let stage = Stage::open(&[link("a", ""), link("b", "")]).await;
    let links = vec!["a".to_owned(), "b".to_owned()];
    let entry = RouteEntry { name: "r".to_owned(), links, ..RouteEntry::default() };
    stage.switchboard.set_routes(stage.driver(), Some(&[entry])).await.unwrap();
    stage.write(&[link("b", "")]);
    stage.reload().await.unwrap();
    let sent = stage.send(NUMBER).await;
    let passage = stage.submitted(sent).await.record.passage;
    assert_eq!(passage.link.as_deref(), Some("b"));
    let passed = passage.decision.passed_over.first().unwrap().clone();
    assert_eq!((passed.link.as_str(), passed.reason.as_str()), ("a", "there is no such link"));
}

#[tokio::test]
async fn a_link_whose_day_is_used_up_holds_nothing_from_another_that_comes_back() {
    let stage = Stage::open(&[link("a", "daily_max = 1"), link("b", "")]).await;
    stage.carrier("b").down.store(true, Ordering::SeqCst);
    let first = stage.send(NUMBER).await;
    assert_eq!(stage.submitted(first).await.record.passage.link.as_deref(), Some("a"));
    let second = stage.send(NUMBER + 1).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(stage.status(second).await, MessageStatus::Queued);
    stage.carrier("b").down.store(false, Ordering::SeqCst);
    assert_eq!(stage.submitted(second).await.record.passage.link.as_deref(), Some("b"));
}

#[tokio::test]
async fn an_outage_of_all_links_is_waited_out_however_often_they_were_tried() {
    let stage = Stage::open(&[link("a", "")]).await;
    stage.carrier("a").down.store(true, Ordering::SeqCst);
    let begun = Stopwatch::start();
    let sent = stage.send(NUMBER).await;
    stage.try_again(20).await;
    assert_eq!(stage.status(sent).await, MessageStatus::Queued);
    tokio::time::sleep(Duration::from_millis(300)).await;
    stage.carrier("a").down.store(false, Ordering::SeqCst);
    stage.try_again(1).await;
    assert_eq!(stage.submitted(sent).await.record.status, MessageStatus::Submitted);
    let told = stage.driver().metrics.encode();
    let sum = told
        .lines()
        .find_map(|line| line.strip_prefix("countersign_time_to_submit_seconds_sum{link=\"a\"} "));
    let sum: f64 = sum.unwrap().parse().unwrap();
    let waited = begun.elapsed().as_secs_f64();
    assert!(sum > 0.2 && sum <= waited, "{sum} of {waited}: what it had waited counts");
}

#[tokio::test]
async fn a_paused_link_loses_nothing_and_stays_paused_over_a_restart() {
    let stage = Stage::open(&[link("a", "")]).await;
    stage.control("a", Control::Paused).await;
    let sent = stage.send(NUMBER).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(stage.status(sent).await, MessageStatus::Queued);
    assert_eq!(stage.carrier("a").handed(), 0);

    let stage = stage.restart(&[link("a", ""), link("b", "")]).await;
    assert_eq!(stage.gate("a").control(), Control::Paused);
    let view = stage.submitted(sent).await;
    assert_eq!(view.record.passage.link.as_deref(), Some("b"), "it takes another link");
    let passed = view.record.passage.decision.passed_over;
    assert_eq!(passed.first().unwrap().reason, "it is paused");
    assert_eq!(passed.len(), 1, "the same reason is told once");

    stage.control("b", Control::Paused).await;
    let waits = stage.send(NUMBER + 1).await;
    stage.control("a", Control::Running).await;
    assert_eq!(stage.submitted(waits).await.record.passage.link.as_deref(), Some("a"));
    let stage = stage.restart(&[link("a", ""), link("b", "")]).await;
    assert_eq!(stage.gate("a").control(), Control::Running);
    assert_eq!(stage.gate("b").control(), Control::Paused);
}

#[tokio::test]
async fn a_drained_link_is_closed_and_a_resumed_one_started_anew() {
    let stage = Stage::open(&[link("a", "")]).await;
    let old = stage.carrier("a");
    stage.control("a", Control::Draining).await;
    old.wait_until_closed().await;
    let sent = stage.send(NUMBER).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(old.handed(), 0);
    stage.control("a", Control::Running).await;
    assert!(!Arc::ptr_eq(&old, &stage.carrier("a")));
    assert_eq!(stage.submitted(sent).await.record.status, MessageStatus::Submitted);
    assert_eq!((old.handed(), stage.carrier("a").handed()), (0, 1));
    assert!(matches!(
        stage.switchboard.control(stage.driver(), "nobody", Control::Paused).await,
        Err(SwitchError::UnknownLink(_))
    ));
}

#[tokio::test]
async fn a_days_hand_overs_are_counted_over_a_restart_and_over_a_reload() {
    let stage = Stage::open(&[link("a", "daily_max = 3"), link("b", "")]).await;
    for number in [NUMBER, NUMBER + 1] {
        let sent = stage.send(number).await;
        stage.submitted(sent).await;
    }
    stage.write(&[link("a", "daily_max = 4"), link("b", "")]);
    stage.reload().await.unwrap();
    assert_eq!(stage.today("a"), (2, Some(4)));
    let driver = stage.driver();
    driver.quality.flush(driver.store.as_ref()).await.unwrap();
    let stage = stage.restart(&[link("a", "daily_max = 3"), link("b", "")]).await;
    assert_eq!(stage.today("a"), (2, Some(3)));
    for (number, link) in [(NUMBER + 2, "a"), (NUMBER + 3, "b")] {
        let sent = stage.send(number).await;
        assert_eq!(stage.submitted(sent).await.record.passage.link.as_deref(), Some(link));
    }
}

#[tokio::test]
async fn a_link_at_its_rate_lets_the_rest_wait_for_their_turn() {
    let stage = Stage::open(&[link("a", "per_s = 4")]).await;
    let mut sent = Vec::new();
    for nth in 0..10 {
        sent.push(stage.send(NUMBER + nth).await);
    }
    assert!(stage.carrier("a").handed() <= 5, "four at once");
    for id in sent {
        assert_eq!(stage.submitted(id).await.record.status, MessageStatus::Submitted);
    }
    assert_eq!(stage.carrier("a").handed(), 10);
}

#[tokio::test]
async fn routes_that_are_set_take_effect_at_once_and_until_they_are_reset() {
    let route = "[route.file]\nlinks = ['a']\n".to_owned();
    let file = [link("a", ""), link("b", ""), route];
    let stage = Stage::open(&file).await;
    let way = async |stage: &Stage, number| {
        let sent = stage.send(number).await;
        let passage = stage.submitted(sent).await.record.passage;
        (passage.decision.route.unwrap(), passage.link.unwrap())
    };
    let said = |route: &str, link: &str| (route.to_owned(), link.to_owned());
    assert_eq!(way(&stage, NUMBER).await, said("file", "a"));
    let entry = RouteEntry {
        name: "uk".to_owned(),
        countries: vec!["GB".to_owned()],
        links: vec!["b".to_owned()],
        ..RouteEntry::default()
    };
    let set = stage.switchboard.set_routes(stage.driver(), Some(std::slice::from_ref(&entry)));
    set.await.unwrap();
    assert_eq!(way(&stage, NUMBER + 1).await, said("uk", "b"));
    let bad = RouteEntry { links: vec!["nowhere".to_owned()], ..entry };
    let refused = stage.switchboard.set_routes(stage.driver(), Some(&[bad])).await;
    assert!(matches!(refused, Err(SwitchError::Mistakes(_))));
    stage.reload().await.unwrap();
    assert_eq!(way(&stage, NUMBER + 2).await, said("uk", "b"), "a reload does not undo them");
    let stage = stage.restart(&file).await;
    assert_eq!(way(&stage, NUMBER + 3).await, said("uk", "b"), "nor does a restart");
    stage.switchboard.set_routes(stage.driver(), None).await.unwrap();
    assert_eq!(way(&stage, NUMBER + 4).await, said("file", "a"));
}

#[tokio::test]
async fn a_link_that_refuses_for_its_own_reasons_is_passed_over_and_told_of() {
    let stage =
        Stage::open(&[link("a", "costs = ['=0.5']"), link("b", "costs = ['44=0.02']")]).await;
    stage.carrier("a").refuses.store(true, Ordering::SeqCst);
    let sent = stage.send(NUMBER).await;
    let passage = stage.submitted(sent).await.record.passage;
    assert_eq!(passage.link.as_deref(), Some("b"));
    assert_eq!(passage.cost.to_string(), "0.02000000");
    let passed = passage.decision.passed_over.first().unwrap().clone();
    assert_eq!((passed.link.as_str(), passed.reason.as_str()), ("a", "it has no credit"));
    assert_eq!(stage.today("a").0, 0, "nothing was handed over");
}

/// A server in process whose links lead to carriers of the test's.
struct Stage {
    dir: tempfile::TempDir,
    server: Option<Running>,
    switchboard: Switchboard,
    carriers: Carriers,
}

struct Running {
    app: Arc<countersign::http::App>,
    stop: tokio::sync::watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

/// Every carrier that was ever connected, the newest of a name last.
type Carriers = Arc<Mutex<Vec<(String, Arc<Carrier>)>>>;

impl Stage {
    async fn open(sections: &[String]) -> Self {
        Self::open_in(tempfile::tempdir().unwrap(), sections).await
    }

    /// Starts a server without links and plugs the configured ones in, as a start would.
    async fn open_in(dir: tempfile::TempDir, sections: &[String]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        write(&dir, sections);
        let bare = Config { links: [].into(), routes: Vec::new(), ..read(&dir).unwrap() };
        let server = Server::start(bare.clone(), false).await.unwrap();
        let app = Arc::clone(server.app());
        let (stop, stopped) = tokio::sync::watch::channel(false);
        // An attempt that waits from before must find the links when the server begins to work.
        let (plugged_in, is_plugged_in) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            is_plugged_in.await.unwrap();
            let _ = server.run(stopped).await;
        });
        let carriers = Carriers::default();
        let connect = Arc::clone(&carriers);
        let switchboard = Switchboard::new(
            Arc::new(bare),
            Box::new(move |name, config| {
                if name == "unstartable" {
                    let problem = "there is no certificate".to_owned();
                    let name = name.to_owned();
                    return Err(countersign::channels::start::LinkError { name, problem });
                }
                let carrier = Arc::new(Carrier::default());
                connect.lock().unwrap().push((name.to_owned(), Arc::clone(&carrier)));
                let (name, network) = (name.to_owned(), config.network.clone());
                Ok(Arc::new(Wire { name, network, carrier }))
            }),
        );
        let path = dir.path().to_owned();
        switchboard.read_with(Box::new(move || read_in(&path)));
        let server = Some(Running { app, stop, task });
        let stage = Self { dir, server, switchboard, carriers };
        stage.reload().await.unwrap();
        plugged_in.send(()).unwrap();
        let driver = stage.driver();
        if driver.directories.current().account(ACCOUNT).is_none() {
            let account = countersign::store::AccountRecord {
                id: ACCOUNT,
                name: "shop".to_owned(),
                settings: countersign::store::AccountSettings::default(),
                created_at: driver.clock.now(),
            };
            let credit = engine::Amount::from_units(100_000_000);
            let change = ConfigChange::PutAccount { account, credit };
            driver.store.change(change, driver.clock.now()).await.unwrap();
            driver.directories.reload().await.unwrap();
        }
        stage
    }

    /// Ends the server and starts it again over the same data.
    async fn restart(mut self, sections: &[String]) -> Self {
        let Running { app, stop, task } = self.server.take().unwrap();
        stop.send(true).unwrap();
        task.await.unwrap();
        drop(app);
        let Self { dir, .. } = self;
        for _ in 0..200 {
            // The store closes with the last who holds it.
            let lock = std::fs::File::open(dir.path().join("data/lock")).unwrap();
            if lock.try_lock().is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Self::open_in(dir, sections).await
    }

    fn driver(&self) -> &Arc<Driver> {
        &self.server.as_ref().unwrap().app.driver
    }

    fn write(&self, sections: &[String]) {
        write(&self.dir, sections);
    }

    async fn reload(&self) -> Result<Reloaded, SwitchError> {
        self.switchboard.reload(self.driver()).await
    }

    async fn control(&self, link: &str, control: Control) {
        self.switchboard.control(self.driver(), link, control).await.unwrap();
    }

    fn names(&self) -> Vec<String> {
        let ways = self.driver().channels.ways();
        ways.gates.iter().map(|gate| gate.link.name().to_owned()).collect()
    }

    fn gate(&self, name: &str) -> Arc<countersign::channels::gate::Gate> {
        self.driver().channels.ways().gate(name).unwrap()
    }

    fn today(&self, name: &str) -> (u64, Option<u64>) {
        self.gate(name).today(self.driver().clock.now())
    }

    /// The newest carrier of a name.
    fn carrier(&self, name: &str) -> Arc<Carrier> {
        let carriers = self.carriers.lock().unwrap();
        let found = carriers.iter().rev().find(|(of, _)| of == name);
        Arc::clone(&found.unwrap().1)
    }

    async fn send(&self, digits: u64) -> MessageId {
        let driver = self.driver();
        let account = Arc::clone(driver.directories.current().account(ACCOUNT).unwrap());
        let number = format!("+{digits}");
        let request = MessageRequest {
            number: PhoneNumber::parse(&number, None, Numbering::WithFiction).unwrap(),
            text: SecretText::concat(&["Your PIN is 4815"]),
            parts: 1,
            originator: Originator::parse("Shop").unwrap(),
            campaign: None,
            client_ref: None,
            lifetime: None,
            notify: Notify::Nobody,
            idempotency: None,
        };
        match driver.send_message(&account, request).await.unwrap().subject {
            Subject::Message(id) => id,
            Subject::Verification(_) => panic!("it is a message"),
        }
    }

    async fn view(&self, id: MessageId) -> Result<MessageView, StoreError> {
        Ok(self.driver().store.message(id).await?.unwrap())
    }

    async fn status(&self, id: MessageId) -> MessageStatus {
        self.view(id).await.unwrap().record.status
    }

    /// Has what waits tried so many times, without waiting until it is due.
    async fn try_again(&self, times: usize) {
        let driver = self.driver();
        for _ in 0..times {
            let now = driver.clock.now();
            let claim = Claim { now: now.after(LONG), limit: 100, lease: Lease { until: now } };
            driver.store.claim_sends(claim).await.unwrap();
        }
        // The last time its lease is over, and the server takes it up. What waits again is due
        // sooner than what is leased.
        for _ in 0..1000 {
            let due = driver.store.next_due().await.unwrap().send;
            let now = driver.clock.now();
            if due.is_none_or(|at| at > now && at.since(now) < WAITS_MAX) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it was not tried again");
    }

    /// Waits until a carrier has taken a message.
    async fn submitted(&self, id: MessageId) -> MessageView {
        for _ in 0..1000 {
            let view = self.view(id).await.unwrap();
            if view.record.status != MessageStatus::Queued {
                return view;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{id} was not handed over");
    }
}

fn link(name: &str, keys: &str) -> String {
    format!(
        "[link.{name}]\nkind = 'smpp'\nhosts = ['smsc.example:2775']\nsystem_id = 'us'\n\
         password_file = 'none'\nnetwork = '23415'\n{keys}\n"
    )
}

fn write(dir: &tempfile::TempDir, sections: &[String]) {
    std::fs::write(dir.path().join("countersign.toml"), sections.concat()).unwrap();
}

fn read(dir: &tempfile::TempDir) -> Result<Config, countersign::config::ConfigMistakes> {
    read_in(dir.path())
}

fn read_in(dir: &Path) -> Result<Config, countersign::config::ConfigMistakes> {
    let data = dir.join("data");
    let variables = [
        ("COUNTERSIGN_DATA__DIR", data.to_str().unwrap()),
        ("COUNTERSIGN_SERVER__LISTEN", "127.0.0.1:0"),
        ("COUNTERSIGN_LIMITS__ACCOUNT_PER_S", "1000"),
    ];
    Config::load(Some(&dir.join("countersign.toml")), variables)
}

const ACCOUNT: AccountId = AccountId(1);
const NUMBER: u64 = 447_400_123_456;

/// Longer than anything waits for its next try.
const LONG: Duration = Duration::from_hours(1);

/// Longer than a message waits after a short outage, and shorter than the lease of a try.
const WAITS_MAX: Duration = Duration::from_secs(50);
