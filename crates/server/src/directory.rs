//! What operators set up, resolved and ready to be asked: a snapshot that is replaced on change.

mod account;
mod our_numbers;
mod recent_numbers;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use engine::{AccountId, Numbering, PhoneNumber};
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::config::Config;
use crate::http::vonage::signature::SignatureMethod;
use crate::seal::{KEY_BYTES, Pepper, PseudonymKey, SealError, Sealer, SecretHash, WrongKeyLength};
use crate::store::{
    ConfigChange, DirectoryRows, KeyKind, KeyRecord, NumberKeys, Store, StoreError,
};
pub use account::{Account, ShortCode};
pub use our_numbers::OurNumber;
use our_numbers::OurNumbers;
use recent_numbers::RecentNumbers;

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
    numbers: RecentNumbers,
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
        let numbers = RecentNumbers::new();
        let shared =
            Shared { store, sealer, clock, config, secrets, current, numbers, outdated, changing };
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
        if let Some(number) = self.shared.numbers.get(digits) {
            return Some(number);
        }
        let numbering = numbering(&self.shared.config);
        let number = PhoneNumber::parse(&format!("+{digits}"), None, numbering).ok()?;
        self.shared.numbers.put(number);
        Some(number)
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
        self.shared.numbers.forget(number.digits());
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

#[cfg(test)]
mod tests;
