//! The figures of what became of attempts, as rows that are added to.

use engine::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params, params_from_iter};

use super::super::rows::{signed, unsigned};
use super::super::{
    FigureQuery, FigureRow, FigureSum, Figures, FiguresBy, Period, StoreError, WAITS,
};
use super::config::{from_word, word};
use super::writer::Tx;

/// Adds figures to what is there.
pub(super) fn add(tx: &mut Tx<'_>, rows: &[FigureRow]) -> Result<(), StoreError> {
    let sql = add_sql();
    for row in rows {
        let key = &row.key;
        let counts = counts(&row.figures);
        let names = [&key.route, &key.link, &word(&key.channel)?, &key.country, &key.network]
            .map(|text| Value::Text(text.clone()));
        let values = [seconds(row.period), signed(row.at.as_millis())].map(Value::Integer);
        let values = values.into_iter().chain(names);
        let values = values.chain([Value::Text(word(&key.grade)?)]);
        let values = values.chain(counts.into_iter().map(|count| Value::Integer(signed(count))));
        tx.execute(&sql, params_from_iter(values))?;
    }
    Ok(())
}

/// Sums figures up: the newest period first, and in it what there was most of.
pub(super) fn sums(
    connection: &Connection,
    query: &FigureQuery,
) -> Result<Vec<FigureSum>, StoreError> {
    let columns: Vec<&str> = query.by.iter().map(|by| column(*by)).collect();
    let by = if columns.is_empty() { "''".to_owned() } else { columns.join(" || '/' || ") };
    let at = if query.each { "at" } else { "NULL" };
    let sums: Vec<String> = COUNTS.iter().map(|name| format!("sum({name})")).collect();
    let sql = format!(
        "SELECT {at}, {by}, channel, grade, {} FROM figure WHERE period = ?1 AND at >= ?2
         GROUP BY 1, 2, 3, 4 ORDER BY 1 DESC, 5 DESC, 6 DESC, 2 LIMIT ?3",
        sums.join(", ")
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let since = signed(query.since.as_millis());
    let mut rows = statement.query(params![seconds(query.period), since, limit])?;
    let mut sums = Vec::new();
    while let Some(row) = rows.next()? {
        sums.push(sum(row)?);
    }
    Ok(sums)
}

const fn column(by: FiguresBy) -> &'static str {
    match by {
        FiguresBy::Route => "route",
        FiguresBy::Link => "link",
        FiguresBy::Country => "country",
        FiguresBy::Network => "network",
    }
}

fn sum(row: &Row<'_>) -> Result<FigureSum, StoreError> {
    let (name, channel, grade): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
    let count = |index: usize| -> Result<u64, StoreError> { Ok(unsigned(row.get(4 + index)?)) };
    let mut waits = [0; WAITS];
    for (index, wait) in waits.iter_mut().enumerate() {
        *wait = count(8 + index)?;
    }
    Ok(FigureSum {
        at: row.get::<_, Option<i64>>(0)?.map(|at| Timestamp::from_millis(unsigned(at))),
        channel: from_word("figure", &name, &channel)?,
        grade: from_word("figure", &name, &grade)?,
        name,
        figures: Figures {
            attempts: count(0)?,
            accepted: count(1)?,
            rejected: count(2)?,
            delivered: count(3)?,
            failed: count(4)?,
            unknown: count(5)?,
            expired: count(6)?,
            converted: count(7)?,
            waits,
        },
    })
}

fn counts(figures: &Figures) -> Vec<u64> {
    let Figures {
        attempts,
        accepted,
        rejected,
        delivered,
        failed,
        unknown,
        expired,
        converted,
        waits,
    } = *figures;
    let mut counts =
        vec![attempts, accepted, rejected, delivered, failed, unknown, expired, converted];
    counts.extend(waits);
    counts
}

/// Adding is the same for one node and for several.
fn add_sql() -> String {
    let places: Vec<String> = (1..=8 + COUNTS.len()).map(|place| format!("?{place}")).collect();
    let sums: Vec<String> =
        COUNTS.iter().map(|name| format!("{name} = {name} + excluded.{name}")).collect();
    format!(
        "INSERT INTO figure (period, at, route, link, channel, country, network, grade, {})
         VALUES ({})
         ON CONFLICT (period, at, route, link, channel, country, network, grade)
         DO UPDATE SET {}",
        COUNTS.join(", "),
        places.join(", "),
        sums.join(", ")
    )
}

/// How a period is written into its column.
pub(super) fn seconds(period: Period) -> i64 {
    i64::try_from(period.length().as_secs()).unwrap_or(i64::MAX)
}

const COUNTS: [&str; 8 + WAITS] = [
    "attempts",
    "accepted",
    "rejected",
    "delivered",
    "failed",
    "unknown",
    "expired",
    "converted",
    "w0",
    "w1",
    "w2",
    "w3",
    "w4",
    "w5",
    "w6",
    "w7",
    "w8",
    "w9",
    "w10",
    "w11",
    "w12",
];
