//! Turns events into lines, every value of them scrubbed.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::{self, Write as _};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::LogFormat;
use super::scrub::{is_plain_integer, scrub, scrub_field};

/// Renders each event as one line and hands it on.
///
/// `clock` tells the time of a line; `sink` takes the line without its line end.
pub(super) struct LineLayer<Clock, Sink> {
    pub(super) format: LogFormat,
    pub(super) clock: Clock,
    pub(super) sink: Sink,
}

impl<S, Clock, Sink> Layer<S> for LineLayer<Clock, Sink>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    Clock: Fn() -> Timestamp + 'static,
    Sink: Fn(String) + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(Scope::from_root) {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.values.extend(outer.values.clone());
            }
        }
        event.record(&mut fields);
        let message = match fields.values.remove(MESSAGE_FIELD) {
            Some(Value::String(message)) => message,
            Some(other) => other.to_string(),
            None => String::new(),
        };
        let line = Line {
            time: (self.clock)().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
            level: event.metadata().level().as_str(),
            target: event.metadata().target(),
            message,
            fields: fields.values,
        };
        (self.sink)(match self.format {
            LogFormat::Text => line.text(),
            LogFormat::Json => line.json(),
        });
    }
}

/// One event with the fields of its spans. Field order is the alphabet's; JSON keys are these.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    level: &'a str,
    target: &'a str,
    message: String,
    fields: Map<String, Value>,
}

impl Line<'_> {
    fn text(&self) -> String {
        let mut text = format!("{} {} {} ", self.time, self.level, self.target);
        text.push_str(&without_controls(&self.message));
        for (name, value) in &self.fields {
            // Writing to a string cannot fail.
            let _ = match value {
                Value::String(plain) if is_bare(plain) => write!(text, " {name}={plain}"),
                Value::String(_)
                | Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::Array(_)
                | Value::Object(_) => {
                    write!(text, " {name}={value}")
                }
            };
        }
        text
    }

    fn json(&self) -> String {
        // Strings and numbers always serialise; the fallback keeps the line's place.
        serde_json::to_string(self).unwrap_or_else(|_| String::from("{}"))
    }
}

/// Whether a value needs no quotes to be told from what follows.
fn is_bare(value: &str) -> bool {
    let delimits = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '=' | '\\');
    !value.is_empty() && !value.contains(delimits)
}

/// A line break or a terminal escape in a message would forge a line of its own.
fn without_controls(message: &str) -> Cow<'_, str> {
    if !message.contains(char::is_control) {
        return Cow::Borrowed(message);
    }
    let escape = |c: char| -> Box<dyn Iterator<Item = char>> {
        if c.is_control() { Box::new(c.escape_default()) } else { Box::new(core::iter::once(c)) }
    };
    Cow::Owned(message.chars().flat_map(escape).collect())
}

/// The values of a span or event, scrubbed as they come in.
#[derive(Default)]
struct Fields {
    values: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.values.insert(field.name().to_owned(), value);
    }

    fn put_text(&mut self, field: &Field, text: &str) {
        // Scrubbed before it is cut, or the cut could hide that a run was one.
        let clean = scrub_field(field.name(), text);
        let end = clean.floor_char_boundary(VALUE_BYTES_MAX);
        self.put(field, Value::from(clean.get(..end).unwrap_or_default()));
    }

    fn put_integer(&mut self, field: &Field, magnitude: u128, value: impl Into<Value> + ToString) {
        if is_plain_integer(field.name(), magnitude) {
            self.put(field, value.into());
        } else {
            self.put(field, Value::from(scrub(&value.to_string())));
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put_text(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = value.to_string();
        // Our errors do not print their source, so the log does.
        let mut source = value.source();
        while let Some(inner) = source {
            let _ = write!(text, ": {inner}");
            source = inner.source();
        }
        self.put_text(field, &text);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put_integer(field, value.into(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put_integer(field, value.unsigned_abs().into(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put_text(field, &value.to_string());
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        // Bytes may be a code or a number in a form nobody here knows.
        self.put(field, Value::from(format!("{} bytes", value.len())));
    }
}

/// The name that the tracing macros give to the text of an event.
const MESSAGE_FIELD: &str = "message";

/// The longest value in a line; the rest is cut. A choice, longer than any error chain of ours.
const VALUE_BYTES_MAX: usize = 4096;
