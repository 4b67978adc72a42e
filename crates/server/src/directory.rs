//! What operators set up, resolved and ready to be asked: a snapshot that is replaced on change.

mod our_numbers;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use engine::wording::{AppHash, AppendedLine, Host, Template};
use engine::{
    AccountId, CountryPolicy, Limit, Limits, Locale, Numbering, Originator, OriginatorRule,
    PhoneNumber, Policy, Price, PriceList, Region, Timing, Workflow,
};
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::config::{Config, EngineConfig, LimitsConfig};
use crate::http::vonage::signature::SignatureMethod;
use crate::seal::{KEY_BYTES, Pepper, PseudonymKey, SealError, Sealer, SecretHash, WrongKeyLength};
use crate::store::{
    AccountRecord, AccountSettings, ConfigChange, DirectoryRows, KeyKind, KeyRecord, NumberKeys,
    NumberRecord, PriceRecord, Store, StoreError, TemplateRecord,
};
pub use our_numbers::OurNumber;
use our_numbers::OurNumbers;

/// Why the directory cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored secret cannot be opened.
    #[error("open the stored secret {name}: {source}")]
    Seal {
        /// The secret's name.
        name: String,
        /// Why.
        source: SealError,
    },
    /// A stored secret has the wrong length.
    #[error("read the stored secret {name}: {source}")]
    Length {
        /// The secret's name.
        name: String,
        /// Why.
        source: WrongKeyLength,
    },
}

/// Hands out the current directory and replaces it after a change.
#[derive(Clone)]
pub struct Directories {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn Store>,
    sealer: Sealer,
    clock: Clock,
    config: Arc<Config>,
    secrets: ServerSecrets,
    current: RwLock<Arc<Directory>>,
    /// Whether the store holds opt-outs that `current` does not know.
    outdated: AtomicBool,
    // One change at a time: identifiers are counted up from what the directory holds.
    changing: tokio::sync::Mutex<()>,
}

/// Secrets of the server itself, made once and kept sealed in the store.
pub struct ServerSecrets {
    /// Keys the hashes of API secrets.
    pub pepper: Pepper,
    /// Keys the pseudonyms of phone numbers.
    pub pseudonyms: PseudonymKey,
}

impl Directories {
    /// Reads the directory for the first time.
    ///
    /// # Errors
    /// The store failed, or a stored secret cannot be opened with the keys at hand.
    pub async fn open(
        store: Arc<dyn Store>,
        sealer: Sealer,
        clock: Clock,
        config: Arc<Config>,
    ) -> Result<Self, DirectoryError> {
        let rows = store.directory().await?;
        let secrets = open_secrets(store.as_ref(), &sealer, &clock, &rows).await?;
        reseal_signatures(store.as_ref(), &sealer, &clock, &rows).await?;
        let current = RwLock::new(Arc::new(Directory::resolve(&rows, &sealer, &config)?));
        let changing = tokio::sync::Mutex::new(());
        let outdated = AtomicBool::new(false);
        let shared = Shared { store, sealer, clock, config, secrets, current, outdated, changing };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Returns the directory as it is now, but for what handsets have just opted out of: the store
    /// itself heeds that, and who lists it asks for [`Directories::fresh`].
    pub fn current(&self) -> Arc<Directory> {
        let current = self.shared.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }

    /// Tells that handsets have opted out or in. Everything is read again only when somebody wants
    /// to see it.
    pub fn outdate(&self) {
        self.shared.outdated.store(true, Ordering::Release);
    }

    /// Returns the directory with the latest opt-outs.
    ///
    /// # Errors
    /// The store failed, or a stored secret cannot be opened.
    pub async fn fresh(&self) -> Result<Arc<Directory>, DirectoryError> {
        let _one_at_a_time = self.shared.changing.lock().await;
        self.freshen().await?;
        Ok(self.current())
    }

    async fn freshen(&self) -> Result<(), DirectoryError> {
        if self.shared.outdated.load(Ordering::Acquire) { self.reload().await } else { Ok(()) }
    }

    /// Returns the server's own secrets.
    pub fn secrets(&self) -> &ServerSecrets {
        &self.shared.secrets
    }

    /// Returns what seals a secret for the store.
    pub fn sealer(&self) -> &Sealer {
        &self.shared.sealer
    }

    /// Returns the pseudonyms that starts to a number are counted under.
    pub fn number_keys(&self, number: &PhoneNumber) -> NumberKeys {
        let dropped = u32::from(self.shared.config.limits.prefix_drop_digits);
        let key = &self.shared.secrets.pseudonyms;
        NumberKeys {
            number: key.pseudonym(number.digits()),
            prefix: key.pseudonym(number.prefix(dropped)),
        }
    }

    /// Reads a number from its digits, as they are stored; `None` if it is no number any more.
    pub fn number(&self, digits: u64) -> Option<PhoneNumber> {
        PhoneNumber::parse(&format!("+{digits}"), None, numbering(&self.shared.config)).ok()
    }

    /// Makes changes that are computed from the directory as it is, and answers once all of them
    /// are durable and everybody sees them.
    ///
    /// # Errors
    /// What `plan` refuses, or the store failed.
    pub async fn change<T, E: From<DirectoryError>>(
        &self,
        plan: impl FnOnce(&Directory) -> Result<(Vec<ConfigChange>, T), E>,
    ) -> Result<T, E> {
        let _one_at_a_time = self.shared.changing.lock().await;
        self.freshen().await?;
        let (changes, answer) = plan(&self.current())?;
        // Reading everything again is the expensive part, and callers repeat themselves.
        if changes.is_empty() {
            return Ok(answer);
        }
        for change in changes {
            let now = self.shared.clock.now();
            self.shared.store.change(change, now).await.map_err(DirectoryError::Store)?;
        }
        self.reload().await?;
        Ok(answer)
    }

    /// Forgets a number, also where operators set something up; answers how many rows held it. A
    /// change that was planned before is written before, so that none brings the number back.
    ///
    /// # Errors
    /// The store failed.
    pub async fn erase(&self, number: &PhoneNumber) -> Result<usize, DirectoryError> {
        let _one_at_a_time = self.shared.changing.lock().await;
        let now = self.shared.clock.now();
        let rows = self.shared.store.erase(number.digits(), now).await?;
        self.reload().await?;
        Ok(rows)
    }

    /// Reads the directory again.
    ///
    /// # Errors
    /// The store failed, or a stored secret cannot be opened.
    pub async fn reload(&self) -> Result<(), DirectoryError> {
        // Cleared first: what changes while it is read is read once more.
        self.shared.outdated.store(false, Ordering::Release);
        let read = self.shared.store.directory().await;
        let rows = read.inspect_err(|_| self.outdate())?;
        let fresh = Directory::resolve(&rows, &self.shared.sealer, &self.shared.config)?;
        *self.shared.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
        Ok(())
    }
}

/// Everything that operators set up.
#[derive(Debug, Default)]
pub struct Directory {
    /// The rows as they are stored, for listing; the opt-outs in order of campaign and digits.
    pub rows: DirectoryRows,
    accounts: HashMap<AccountId, Arc<Account>>,
    keys: HashMap<(KeyKind, String), Vec<Arc<Key>>>,
    our_numbers: OurNumbers,
}

impl Directory {
    /// Returns an account.
    pub fn account(&self, id: AccountId) -> Option<&Arc<Account>> {
        self.accounts.get(&id)
    }

    /// Returns the keys of this kind and public name: several, while one is being replaced.
    pub fn keys(&self, kind: KeyKind, name: &str) -> &[Arc<Key>] {
        self.keys.get(&(kind, name.to_owned())).map_or(&[], Vec::as_slice)
    }

    /// Returns an account's keys of a kind.
    pub fn keys_of(&self, account: AccountId, kind: KeyKind) -> impl Iterator<Item = &Arc<Key>> {
        let of = move |key: &&Arc<Key>| key.account == account && key.kind == kind;
        self.keys.values().flatten().filter(of)
    }

    /// Returns whose a number is, written in digits with or without `+`: several accounts' own,
    /// where they share a short code.
    pub fn our_numbers(&self, digits: &str) -> &[OurNumber] {
        self.our_numbers.find(digits)
    }

    fn resolve(
        rows: &DirectoryRows,
        sealer: &Sealer,
        config: &Config,
    ) -> Result<Self, DirectoryError> {
        let our_numbers = OurNumbers::of(&rows.numbers);
        let mut directory = Self { rows: rows.clone(), our_numbers, ..Self::default() };
        directory.rows.opt_outs.sort_by_key(|row| (row.campaign, row.number));
        for record in &rows.accounts {
            let account = Account::resolve(record, rows, config);
            directory.accounts.insert(record.id, Arc::new(account));
        }
        for record in &rows.keys {
            let key = Arc::new(Key::resolve(record, sealer)?);
            let name = (record.kind, record.name.clone());
            directory.keys.entry(name).or_default().push(key);
        }
        Ok(directory)
    }
}

/// An account with all its defaults filled in.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its name in the store.
    pub id: AccountId,
    /// Its name for people.
    pub name: String,
    /// Its own settings.
    pub settings: AccountSettings,
    /// The rates that its starts keep to.
    pub limits: Limits,
    /// The countries that it may send to.
    pub countries: CountryPolicy,
    /// What it pays.
    pub prices: PriceList,
    /// Whom it may send from.
    pub originators: Vec<OriginatorRule>,
    /// The short code that its 2FA messages are from.
    pub short_code: Option<ShortCode>,
    /// The texts that the 2FA API's `template` names.
    pub templates: BTreeMap<u32, Template>,
    /// Its own texts of verifications.
    pub texts: BTreeMap<Locale, Template>,
    /// What ends the text of every verification.
    pub last_line: Option<AppendedLine>,
    engine: EngineConfig,
}

/// A short code with its campaign.
#[derive(Clone, Debug)]
pub struct ShortCode {
    /// Its name in the store: the campaign that opt-outs are for.
    pub id: u32,
    /// The code.
    pub originator: Originator,
    /// The countries that it serves; all if empty.
    pub countries: BTreeSet<String>,
}

impl Account {
    /// Returns the rules of a verification with one of the preset workflows.
    pub fn policy(&self, workflow: u8, timing: Timing) -> Option<Policy> {
        let seconds = |own: Option<u32>, default: Duration| {
            own.map_or(default, |s| Duration::from_secs(u64::from(s)))
        };
        let wait = timing.step_wait_or(seconds(self.settings.step_wait_s, self.engine.step_wait));
        Some(Policy {
            workflow: Workflow::preset(workflow, wait)?,
            lifetime: timing.lifetime_or(seconds(self.settings.lifetime_s, self.engine.lifetime)),
            cancel_after: self.cancel_after(),
            checks_max: self.settings.checks_max.unwrap_or(self.engine.checks_max),
            unconfirmed: self.engine.unconfirmed(),
        })
    }

    /// Returns how long after its start a verification cannot be cancelled yet.
    pub fn cancel_after(&self) -> Duration {
        let own = self.settings.cancel_after_s;
        own.map_or(self.engine.cancel_after, |s| Duration::from_secs(u64::from(s)))
    }

    /// Returns the text of its verifications in a locale.
    pub fn text(&self, locale: Locale) -> Template {
        self.texts.get(&locale).cloned().unwrap_or_else(|| Template::built_in(locale))
    }

    fn resolve(record: &AccountRecord, rows: &DirectoryRows, config: &Config) -> Self {
        let settings = record.settings.clone();
        let own = |number: &&NumberRecord| number.account == record.id;
        let numbers: Vec<&NumberRecord> = rows.numbers.iter().filter(own).collect();
        let templates = rows.templates.iter().filter(|template| template.account == record.id);
        let templates: Vec<&TemplateRecord> = templates.collect();
        Self {
            id: record.id,
            name: record.name.clone(),
            limits: limits(&settings, &config.limits),
            countries: countries(&settings, config),
            prices: prices(record.id, &rows.prices),
            originators: numbers.iter().filter_map(|number| rule(number, config)).collect(),
            short_code: numbers.iter().find_map(|number| short_code(number, config)),
            templates: templates.iter().filter_map(|t| Some((t.index?, text(t)?))).collect(),
            texts: templates.iter().filter_map(|t| Some((t.locale?, text(t)?))).collect(),
            last_line: last_line(&settings),
            engine: config.engine.clone(),
            settings,
        }
    }
}

/// A credential with its secrets opened.
pub struct Key {
    /// Its name in the store.
    pub id: u32,
    /// Whose it is.
    pub account: AccountId,
    /// Which door it opens.
    pub kind: KeyKind,
    /// The public half.
    pub name: String,
    /// The hash of the secret half.
    pub secret: Option<SecretHash>,
    /// What requests and receipts are signed with.
    pub signature_secret: Option<Zeroizing<String>>,
    /// How they are signed.
    pub signature_method: SignatureMethod,
}

impl Key {
    fn resolve(record: &KeyRecord, sealer: &Sealer) -> Result<Self, DirectoryError> {
        let name = || format!("signature of key {}", record.id);
        let signature_secret = match &record.signature {
            None => None,
            Some(sealed) => {
                let opened = sealer
                    .open(&signature_context(record.id), sealed)
                    .map_err(|source| DirectoryError::Seal { name: name(), source })?;
                Some(Zeroizing::new(String::from_utf8_lossy(&opened).into_owned()))
            }
        };
        Ok(Self {
            id: record.id,
            account: record.account,
            kind: record.kind,
            name: record.name.clone(),
            secret: <[u8; KEY_BYTES]>::try_from(record.secret_hash.as_slice())
                .ok()
                .map(SecretHash::from_bytes),
            signature_secret,
            signature_method: SignatureMethod::parse(&record.signature_method)
                .unwrap_or(SignatureMethod::Md5Hash),
        })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// Returns what the signature secret of a key is sealed to.
pub fn signature_context(key: u32) -> Vec<u8> {
    [b"signature".as_slice(), &key.to_be_bytes()].concat()
}

/// Returns how numbers are read: the sandbox knows ranges that the real network does not.
pub fn numbering(config: &Config) -> Numbering {
    if config.sandbox.enabled { Numbering::WithFiction } else { Numbering::Real }
}

async fn open_secrets(
    store: &dyn Store,
    sealer: &Sealer,
    clock: &Clock,
    rows: &DirectoryRows,
) -> Result<ServerSecrets, DirectoryError> {
    let pepper = secret(store, sealer, clock, rows, "pepper", || {
        Zeroizing::new(Pepper::generate().expose().to_vec())
    })
    .await?;
    let pseudonyms = secret(store, sealer, clock, rows, "pseudonyms", || {
        Zeroizing::new(PseudonymKey::generate().expose().to_vec())
    })
    .await?;
    let length =
        |name: &'static str| move |source| DirectoryError::Length { name: name.to_owned(), source };
    Ok(ServerSecrets {
        pepper: Pepper::from_bytes(&pepper).map_err(length("pepper"))?,
        pseudonyms: PseudonymKey::from_bytes(&pseudonyms).map_err(length("pseudonyms"))?,
    })
}

/// Opens a secret of the server, makes it if there is none, and seals it anew after a rotation.
async fn secret(
    store: &dyn Store,
    sealer: &Sealer,
    clock: &Clock,
    rows: &DirectoryRows,
    name: &str,
    make: impl FnOnce() -> Zeroizing<Vec<u8>>,
) -> Result<Zeroizing<Vec<u8>>, DirectoryError> {
    let stored = rows.secrets.iter().find(|(stored, _)| stored == name);
    let plain = match stored {
        None => make(),
        Some((_, sealed)) => sealer
            .open(name.as_bytes(), sealed)
            .map_err(|source| DirectoryError::Seal { name: name.to_owned(), source })?,
    };
    if !stored.is_some_and(|(_, sealed)| sealer.is_current(sealed)) {
        let sealed = sealer.seal(name.as_bytes(), &plain);
        let change = ConfigChange::PutSecret { name: name.to_owned(), sealed };
        store.change(change, clock.now()).await?;
    }
    Ok(plain)
}

/// After a rotation, seals what the old key sealed under the new one.
async fn reseal_signatures(
    store: &dyn Store,
    sealer: &Sealer,
    clock: &Clock,
    rows: &DirectoryRows,
) -> Result<(), DirectoryError> {
    for key in &rows.keys {
        let Some(old) = key.signature.as_ref().filter(|old| !sealer.is_current(old)) else {
            continue;
        };
        let context = signature_context(key.id);
        let name = || format!("signature of key {}", key.id);
        let plain = sealer
            .open(&context, old)
            .map_err(|source| DirectoryError::Seal { name: name(), source })?;
        let signature = Some(sealer.seal(&context, &plain));
        let change = ConfigChange::PutKey(KeyRecord { signature, ..key.clone() });
        store.change(change, clock.now()).await?;
    }
    Ok(())
}

fn limits(settings: &AccountSettings, config: &LimitsConfig) -> Limits {
    let account = settings.account_per_s.unwrap_or(config.account_per_s);
    let number = settings.number_starts_max.unwrap_or(config.number_starts_max);
    let prefix = settings.prefix_starts_max.unwrap_or(config.prefix_starts_max);
    Limits {
        account: Limit::new(account, Duration::from_secs(1)),
        number: Limit::new(number, config.number_window),
        prefix: Limit::new(prefix, config.prefix_window),
    }
}

/// An account may narrow what the operator serves, and never widen it.
fn countries(settings: &AccountSettings, config: &Config) -> CountryPolicy {
    let own: BTreeSet<String> = settings.countries_allow.iter().cloned().collect();
    let operators = &config.countries.allow;
    let (allow, nothing_left) = match (own.is_empty(), operators.is_empty()) {
        (true, _) => (operators.clone(), false),
        (false, true) => (own, false),
        (false, false) => {
            let both: BTreeSet<String> = own.intersection(operators).cloned().collect();
            let none = both.is_empty();
            (both, none)
        }
    };
    let mut deny = config.countries.deny.clone();
    deny.extend(settings.countries_deny.iter().cloned());
    // An empty list means every country, so one that became empty must name a country that is none.
    let allow = if nothing_left { BTreeSet::from(["-".to_owned()]) } else { allow };
    CountryPolicy { allow, deny }
}

/// An account's own lines hide the general ones for the same prefix.
fn prices(account: AccountId, records: &[PriceRecord]) -> PriceList {
    let own = records.iter().filter(|record| record.account == Some(account));
    let mut prices: Vec<Price> = own.map(|record| record.price.clone()).collect();
    let general = records.iter().filter(|record| record.account.is_none());
    for record in general {
        let hidden =
            prices.iter().any(|p| p.item == record.price.item && p.prefix == record.price.prefix);
        if !hidden {
            prices.push(record.price.clone());
        }
    }
    PriceList::new(prices)
}

fn rule(number: &NumberRecord, config: &Config) -> Option<OriginatorRule> {
    let originator = Originator::parse(&number.value).ok()?;
    let mut countries: Vec<&String> = number.countries.iter().collect();
    if countries.is_empty() && matches!(originator, Originator::ShortCode(_)) {
        countries.extend(&config.vonage.short_code_countries);
    }
    let regions = countries.into_iter().filter_map(|code| Region::parse(code)).collect();
    Some(OriginatorRule { originator, regions, fallback: number.fallback })
}

fn short_code(number: &NumberRecord, config: &Config) -> Option<ShortCode> {
    number.campaign.as_ref()?;
    let originator = Originator::parse(&number.value).ok()?;
    let countries = if number.countries.is_empty() {
        config.vonage.short_code_countries.clone()
    } else {
        number.countries.iter().cloned().collect()
    };
    Some(ShortCode { id: number.id, originator, countries })
}

fn text(template: &TemplateRecord) -> Option<Template> {
    Template::parse_for_code(&template.text).ok()
}

fn last_line(settings: &AccountSettings) -> Option<AppendedLine> {
    let web = settings.webotp_host.as_deref().and_then(|host| Host::parse(host).ok());
    if let Some(host) = web {
        return Some(AppendedLine::WebOtp { host });
    }
    let hash = settings.android_hash.as_deref().and_then(|hash| AppHash::parse(hash).ok());
    hash.map(AppendedLine::AndroidHash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::KeyRing;
    use crate::store::OptOut;
    use crate::store::sqlite::{SqliteOptions, SqliteStore};

    #[tokio::test]
    async fn a_change_that_changes_nothing_does_not_read_everything_again() {
        let dir = tempfile::tempdir().unwrap();
        let directories = open(dir.path()).await;
        let before = directories.current();
        let change = |changes| directories.change(|_| Ok::<_, DirectoryError>((changes, ())));
        change(Vec::new()).await.unwrap();
        assert!(Arc::ptr_eq(&before, &directories.current()));
        change(vec![opt_out(None)]).await.unwrap();
        assert_eq!(directories.current().rows.opt_outs.len(), 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_change_planned_before_an_erasure_does_not_bring_the_number_back() {
        let dir = tempfile::tempdir().unwrap();
        let directories = open(dir.path()).await;
        let (planned, is_planned) = tokio::sync::oneshot::channel();
        let (go_on, gone_on) = std::sync::mpsc::channel();
        let changing = directories.clone();
        let change = tokio::spawn(async move {
            let plan = move |_: &Directory| {
                planned.send(()).unwrap();
                gone_on.recv().unwrap();
                Ok::<_, DirectoryError>((vec![opt_out(Some(447_400_123_456))], ()))
            };
            changing.change(plan).await
        });
        is_planned.await.unwrap();
        let number = directories.number(447_400_123_456).unwrap();
        let mut erasure = Box::pin(directories.erase(&number));
        let soon = Duration::from_millis(200);
        assert!(tokio::time::timeout(soon, &mut erasure).await.is_err(), "it waits its turn");
        go_on.send(()).unwrap();
        change.await.unwrap().unwrap();
        assert_eq!(erasure.await.unwrap(), 1);
        assert_eq!(directories.current().rows.opt_outs.first().unwrap().number, None);
    }

    fn opt_out(number: Option<u64>) -> ConfigChange {
        let (opted_in_at, opted_out_at) = (None, None);
        let opt_out = OptOut { campaign: 1, number_key: 7, number, opted_in_at, opted_out_at };
        ConfigChange::PutOptOut(opt_out)
    }

    async fn open(dir: &std::path::Path) -> Directories {
        let ring = KeyRing::load_or_create(&dir.join("seal.key")).unwrap();
        let (sealer, clock) = (|| Sealer::new(&ring), Clock::system());
        let (options, now) = (SqliteOptions::default(), clock.now());
        let store = SqliteStore::open(dir, options, sealer(), now, Box::new(|_| ()));
        let store = Arc::new(store.unwrap());
        Directories::open(store, sealer(), clock, Arc::default()).await.unwrap()
    }
}
