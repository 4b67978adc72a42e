//! Calls over a SIP trunk: where they may go, over which channel, and what they come to.

mod call;
mod caps;

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use engine::{
    Amount, AttemptId, Channel, NumberKind, Originator, PhoneNumber, PriceItem, PriceList,
    Timestamp,
};
use tokio::sync::{OnceCell, oneshot};
use voice::CancellationToken;
use voice::speech::SpeechError;
use voice::trunk::{
    Credentials, Transport, Trunk, TrunkConfig, TrunkError, TrunkFault, TrunkState,
};

use super::start::{LinkContext, LinkError};
use super::{Dispatch, ErrorKind, LastError, Link, LinkState, Standing, Submission};
use crate::config::{Billing, LinkConfig, SipConfig, SipTransport};
use crate::seal::read_private;
use call::PlacedCall;
use caps::{Caps, HOUR, Ticket};

/// One trunk.
pub struct SipLink {
    inner: Arc<Inner>,
}

/// What the link and its calls share.
struct Inner {
    name: String,
    network: String,
    config: SipConfig,
    costs: PriceList,
    context: LinkContext,
    caps: Caps,
    /// Set once the caps know the calls of the last hour.
    recalled: OnceCell<()>,
    trunk: RwLock<TrunkSlot>,
    /// Until when the trunk has asked to be left alone.
    resting: Mutex<Timestamp>,
    /// Attempts whose call this trunk got to no phone, the oldest first.
    given_up: Mutex<VecDeque<AttemptId>>,
    /// The calls there are, each with what hangs it up.
    calls: Mutex<HashMap<AttemptId, CancellationToken>>,
    seen: Mutex<(Standing, Timestamp)>,
    closing: CancellationToken,
}

/// The trunk, once it could be opened.
#[derive(Default)]
struct TrunkSlot {
    trunk: Option<Arc<Trunk>>,
    /// Why it could not be, last time.
    error: Option<String>,
}

impl SipLink {
    /// Starts a trunk; it is opened in the background, again and again until it can be.
    ///
    /// # Errors
    /// The file with the password, or that with the trusted certificates, cannot be read.
    pub fn start(
        name: &str,
        link: &LinkConfig,
        config: &SipConfig,
        context: &LinkContext,
    ) -> Result<Self, LinkError> {
        let trunk = trunk_config(name, config)?;
        let inner = Arc::new(Inner {
            name: name.to_owned(),
            network: link.network.clone(),
            config: config.clone(),
            costs: PriceList::new(link.costs.clone()),
            context: context.clone(),
            caps: Caps::new(config.caps),
            recalled: OnceCell::new(),
            trunk: RwLock::default(),
            resting: Mutex::default(),
            given_up: Mutex::default(),
            calls: Mutex::default(),
            seen: Mutex::new((Standing::Connecting, context.clock.now())),
            closing: CancellationToken::new(),
        });
        tokio::spawn(open(Arc::clone(&inner), trunk));
        Ok(Self { inner })
    }

    async fn place(&self, dispatch: Dispatch) -> Submission {
        let (Some(spoken), Ok(trunk)) = (dispatch.spoken.as_ref(), self.inner.trunk()) else {
            return not_sent("it has not been opened yet");
        };
        if self.inner.has_given_up_on(dispatch.attempt) {
            return Submission::LinkRefused("it has tried before, in vain".to_owned());
        }
        let hang_up = CancellationToken::new();
        // Before anything takes time, so that a call can be withdrawn at any moment.
        let listed = Listed::new(&self.inner, dispatch.attempt, hang_up.clone());
        let number = match self.inner.destination(dispatch.number) {
            Ok(number) => number,
            Err(reason) => return Submission::LinkRefused(reason),
        };
        let digits = number.digits();
        let prefix = number.prefix(self.inner.context.prefix_drop_digits);
        let Some(most) = self.inner.most_cost(digits) else {
            let reason = "there is a cap on cost, and its costs do not tell that of the number";
            return Submission::LinkRefused(reason.to_owned());
        };
        if let Err(reason) = self.inner.recall().await {
            return not_sent(&reason);
        }
        let now = self.inner.context.clock.now();
        let ticket = match self.inner.caps.admit(digits, prefix, most, now) {
            Ok(ticket) => ticket,
            Err(reason) => return Submission::LinkRefused(reason.to_owned()),
        };
        let script = tokio::select! {
            biased;
            () = hang_up.cancelled() => Err(not_sent("it was withdrawn")),
            script = self.inner.context.voices.script(spoken) => script.map_err(unspoken),
        };
        let script = match script {
            Ok(script) => script,
            Err(submission) => {
                self.inner.caps.take_back(ticket);
                return submission;
            }
        };
        let manner = self.inner.context.voices.manner(spoken.wishes);
        let caller = self.inner.caller(&number, dispatch.originator.as_deref());
        let (tell, told) = oneshot::channel();
        let call = PlacedCall {
            link: Arc::clone(&self.inner),
            attempt: dispatch.attempt,
            digits,
            caller,
            script,
            is_gated: manner.gate,
            ticket,
            timing: dispatch.timing.clone(),
            tell: Some(tell),
        };
        // On a task of its own, because the call goes on after it was handed over.
        tokio::spawn(async move {
            let _listed = listed;
            call.run(&trunk, hang_up).await;
        });
        told.await.unwrap_or_else(|_| not_sent("its call failed"))
    }
}

impl Inner {
    fn trunk(&self) -> Result<Arc<Trunk>, String> {
        let slot = self.trunk.read().unwrap_or_else(PoisonError::into_inner);
        match (&slot.trunk, &slot.error) {
            (Some(trunk), _) => Ok(Arc::clone(trunk)),
            (None, Some(error)) => Err(error.clone()),
            (None, None) => Err("it is being opened".to_owned()),
        }
    }

    /// Finds out whether a number may be called.
    fn destination(&self, digits: u64) -> Result<PhoneNumber, String> {
        let driver = self.context.reports.driver().ok_or("the server is not ready")?;
        let number = driver.directories.number(digits);
        let number = number.ok_or("the number is of a kind that is not called")?;
        // In some countries whoever holds one sets what its callers pay, as with +44 70.
        if number.kind() == NumberKind::PersonalNumber {
            return Err("personal numbers are not called".to_owned());
        }
        let region = number.region();
        if !self.config.countries.contains(region.as_str()) {
            return Err(format!("its countries do not list {}", region.as_str()));
        }
        Ok(number)
    }

    /// Returns what the phone shows.
    fn caller(&self, to: &PhoneNumber, originator: Option<&str>) -> String {
        let own = originator.filter(|_| self.config.account_caller).and_then(|originator| {
            match Originator::parse(originator).ok()? {
                Originator::LongNumber(number) => Some(format!("+{number}")),
                Originator::ShortCode(_) | Originator::Alphanumeric(_) => None,
            }
        });
        let region = to.region();
        let of_country = || self.config.callers.get(region.as_str()).cloned();
        own.or_else(of_country).unwrap_or_else(|| self.config.caller.clone())
    }

    /// Returns what a call costs at most; `None` if nobody knows and there is a cap on it.
    fn most_cost(&self, digits: u64) -> Option<Amount> {
        let is_known = self.costs.find(PriceItem::Voice, digits).is_some();
        let seconds = self.config.call_length_max.as_secs();
        let most = self.cost(digits, u32::try_from(seconds).unwrap_or(u32::MAX));
        (is_known || self.config.caps.cost_per_prefix.is_none()).then_some(most)
    }

    /// Counts the calls of the last hour, once: a restart, or a reload that changes the trunk, must
    /// not open its caps anew.
    async fn recall(&self) -> Result<(), String> {
        let recall = async || {
            let driver = self.context.reports.driver().ok_or("the server is not ready")?;
            let since = self.context.clock.now().before(HOUR);
            let calls = driver.store.calls_since(self.name.clone(), since).await;
            let calls = calls.map_err(|error| format!("cannot count its calls: {error}"))?;
            for call in calls {
                if let Some(number) = driver.directories.number(call.number) {
                    let prefix = number.prefix(self.context.prefix_drop_digits);
                    self.caps.count_earlier(call.number, prefix, call.cost, call.at);
                }
            }
            Ok(())
        };
        self.recalled.get_or_try_init(recall).await.copied()
    }

    /// Returns what the trunk takes for a call that was answered for so many seconds.
    fn cost(&self, digits: u64, seconds: u32) -> Amount {
        let price = self.costs.lookup(PriceItem::Voice, digits);
        match self.config.billing {
            Billing::Call => price,
            Billing::Minute => {
                let minutes = seconds.div_ceil(60).max(1);
                price.times(u8::try_from(minutes).unwrap_or(u8::MAX))
            }
        }
    }

    /// Tells how the trunk stands, and what is wrong with it.
    fn standing(&self) -> (Standing, Option<String>) {
        let trunk = match self.trunk() {
            Ok(trunk) => trunk,
            Err(error) => return (Standing::Connecting, Some(error)),
        };
        let is_watched = self.config.ping.is_some() || self.config.register.is_some();
        match trunk.state() {
            TrunkState::Unknown if is_watched => (Standing::Connecting, None),
            TrunkState::Unknown | TrunkState::Up => (Standing::Up, None),
            TrunkState::Down(fault) => {
                let standing = match fault {
                    TrunkFault::CredentialsRefused
                    | TrunkFault::CredentialsWanted
                    | TrunkFault::RegistrationRefused(_) => Standing::Refused,
                    TrunkFault::Silent | TrunkFault::Connect(_) | TrunkFault::Failing(_) => {
                        Standing::Down
                    }
                };
                (standing, Some(fault.to_string()))
            }
        }
    }

    /// Leaves the trunk alone for as long as it has asked for, within [`REST_MAX`].
    fn rest_for(&self, time: Duration) {
        let until = self.context.clock.now().after(time.min(REST_MAX));
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        *resting = until.max(*resting);
    }

    fn is_resting(&self) -> bool {
        let resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        self.context.clock.now() < *resting
    }

    /// Takes note that an attempt is not to be tried here again: the others of its route may send
    /// it back any number of times, and each time a phone could ring.
    fn give_up_on(&self, attempt: AttemptId) {
        let mut given_up = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
        if given_up.len() >= GIVEN_UP_MAX {
            given_up.pop_front();
        }
        given_up.push_back(attempt);
    }

    fn has_given_up_on(&self, attempt: AttemptId) -> bool {
        let given_up = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
        given_up.contains(&attempt)
    }

    fn calls(&self) -> std::sync::MutexGuard<'_, HashMap<AttemptId, CancellationToken>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no call is on.
    async fn rest(&self) {
        while !self.calls().is_empty() {
            tokio::time::sleep(REST_POLL).await;
        }
    }
}

impl Link for SipLink {
    fn name(&self) -> &str {
        &self.inner.name
    }

    fn kind(&self) -> &'static str {
        "sip"
    }

    fn carries(&self, channel: Channel) -> bool {
        channel == Channel::Voice
    }

    fn ready(&self) -> Result<(), String> {
        if self.inner.closing.is_cancelled() {
            return Err("it is being closed".to_owned());
        }
        let trunk = self.inner.trunk()?;
        if self.inner.is_resting() {
            return Err(RESTS.to_owned());
        }
        if trunk.channels_free() == 0 {
            return Err("all its channels are taken".to_owned());
        }
        // Without pings only a call can find out that it is well again.
        match trunk.state() {
            TrunkState::Down(fault) if self.inner.config.ping.is_some() => Err(fault.to_string()),
            TrunkState::Down(_) | TrunkState::Unknown | TrunkState::Up => Ok(()),
        }
    }

    fn submit(&self, dispatch: Dispatch) -> Pin<Box<dyn Future<Output = Submission> + Send + '_>> {
        Box::pin(self.place(dispatch))
    }

    fn withdraw(&self, attempt: AttemptId) {
        if let Some(hang_up) = self.inner.calls().get(&attempt) {
            hang_up.cancel();
        }
    }

    fn network(&self) -> &str {
        &self.inner.network
    }

    fn state(&self) -> LinkState {
        let (standing, last_error) = self.inner.standing();
        let mut seen = self.inner.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.0 != standing {
            *seen = (standing, self.inner.context.clock.now());
        }
        let since = seen.1;
        let in_flight = self.inner.calls().len();
        let up = usize::from(standing == Standing::Up);
        let is_refused = standing == Standing::Refused;
        let kind = if is_refused { ErrorKind::Refused } else { ErrorKind::Unreachable };
        let last_error = last_error.map(|text| LastError { kind, text }).or_else(|| {
            let rests = || LastError { kind: ErrorKind::Declined, text: RESTS.to_owned() };
            self.inner.is_resting().then(rests)
        });
        LinkState { standing, since, last_error, in_flight, connections: (up, 1) }
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            self.inner.closing.cancel();
            if tokio::time::timeout(CLOSE_GRACE, self.inner.rest()).await.is_err() {
                // Hung up, because a phone would hear nothing for as long as its network bears.
                for hang_up in self.inner.calls().values() {
                    hang_up.cancel();
                }
                let _ = tokio::time::timeout(HANG_UP_MAX, self.inner.rest()).await;
            }
            self.inner.trunk.write().unwrap_or_else(PoisonError::into_inner).trunk = None;
        })
    }
}

impl Drop for SipLink {
    fn drop(&mut self) {
        self.inner.closing.cancel();
    }
}

/// A call in the list of calls, for as long as it goes on.
struct Listed {
    link: Arc<Inner>,
    attempt: AttemptId,
}

impl Listed {
    fn new(link: &Arc<Inner>, attempt: AttemptId, hang_up: CancellationToken) -> Self {
        link.calls().insert(attempt, hang_up);
        Self { link: Arc::clone(link), attempt }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.link.calls().remove(&self.attempt);
    }
}

/// Opens the trunk as soon as it can be: a name may have no address yet, a port may still be taken.
async fn open(link: Arc<Inner>, config: TrunkConfig) {
    let mut wait = OPEN_RETRY_MIN;
    loop {
        let opened = tokio::select! {
            () = link.closing.cancelled() => return,
            opened = Trunk::open(config.clone()) => opened,
        };
        let (slot, again) = match opened {
            Ok(trunk) => (TrunkSlot { trunk: Some(Arc::new(trunk)), error: None }, false),
            Err(error) => {
                let told = told(&error);
                tracing::warn!(link.name = link.name, error = told, "cannot open the trunk");
                (TrunkSlot { trunk: None, error: Some(told) }, error.is_transient())
            }
        };
        *link.trunk.write().unwrap_or_else(PoisonError::into_inner) = slot;
        if !again {
            return;
        }
        tokio::select! {
            () = link.closing.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = (wait * 2).min(OPEN_RETRY_MAX);
    }
}

/// The error with its cause, which alone tells what to do.
fn told(error: &TrunkError) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    format!("cannot {error}{}", cause.unwrap_or_default())
}

fn trunk_config(name: &str, config: &SipConfig) -> Result<TrunkConfig, LinkError> {
    let wrong = |path: &std::path::Path, error: std::io::Error| LinkError {
        name: name.to_owned(),
        problem: format!("read {}: {error}", path.display()),
    };
    let credentials = match &config.login {
        None => None,
        Some((user, file)) => {
            let password = read_private(file)
                .map_err(|error| LinkError { name: name.to_owned(), problem: error.to_string() })?;
            let password = password.trim_end_matches(['\r', '\n']).to_owned();
            Some(Credentials { user: user.clone(), password })
        }
    };
    let transport = match config.transport {
        SipTransport::Udp => Transport::Udp,
        SipTransport::Tcp => Transport::Tcp,
        SipTransport::Tls => {
            if let Some(file) = &config.ca_file {
                std::fs::metadata(file).map_err(|error| wrong(file, error))?;
            }
            Transport::Tls {
                ca_file: config.ca_file.clone(),
                server_name: config.server_name.clone(),
            }
        }
    };
    Ok(TrunkConfig {
        domain: config.domain.clone(),
        transport,
        credentials,
        register_for: config.register,
        bind: config.bind,
        sip_port: config.sip_port,
        public_address: config.public_address,
        rtp_ports: config.rtp_ports.clone(),
        symmetric_rtp: config.symmetric_rtp,
        channels_max: config.channels_max,
        calls_per_second_max: config.calls_per_s,
        post_dial_wait: config.post_dial_wait,
        call_length_max: config.call_length_max,
        ping_every: config.ping,
        asserted_identity: config.asserted_identity,
        ..TrunkConfig::new(name, &config.host, config.port)
    })
}

fn unspoken(error: SpeechError) -> Submission {
    if error.is_transient() {
        not_sent(&error.to_string())
    } else {
        Submission::LinkRefused(error.to_string())
    }
}

fn not_sent(reason: &str) -> Submission {
    Submission::NotSent { reason: reason.to_owned(), retry_after: None }
}

const RESTS: &str = "it has asked to be left alone for a while";

/// A call is worth no longer wait, and whoever is called may have a say in what a trunk asks for.
const REST_MAX: Duration = Duration::from_secs(30);

/// An attempt lives for minutes, and one that is forgotten sooner still has the caps before it.
const GIVEN_UP_MAX: usize = 1_000;

const OPEN_RETRY_MIN: Duration = Duration::from_secs(1);
const OPEN_RETRY_MAX: Duration = Duration::from_secs(30);

const REST_POLL: Duration = Duration::from_millis(20);

/// A call that is nearly over may end; together with the next within what the server grants.
const CLOSE_GRACE: Duration = Duration::from_secs(3);

/// A BYE is answered at once or not at all.
const HANG_UP_MAX: Duration = Duration::from_secs(1);
