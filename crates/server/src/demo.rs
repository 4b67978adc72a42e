//! The demo account: everything that a first try needs, made once and written to a file.

use std::net::SocketAddr;
use std::path::Path;

use engine::{AccountId, Amount, Price, PriceItem};
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::config::Config;
use crate::directory::{DirectoryError, signature_context};
use crate::driver::Driver;
use crate::seal::SecretHash;
use crate::server::StartError;
use crate::store::{
    AccountRecord, AccountSettings, Campaign, ConfigChange, KeyKind, KeyRecord, NumberRecord,
    PriceRecord, TemplateRecord,
};

/// What `demo.json` holds.
#[derive(Serialize, Deserialize)]
struct DemoFile {
    url: String,
    account_id: u32,
    api_key: String,
    api_secret: String,
    signature_secret: String,
    signature_method: String,
    username: String,
    key: String,
}

/// Creates the demo account, or finds it again, and writes `demo.json` and `demo.env` for whoever
/// wants to use it. Its secrets are kept in those files only, readable by their owner.
pub(crate) async fn set_up(
    driver: &Driver,
    config: &Config,
    address: SocketAddr,
) -> Result<(), StartError> {
    let path = config.data.dir.join("demo.json");
    let kept = std::fs::read_to_string(&path).ok();
    let kept: Option<DemoFile> = kept.and_then(|json| serde_json::from_str(&json).ok());
    let known = kept.filter(|file| {
        let directory = driver.directories.current();
        directory.account(AccountId(file.account_id)).is_some()
    });
    let url = format!("http://{address}");
    let file = match known {
        Some(file) => DemoFile { url, ..file },
        None => create(driver, url).await?,
    };
    let json = serde_json::to_string_pretty(&file).unwrap_or_default() + "\n";
    for (name, text) in [("demo.json", json), ("demo.env", shell(&file))] {
        let path = config.data.dir.join(name);
        write(&path, &text).map_err(|source| StartError::Demo { path, source })?;
    }
    Ok(())
}

/// The same for a shell: `. data/demo.env`.
fn shell(file: &DemoFile) -> String {
    let DemoFile { url, api_key, api_secret, signature_secret, username, key, .. } = file;
    format!(
        "URL={url}\nAPI_KEY={api_key}\nAPI_SECRET={api_secret}\n\
         SIGNATURE_SECRET={signature_secret}\nTM_USERNAME={username}\nTM_KEY={key}\n"
    )
}

async fn create(driver: &Driver, url: String) -> Result<DemoFile, StartError> {
    let file = DemoFile {
        url,
        account_id: 0,
        api_key: clock::draw_word(8),
        api_secret: clock::draw_word(16),
        signature_secret: clock::draw_word(32),
        signature_method: "md5hash".to_owned(),
        username: "demo".to_owned(),
        key: clock::draw_word(30),
    };
    let now = driver.clock.now();
    let account_id = driver
        .directories
        .change(|directory| {
            let next = |ids: &mut dyn Iterator<Item = u32>| ids.max().unwrap_or_default() + 1;
            let rows = &directory.rows;
            let account = AccountId(next(&mut rows.accounts.iter().map(|row| row.id.0)));
            let key = next(&mut rows.keys.iter().map(|row| row.id));
            let number = next(&mut rows.numbers.iter().map(|row| row.id));
            let template = next(&mut rows.templates.iter().map(|row| row.id));
            let keys = keys(driver, &file, account, key);
            let settings = AccountSettings {
                account_per_s: Some(AMPLE),
                number_starts_max: Some(AMPLE),
                prefix_starts_max: Some(AMPLE),
                conversion: Some(true),
                ..AccountSettings::default()
            };
            let record =
                AccountRecord { id: account, name: "demo".to_owned(), settings, created_at: now };
            let mut changes = vec![ConfigChange::PutAccount { account: record, credit: BALANCE }];
            changes.extend(keys.map(ConfigChange::PutKey));
            changes.extend(numbers(account, number).map(ConfigChange::PutNumber));
            changes.push(ConfigChange::PutTemplate(TemplateRecord {
                id: template,
                account,
                index: Some(0),
                locale: None,
                text: TEMPLATE.to_owned(),
            }));
            changes.extend(prices(account).map(ConfigChange::PutPrice));
            Ok::<_, DirectoryError>((changes, account.0))
        })
        .await?;
    Ok(DemoFile { account_id, ..file })
}

fn keys(driver: &Driver, file: &DemoFile, account: AccountId, first: u32) -> [KeyRecord; 2] {
    let secrets = driver.directories.secrets();
    let sealer = driver.directories.sealer();
    let created_at = driver.clock.now();
    let hash = |secret: &str| SecretHash::of(&secrets.pepper, secret).as_bytes().to_vec();
    [
        KeyRecord {
            id: first,
            account,
            kind: KeyKind::Vonage,
            name: file.api_key.clone(),
            secret_hash: hash(&file.api_secret),
            signature: Some(
                sealer.seal(&signature_context(first), file.signature_secret.as_bytes()),
            ),
            signature_method: file.signature_method.clone(),
            label: "demo".to_owned(),
            created_at,
        },
        KeyRecord {
            id: first + 1,
            account,
            kind: KeyKind::Textmagic,
            name: file.username.clone(),
            secret_hash: hash(&file.key),
            signature: None,
            signature_method: file.signature_method.clone(),
            label: "demo".to_owned(),
            created_at,
        },
    ]
}

fn numbers(account: AccountId, first: u32) -> [NumberRecord; 3] {
    let campaign = Campaign {
        name: "Countersign demo".to_owned(),
        help_text: "Countersign demo: codes that you asked for. Reply STOP to end.".to_owned(),
        start_allowed: false,
    };
    let countries = vec!["US".to_owned(), "CA".to_owned()];
    [
        NumberRecord {
            id: first,
            account,
            value: "12345".to_owned(),
            countries,
            fallback: false,
            campaign: Some(campaign),
        },
        NumberRecord {
            id: first + 1,
            account,
            value: "Countersign".to_owned(),
            countries: Vec::new(),
            fallback: false,
            campaign: None,
        },
        NumberRecord {
            id: first + 2,
            account,
            value: "447700900000".to_owned(),
            countries: Vec::new(),
            fallback: true,
            campaign: None,
        },
    ]
}

fn prices(account: AccountId) -> [PriceRecord; 2] {
    let price = |item, units| PriceRecord {
        account: Some(account),
        price: Price { item, prefix: String::new(), amount: Amount::from_units(units) },
    };
    [price(PriceItem::Verification, 5_000_000), price(PriceItem::Sms, 3_330_000)]
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    // Written beside it and moved, so that nobody ever reads half a file.
    let beside = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    let mut to = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    to.write_all(text.as_bytes())?;
    std::fs::rename(beside, path)
}

/// More than any load test asks for.
const AMPLE: u32 = 10_000_000;

/// Ten million, in 10^-8.
const BALANCE: Amount = Amount::from_units(1_000_000_000_000_000);

const TEMPLATE: &str = "Your Countersign PIN is ${pin}";

#[cfg(test)]
mod tests {
    use engine::wording::Template;

    use super::*;

    #[test]
    fn the_demo_template_can_carry_a_pin() {
        assert!(Template::parse_for_code(TEMPLATE).is_ok());
    }
}
