//! Shows answers to people: aligned fields and tables.

use serde_json::{Value, json};

use super::client::{Complaint, View};

/// Renders an answer; fails if it is a no in the form of a yes, such as a wrong code.
pub(super) fn render(answer: &Value, view: &View) -> Result<String, Complaint> {
    match view {
        View::Fields => Ok(fields(answer)),
        View::Table(columns) => Ok(table(answer, "items", columns)),
        View::Rows(name, columns) => Ok(table(answer, name, columns)),
        View::Stats => Ok(stats(answer)),
        View::Done(text) => Ok(format!("{text}\n")),
        View::Verdict => verdict(answer),
    }
}

/// Renders an answer as it came.
pub(super) fn json(answer: &Value) -> String {
    match answer {
        Value::Null => String::new(),
        Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => format!("{answer:#}\n"),
    }
}

fn verdict(answer: &Value) -> Result<String, Complaint> {
    match (answer.get("verdict").and_then(Value::as_str), answer.get("checks_left")) {
        (Some("match"), _) => Ok("The code is right.\n".to_owned()),
        (_, Some(left)) if left != 0 => {
            Err(Complaint::Refused(format!("The code is wrong; checks left: {left}.")))
        }
        (_, _) => Err(Complaint::Refused("The code is wrong: the verification failed.".to_owned())),
    }
}

fn fields(answer: &Value) -> String {
    let mut lines = Vec::new();
    flatten("", answer, &mut lines);
    // What it is comes first; the rest is found by its name.
    lines.sort_by_key(|(name, _)| !matches!(name.as_str(), "id" | "name"));
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let lines = lines.iter().map(|(name, value)| format!("{name:width$}  {value}\n"));
    lines.collect::<Vec<_>>().concat()
}

fn flatten(name: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    let inner = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                flatten(&inner(key), value, lines);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (index, item) in (1..).zip(items) {
                lines.push((format!("{name} {index}"), in_line(item)));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            lines.push((name.to_owned(), cell(value)));
        }
    }
}

fn in_line(item: &Value) -> String {
    let members = item.as_object().into_iter().flatten();
    let shown = members.filter(|(_, value)| !value.is_null());
    let shown = shown.map(|(key, value)| match value {
        Value::Object(_) => format!("{key}=({})", in_line(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            format!("{key}={}", cell(value))
        }
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// Rates become percents and waits seconds, in columns with short names.
fn stats(answer: &Value) -> String {
    let by = answer.get("by").and_then(Value::as_str).unwrap_or("name");
    let items = answer.get("items").and_then(Value::as_array).into_iter().flatten();
    let percent = |item: &Value, name: &str| {
        let share = item.get(name).and_then(Value::as_f64);
        share.map_or(Value::Null, |share| Value::from(format!("{:.1} %", share * 100.0)))
    };
    let row = |item: &Value| {
        let mut row = item.as_object().cloned().unwrap_or_default();
        row.insert(by.to_owned(), row.get("name").cloned().unwrap_or_default());
        row.insert("rate".to_owned(), percent(item, "delivery_rate"));
        row.insert("conversion".to_owned(), percent(item, "conversion_rate"));
        let wait = item.get("median_wait_s").and_then(Value::as_f64);
        let wait = wait.map_or(Value::Null, |wait| Value::from(format!("{wait:.1} s")));
        row.insert("wait".to_owned(), wait);
        Value::Object(row)
    };
    let rows: Vec<Value> = items.map(row).collect();
    let is_each = rows.iter().any(|row| row.get("at").is_some());
    let mut columns = if is_each { vec!["at"] } else { Vec::new() };
    columns.push(by);
    columns.extend(STATS_COLUMNS);
    table(&json!({ "items": rows }), "items", &columns)
}

fn table(answer: &Value, name: &str, columns: &[&str]) -> String {
    let items = answer.get(name).and_then(Value::as_array);
    let head = columns.iter().map(|column| column.to_uppercase()).collect();
    let row = |item: &Value| columns.iter().map(|column| cell(find(item, column))).collect();
    let rows: Vec<Vec<String>> =
        std::iter::once(head).chain(items.into_iter().flatten().map(row)).collect();
    let width_of = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns.len()).map(width_of).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    if let Some(next) = answer.get("next").and_then(Value::as_str) {
        text.push_str("older ones: --before ");
        text.push_str(next);
        text.push('\n');
    }
    text
}

/// Follows a column's name with dots into an item.
fn find<'a>(item: &'a Value, column: &str) -> &'a Value {
    column.split('.').fold(item, |value, name| value.get(name).unwrap_or(&Value::Null))
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        // What holds a line feed would break the table.
        Value::String(text) => text.replace('\n', "\\n"),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(","),
        Value::Object(_) => format!("({})", in_line(value)),
    }
}

const STATS_COLUMNS: [&str; 13] = [
    "channel",
    "receipts",
    "attempts",
    "accepted",
    "rejected",
    "delivered",
    "failed",
    "unknown",
    "expired",
    "rate",
    "wait",
    "converted",
    "conversion",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let answer = json!({ "items": [
            { "id": 1, "value": "12345", "campaign": { "name": "Codes" }, "countries": ["US", "CA"] },
            { "id": 12, "value": "My shop", "campaign": null, "countries": [] },
        ] });
        let columns: &'static [&'static str] = &["id", "value", "campaign.name", "countries"];
        insta::assert_snapshot!(render(&answer, &View::Table(columns)).unwrap(), @r"
        ID  VALUE    CAMPAIGN.NAME  COUNTRIES
        1   12345    Codes          US,CA
        12  My shop  -              -
        ");
    }

    #[test]
    fn a_story_tells_its_steps_line_by_line() {
        let answer = json!({
            "attempts": [
                { "channel": "sms", "progress": "failed", "error": 3, "call": null },
                { "channel": "voice", "call": { "cause": "busy", "seconds": 0, "codec": null } },
            ],
            "checks": [], "id": "7f", "state": "verified",
        });
        insta::assert_snapshot!(render(&answer, &View::Fields).unwrap(), @r"
        id          7f
        attempts 1  channel=sms error=3 progress=failed
        attempts 2  call=(cause=busy seconds=0) channel=voice
        checks      -
        state       verified
        ");
    }

    #[test]
    fn figures_are_a_table_with_percents() {
        let answer = json!({ "by": "country", "items": [{
            "name": "GB", "channel": "sms", "receipts": "handset", "attempts": 1200,
            "accepted": 1199, "rejected": 1, "delivered": 1100, "failed": 50, "unknown": 0,
            "expired": 0, "converted": 900, "delivery_rate": 0.9167, "conversion_rate": 0.75,
            "median_wait_s": 4.25,
        }, { "name": "", "channel": "voice", "receipts": "none", "attempts": 0 }] });
        insta::assert_snapshot!(render(&answer, &View::Stats).unwrap(), @r"
        COUNTRY  CHANNEL  RECEIPTS  ATTEMPTS  ACCEPTED  REJECTED  DELIVERED  FAILED  UNKNOWN  EXPIRED  RATE    WAIT   CONVERTED  CONVERSION
        GB       sms      handset   1200      1199      1         1100       50      0        0        91.7 %  4.2 s  900        75.0 %
        -        voice    none      0         -         -         -          -       -        -        -       -      -          -
        ");
    }

    #[test]
    fn an_attempt_tells_why_links_were_passed_over() {
        let passed = json!([{ "link": "a", "reason": "it is down" }]);
        let answer = json!({ "attempts": [{ "link": "b", "passed_over": passed }] });
        insta::assert_snapshot!(render(&answer, &View::Fields).unwrap(), @"attempts 1  link=b passed_over=(link=a reason=it is down)");
    }

    #[test]
    fn a_wrong_code_is_a_no() {
        let wrong = |left: u8| json!({ "verdict": "mismatch", "checks_left": left });
        assert!(render(&json!({ "verdict": "match" }), &View::Verdict).is_ok());
        let told = |left| render(&wrong(left), &View::Verdict).unwrap_err().to_string();
        assert!(told(2).contains("left: 2"));
        assert!(told(0).contains("failed"));
    }
}
