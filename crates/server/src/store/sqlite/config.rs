//! What operators set up, and money.

use engine::{AccountId, Amount, Price, PriceItem, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::rows::{from_json, signed, to_json, unsigned};
use super::super::{
    AccountRecord, Balance, BarredNumber, ConfigChange, Credit, DirectoryRows, KeyRecord,
    NumberRecord, OptOut, PriceRecord, StoreError, TemplateRecord,
};
use super::writer::Tx;

/// Writes one change down.
pub(super) fn change(tx: &mut Tx<'_>, change: &ConfigChange) -> Result<(), StoreError> {
    match change {
        ConfigChange::PutAccount { account, credit } => put_account(tx, account, *credit)?,
        ConfigChange::PutKey(key) => put_key(tx, key)?,
        ConfigChange::DropKey(id) => drop(tx.execute("DELETE FROM api_key WHERE id = ?1", [id])?),
        ConfigChange::PutNumber(number) => put_number(tx, number)?,
        ConfigChange::DropNumber(id) => drop(tx.execute("DELETE FROM number WHERE id = ?1", [id])?),
        ConfigChange::PutTemplate(template) => put_template(tx, template)?,
        ConfigChange::DropTemplate(id) => {
            tx.execute("DELETE FROM template WHERE id = ?1", [id])?;
        }
        ConfigChange::PutPrice(price) => {
            drop_price(tx, price)?;
            tx.execute(
                "INSERT INTO price (account, item, prefix, amount) VALUES (?1, ?2, ?3, ?4)",
                params![
                    price.account.map(|id| id.0),
                    word(&price.price.item)?,
                    price.price.prefix,
                    price.price.amount.units()
                ],
            )?;
        }
        ConfigChange::DropPrice(price) => drop_price(tx, price)?,
        ConfigChange::PutOptOut(opt_out) => put_opt_out(tx, opt_out)?,
        ConfigChange::Bar(barred) => {
            tx.execute(
                "INSERT OR REPLACE INTO barred (number_key, number, reason, at)
                 VALUES (?1, ?2, ?3, ?4)",
                params![
                    signed(barred.number_key),
                    barred.number.map(signed),
                    barred.reason,
                    signed(barred.at.as_millis())
                ],
            )?;
            tx.caches.barred.insert(barred.number_key);
        }
        ConfigChange::Unbar(number_key) => {
            tx.execute("DELETE FROM barred WHERE number_key = ?1", [signed(*number_key)])?;
            tx.caches.barred.remove(number_key);
        }
        ConfigChange::PutSecret { name, sealed } => {
            tx.execute(
                "INSERT OR REPLACE INTO secret (name, sealed) VALUES (?1, ?2)",
                params![name, sealed],
            )?;
        }
        ConfigChange::PutSetting { name, value } => {
            tx.execute(
                "INSERT OR REPLACE INTO setting (name, value) VALUES (?1, ?2)",
                params![name, value],
            )?;
        }
        ConfigChange::DropSetting(name) => {
            tx.execute("DELETE FROM setting WHERE name = ?1", [name])?;
        }
    }
    Ok(())
}

/// Adds to a balance, once per key.
pub(super) fn credit(tx: &mut Tx<'_>, credit: &Credit) -> Result<Option<Amount>, StoreError> {
    let Some(mut funds) = tx.caches.funds.get(&credit.account).copied() else { return Ok(None) };
    let inserted = tx.execute(
        "INSERT OR IGNORE INTO ledger (account, amount, kind, credit_key, at)
         VALUES (?1, ?2, 'credit', ?3, ?4)",
        params![
            credit.account.0,
            credit.amount.units(),
            credit.key,
            signed(credit.now.as_millis())
        ],
    )?;
    if inserted == 1 {
        funds.balance = funds.balance + credit.amount;
        funds.dirty = true;
        tx.caches.funds.insert(credit.account, funds);
    }
    Ok(Some(funds.balance))
}

/// Writes the balances that changed, once per transaction however often they did.
pub(super) fn flush_balances(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let dirty: Vec<(AccountId, Amount)> = tx
        .caches
        .funds
        .iter_mut()
        .filter_map(|(id, funds)| std::mem::take(&mut funds.dirty).then_some((*id, funds.balance)))
        .collect();
    for (account, balance) in dirty {
        tx.execute(
            "UPDATE account SET balance = ?2 WHERE id = ?1",
            params![account.0, balance.units()],
        )?;
    }
    Ok(())
}

/// Returns a balance.
pub(super) fn balance(
    connection: &Connection,
    account: AccountId,
) -> Result<Option<Amount>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT balance FROM account WHERE id = ?1")?;
    let units: Option<i64> = statement.query_row([account.0], |row| row.get(0)).optional()?;
    Ok(units.map(Amount::from_units))
}

/// Returns a balance and the sum of its ledger.
pub(super) fn audit(
    connection: &Connection,
    account: AccountId,
) -> Result<Option<Balance>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT balance, (SELECT coalesce(sum(amount), 0) FROM ledger WHERE account = ?1)
         FROM account WHERE id = ?1",
    )?;
    let row = statement
        .query_row([account.0], |row| {
            let (balance, ledger): (i64, i64) = (row.get(0)?, row.get(1)?);
            Ok(Balance { balance: Amount::from_units(balance), ledger: Amount::from_units(ledger) })
        })
        .optional()?;
    Ok(row)
}

/// Reads everything that operators set up.
pub(super) fn directory(connection: &Connection) -> Result<DirectoryRows, StoreError> {
    Ok(DirectoryRows {
        accounts: all(connection, "SELECT id, name, settings, created_at FROM account", account)?,
        keys: all(
            connection,
            "SELECT id, account, kind, name, secret_hash, signature, signature_method, label,
             created_at FROM api_key",
            key,
        )?,
        numbers: all(
            connection,
            "SELECT id, account, value, countries, fallback, campaign FROM number ORDER BY id",
            number,
        )?,
        templates: all(
            connection,
            "SELECT id, account, position, locale, text FROM template ORDER BY id",
            template,
        )?,
        prices: all(connection, "SELECT account, item, prefix, amount FROM price", price)?,
        opt_outs: all(
            connection,
            "SELECT campaign, number_key, number, opted_in_at, opted_out_at FROM opt_out",
            opt_out,
        )?,
        barred: all(connection, "SELECT number_key, number, reason, at FROM barred", barred)?,
        secrets: all(connection, "SELECT name, sealed FROM secret", |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?,
        settings: all(connection, "SELECT name, value FROM setting ORDER BY name", |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?,
    })
}

fn put_account(
    tx: &mut Tx<'_>,
    account: &AccountRecord,
    first_credit: Amount,
) -> Result<(), StoreError> {
    let is_new = !tx.prepare("SELECT 1 FROM account WHERE id = ?1")?.exists([account.id.0])?;
    tx.execute(
        "INSERT INTO account (id, name, settings, balance, created_at) VALUES (?1, ?2, ?3, 0, ?4)
         ON CONFLICT (id) DO UPDATE SET name = ?2, settings = ?3",
        params![
            account.id.0,
            account.name,
            to_json(&account.settings)?,
            signed(account.created_at.as_millis())
        ],
    )?;
    tx.caches.funds.entry(account.id).or_default();
    if is_new && first_credit != Amount::ZERO {
        let key = "first".to_owned();
        let now = tx.now;
        credit(tx, &Credit { account: account.id, amount: first_credit, key, now })?;
    }
    Ok(())
}

fn put_key(tx: &mut Tx<'_>, key: &KeyRecord) -> Result<(), StoreError> {
    tx.execute(
        "INSERT OR REPLACE INTO api_key
         (id, account, kind, name, secret_hash, signature, signature_method, label, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            key.id,
            key.account.0,
            word(&key.kind)?,
            key.name,
            key.secret_hash,
            key.signature,
            key.signature_method,
            key.label,
            signed(key.created_at.as_millis())
        ],
    )?;
    Ok(())
}

fn put_number(tx: &mut Tx<'_>, number: &NumberRecord) -> Result<(), StoreError> {
    tx.execute(
        "INSERT OR REPLACE INTO number (id, account, value, countries, fallback, campaign)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            number.id,
            number.account.0,
            number.value,
            to_json(&number.countries)?,
            number.fallback,
            number.campaign.as_ref().map(to_json).transpose()?
        ],
    )?;
    Ok(())
}

fn put_template(tx: &mut Tx<'_>, template: &TemplateRecord) -> Result<(), StoreError> {
    tx.execute(
        "INSERT OR REPLACE INTO template (id, account, position, locale, text)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            template.id,
            template.account.0,
            template.index,
            template.locale.map(engine::Locale::as_str),
            template.text
        ],
    )?;
    Ok(())
}

pub(super) fn put_opt_out(tx: &mut Tx<'_>, opt_out: &OptOut) -> Result<(), StoreError> {
    tx.execute(
        "INSERT OR REPLACE INTO opt_out (campaign, number_key, number, opted_in_at, opted_out_at)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            opt_out.campaign,
            signed(opt_out.number_key),
            opt_out.number.map(signed),
            opt_out.opted_in_at.map(|at| signed(at.as_millis())),
            opt_out.opted_out_at.map(|at| signed(at.as_millis()))
        ],
    )?;
    let entry = (opt_out.campaign, opt_out.number_key);
    if opt_out.opted_out_at.is_some() {
        tx.caches.opted_out.insert(entry);
    } else {
        tx.caches.opted_out.remove(&entry);
    }
    Ok(())
}

fn drop_price(tx: &mut Tx<'_>, price: &PriceRecord) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM price WHERE account IS ?1 AND item = ?2 AND prefix = ?3",
        params![price.account.map(|id| id.0), word(&price.price.item)?, price.price.prefix],
    )?;
    Ok(())
}

fn all<T>(
    connection: &Connection,
    sql: &str,
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(read(row)?);
    }
    Ok(all)
}

fn account(row: &Row<'_>) -> Result<AccountRecord, StoreError> {
    let id: u32 = row.get(0)?;
    let settings: String = row.get(2)?;
    Ok(AccountRecord {
        id: AccountId(id),
        name: row.get(1)?,
        settings: from_json("account", id, &settings)?,
        created_at: instant(row.get(3)?),
    })
}

fn key(row: &Row<'_>) -> Result<KeyRecord, StoreError> {
    let id: u32 = row.get(0)?;
    let kind: String = row.get(2)?;
    Ok(KeyRecord {
        id,
        account: AccountId(row.get(1)?),
        kind: from_word("api_key", id, &kind)?,
        name: row.get(3)?,
        secret_hash: row.get(4)?,
        signature: row.get(5)?,
        signature_method: row.get(6)?,
        label: row.get(7)?,
        created_at: instant(row.get(8)?),
    })
}

fn number(row: &Row<'_>) -> Result<NumberRecord, StoreError> {
    let id: u32 = row.get(0)?;
    let countries: String = row.get(3)?;
    let campaign: Option<String> = row.get(5)?;
    Ok(NumberRecord {
        id,
        account: AccountId(row.get(1)?),
        value: row.get(2)?,
        countries: from_json("number", id, &countries)?,
        fallback: row.get(4)?,
        campaign: campaign.map(|json| from_json("number", id, &json)).transpose()?,
    })
}

fn template(row: &Row<'_>) -> Result<TemplateRecord, StoreError> {
    let id: u32 = row.get(0)?;
    let locale: Option<String> = row.get(3)?;
    let corrupt = |locale: String| StoreError::Corrupt {
        table: "template",
        row: id.to_string(),
        reason: format!("no such locale: {locale}"),
    };
    Ok(TemplateRecord {
        id,
        account: AccountId(row.get(1)?),
        index: row.get(2)?,
        locale: locale
            .map(|name| engine::Locale::parse(&name).ok_or_else(|| corrupt(name)))
            .transpose()?,
        text: row.get(4)?,
    })
}

fn price(row: &Row<'_>) -> Result<PriceRecord, StoreError> {
    let item: String = row.get(1)?;
    let item: PriceItem = from_word("price", &item, &item)?;
    let amount = Amount::from_units(row.get(3)?);
    let price = Price { item, prefix: row.get(2)?, amount };
    Ok(PriceRecord { account: row.get::<_, Option<u32>>(0)?.map(AccountId), price })
}

fn opt_out(row: &Row<'_>) -> Result<OptOut, StoreError> {
    Ok(OptOut {
        campaign: row.get(0)?,
        number_key: unsigned(row.get(1)?),
        number: row.get::<_, Option<i64>>(2)?.map(unsigned),
        opted_in_at: row.get::<_, Option<i64>>(3)?.map(instant),
        opted_out_at: row.get::<_, Option<i64>>(4)?.map(instant),
    })
}

fn barred(row: &Row<'_>) -> Result<BarredNumber, StoreError> {
    Ok(BarredNumber {
        number_key: unsigned(row.get(0)?),
        number: row.get::<_, Option<i64>>(1)?.map(unsigned),
        reason: row.get(2)?,
        at: instant(row.get(3)?),
    })
}

fn instant(millis: i64) -> Timestamp {
    Timestamp::from_millis(unsigned(millis))
}

/// Writes an enum's name, without the quotes that JSON gives it.
pub(super) fn word<T: Serialize>(value: &T) -> Result<String, StoreError> {
    Ok(to_json(value)?.trim_matches('"').to_owned())
}

/// Reads an enum by its name.
pub(super) fn from_word<T: DeserializeOwned>(
    table: &'static str,
    row: impl ToString,
    word: &str,
) -> Result<T, StoreError> {
    from_json(table, row, &format!("\"{word}\""))
}
