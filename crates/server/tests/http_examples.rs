//! The examples of HTTP links are right, complete, and tell the ranges that hold.
#![expect(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    reason = "functions beside the tests fail as the tests do"
)]

use countersign::config::{Config, LinkKind};

#[test]
fn every_example_loads_once_it_is_uncommented() {
    let config = load(&format!("server.public_url = 'https://sms.example'\n{}", examples()));
    let config = config.unwrap();
    let names: Vec<&str> = config.links.keys().map(String::as_str).collect();
    assert_eq!(names, ["aggregator", "jasmin", "kannel", "twilio", "vonage"]);
    for (name, link) in &config.links {
        let LinkKind::Http(http) = &link.kind else { panic!("{name} is an HTTP link") };
        assert!(http.tells_dlr_url(), "{name} tells where to report to");
        assert_eq!(http.public_url.as_deref(), Some("https://sms.example"));
        assert!(http.reports.state.is_some() && http.password_file.is_some(), "{name}");
    }
}

#[test]
fn a_profile_leaves_nothing_to_be_written_but_who_we_are() {
    for profile in ["vonage", "twilio"] {
        let link = format!("[link.one]\nkind = 'http'\nprofile = '{profile}'");
        load(&format!("server.public_url = 'https://sms.example'\n{link}")).unwrap();
    }
}

#[test]
fn what_an_operator_writes_goes_over_the_profile() {
    let config = load(
        "[link.one]\nkind = 'http'\nprofile = 'kannel'\nurl = 'http://one.example/'\n\
         timeout_ms = 500\n[link.one.fields]\ndlr-url = ''\nsmsc = 'two'\n\
         [link.one.reports.states]\n1 = 'buffered'",
    )
    .unwrap();
    let LinkKind::Http(http) = &config.links["one"].kind else { panic!("it is an HTTP link") };
    let has = |field: &str| http.fields.iter().any(|(name, _)| name == field);
    assert!(has("smsc") && has("text") && !has("dlr-url"));
    assert_eq!(http.reports.states["1"].as_str(), "buffered");
    assert_eq!(http.reports.states["2"].as_str(), "failed");
    assert_eq!(http.timeout.as_millis(), 500);
}

#[test]
fn every_key_is_in_the_examples() {
    for (section, probe) in [("", "bogus = 1"), ("reports", "[link.one.reports]\nbogus = 1")] {
        let told = load(&format!("[link.one]\nkind = 'http'\n{probe}")).unwrap_err();
        let (_, names) = told.split_once("expected one of ").unwrap();
        let names: Vec<&str> = names.split('`').skip(1).step_by(2).collect();
        assert!(names.len() >= 10, "{names:?}");
        let examples = examples();
        for name in names {
            let told = examples.contains(&format!("\n{name} = "))
                || examples.contains(&format!("\n[link.aggregator.{name}]"));
            assert!(told, "{section} {name} is not in the examples");
        }
    }
}

#[test]
fn every_number_has_the_range_that_the_example_tells() {
    let text = example();
    for key in
        ["connect_timeout_ms", "timeout_ms", "connections", "breaker_failures", "breaker_open_s"]
    {
        let problem = |value: i64| {
            let link =
                format!("[link.one]\nkind = 'http'\nurl = 'http://a.example/'\n{key} = {value}");
            load(&link).err().unwrap_or_default()
        };
        let told = problem(-1);
        let (_, range) = told.split_once("must be ").unwrap();
        let (min, rest) = range.split_once(" to ").unwrap();
        let max = rest.split(' ').next().unwrap();
        let at = text.find(&format!("\n#{key} = ")).unwrap();
        let comment = text[..at].rsplit("\n#").find(|line| line.starts_with(' ')).unwrap();
        assert!(comment.contains(&format!("{min} to {max}")), "{key}: {range} in {comment}");
        let (min, max): (i64, i64) = (min.parse().unwrap(), max.parse().unwrap());
        assert!(problem(min - 1).contains(key) && problem(max + 1).contains(key));
        assert_eq!((problem(min), problem(max)), (String::new(), String::new()));
    }
}

#[test]
fn mistakes_are_told_with_what_would_be_right() {
    let link = |keys: &str| load(&format!("[link.one]\nkind = 'http'\n{keys}")).unwrap_err();
    for (keys, place, right) in [
        ("profile = 'nobody'", "link.one.profile", "`kannel`"),
        ("url = 'ftp://a.example/'", "link.one.url", "http or https"),
        ("url = 'http://me:pw@a.example/'", "link.one.url", "without a user"),
        ("profile = 'kannel'", "link.one.url", "http or https"),
        (
            "url = 'http://a.example/'\nfields = { to = '{nobody}' }",
            "link.one.fields.to",
            "`to_e164`",
        ),
        ("url = 'http://a.example/'\nmethod = 'PUT'", "link.one.method", "`GET` or `POST`"),
        ("url = 'http://a.example/'\nmethod = 'GET'", "link.one.method", "`POST`"),
        ("url = 'http://a.example/'\nfields = { a = ['b'] }", "link.one.fields", "json"),
        (
            "url = 'http://a.example/'\naccepted_status = ['2xx']",
            "link.one.accepted_status",
            "`200-299`",
        ),
        ("url = 'http://a.example/'\nanswer_states = ['a.b']", "answer_states", "JSON pointer"),
        ("url = 'http://a.example/'\nanswer_patterns = ['{id}{state}']", "answer_patterns", "{id}"),
        ("url = 'http://a.example/'\nrejected_states = { a = 100 }", "rejected_states", "0 to 99"),
        ("url = 'http://a.example/'\nreports = { state = 's' }", "link.one.reports", "`own_id`"),
    ] {
        let told = link(keys);
        assert!(told.contains(place) && told.contains(right), "{keys}: {told}");
    }
    let told = link("profile = 'twilio'");
    assert!(told.contains("server.public_url: is empty; [link.one]"), "{told}");
}

/// The examples of HTTP links without their `#`.
fn examples() -> String {
    let text = example();
    let start = text.find("\n# HTTP links").unwrap();
    let lines = text[start..].lines();
    let uncommented = |line: &str| match line.strip_prefix('#') {
        Some(key) if !key.starts_with(' ') => key.to_owned(),
        Some(_) | None => line.to_owned(),
    };
    lines.map(uncommented).collect::<Vec<_>>().join("\n")
}

fn example() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../countersign.example.toml");
    std::fs::read_to_string(path).unwrap()
}

fn load(file: &str) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("countersign.toml");
    std::fs::write(&path, file).unwrap();
    let nothing: [(&str, &str); 0] = [];
    Config::load(Some(&path), nothing).map_err(|mistakes| mistakes.to_string())
}
