//! Requests in which something, or everything, is rubbish, drawn from a seed.

use countersign::clock;
use serde_json::Value;

/// Every route of every door. The admin API's come from its committed document, and last, since
/// rubbish may hit what takes a key away.
pub(crate) fn routes() -> Vec<(String, String)> {
    let own = [
        "GET /healthz",
        "GET /readyz",
        "GET /metrics",
        "POST /api/v2/verify",
        "PUT /api/v2/verify",
        "DELETE /api/v2/verify/{id}",
        "GET /api/v2/ping",
        "GET /api/v2/user",
        "GET /api/v2/sources",
        "GET /api/v2/senderids",
        "GET /sc/us/2fa/json",
        "POST /sc/us/2fa/json",
        "POST /sc/us/2fa/xml",
        "GET /sc/us/alert/opt-in/query/json",
        "POST /sc/us/alert/opt-in/query/xml",
        "POST /sc/us/alert/opt-in/manage/json",
        "GET /sc/us/alert/opt-in/manage/xml",
        "POST /conversions/sms",
        "GET /conversions/voice",
        "GET /sandbox/v1/handsets/{digits}/inbox",
        "POST /sandbox/v1/handsets/{digits}/type",
        "POST /sandbox/v1/handsets/{digits}/send",
        "GET /sandbox/v1/clock",
        "POST /sandbox/v1/clock",
        "GET /{anything}",
    ];
    let split = |route: &str| route.split_once(' ').map(|(m, r)| (m.to_owned(), r.to_owned()));
    let mut routes: Vec<_> = own.into_iter().filter_map(split).collect();
    let document: Value = serde_json::from_str(include_str!("../../../../openapi.json")).unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        let methods = item.as_object().unwrap().keys().map(|method| method.to_uppercase());
        routes.extend(methods.map(|method| (method, path.clone())));
    }
    assert!(routes.len() > 50, "the admin API's routes were not found");
    routes
}

/// A request to a route in which something, or everything, is rubbish.
pub(crate) fn request(
    draw: &mut Draw,
    method: &str,
    route: &str,
    logins: &[(&str, String)],
) -> Vec<u8> {
    let mut path = route.to_owned();
    while let Some((before, rest)) = path.split_once('{') {
        let (_, after) = rest.split_once('}').unwrap();
        path = format!("{before}{}{after}", draw.pick(&SEGMENTS));
    }
    if draw.below(3) == 0 {
        path = format!(
            "{path}?{}",
            draw.fields(|text| form_urlencoded::byte_serialize(text).collect())
        );
    } else if draw.below(6) == 0 {
        path = format!("{path}?{}", draw.pick(&QUERIES));
    }
    let body = match draw.below(8) {
        0 => draw.bytes(300),
        1 => draw.fields(|text| form_urlencoded::byte_serialize(text).collect()).into_bytes(),
        2 => draw.pick(&BODIES).as_bytes().to_vec(),
        _ => draw.spoilt(route).into_bytes(),
    };
    let login = match draw.below(6) {
        0 => draw.pick(&["", "Authorization: Basic %%%\r\n", "Authorization: Bearer \r\n"]),
        _ => logins.iter().find(|(prefix, _)| route.starts_with(prefix)).map_or("", |(_, l)| l),
    };
    let content_type = draw.pick(&["application/json", FORM, "multipart/form-data", "a/b;;=", ""]);
    let key =
        draw.pick(&["", "Idempotency-Key: k\r\n", "Idempotency-Key: \r\n", "X-Request-Id: {\r\n"]);
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: h\r\n{login}{key}Connection: close\r\nContent-Type: {content_type}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

/// A generator of numbers that a seed repeats: splitmix64.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    pub(crate) fn bytes(&mut self, max: usize) -> Vec<u8> {
        (0..self.below(max)).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    /// A JSON body as the route wants it, but for up to two members.
    fn spoilt(&mut self, route: &str) -> String {
        let wanted = WANTED.iter().find(|(end, _)| route.ends_with(end)).map_or("", |(_, m)| m);
        let mut members = Vec::from_iter((!wanted.is_empty()).then(|| wanted.to_owned()));
        for _ in 0..self.below(3) {
            members.push(format!("\"{}\":{}", self.pick(&NAMES), self.pick(&VALUES)));
        }
        format!("{{{}}}", members.join(","))
    }

    /// Some known names with values that are known, or noise.
    fn fields(&mut self, escape: impl Fn(&[u8]) -> String) -> String {
        let mut pairs = Vec::new();
        for _ in 0..self.below(6) {
            let name = self.pick(&NAMES);
            let value = match self.below(2) {
                0 => self.bytes(40),
                _ => self.pick(&VALUES).trim_matches('"').as_bytes().to_vec(),
            };
            pairs.push(format!("{name}={}", escape(&value)));
        }
        pairs.join("&")
    }
}

/// The seed to replay, if one is given, or a new one.
pub(crate) fn seed() -> u64 {
    let given = std::env::var_os(SEED).and_then(|seed| seed.to_str()?.parse().ok());
    given.unwrap_or_else(|| u64::from_be_bytes(clock::random_bytes()))
}

/// Names the seed of the rubbish in the environment.
pub(crate) const SEED: &str = "WIRE_SEED";

const SEGMENTS: [&str; 16] = [
    "1",
    "2",
    "3",
    "0",
    "-1",
    "4294967296",
    "18446744073709551616",
    "%00",
    "%ff%fe",
    "..",
    "a%2Fb",
    "12015550147",
    "+447400123456",
    "123e4567-e89b-12d3-a456-426655440000",
    "%F0%9F%92%A9",
    "NaN",
];
const QUERIES: [&str; 8] =
    ["%", "%zz", "a", "&&&", "=&=", "limit=-1&limit=a", "page=99999999999999999999", "a[]=1&a[]=2"];
/// What the bodies of some routes hold at their best, by the end of the route.
const WANTED: [(&str, &str); 14] = [
    ("/v2/verify", r#""phone":"447400123456","brand":"Acme","codeLength":4"#),
    ("/2fa/json", r#""to":"12015550147","pin":"4815""#),
    ("/conversions/sms", r#""message-id":"0A0000000123ABCD","delivered":true"#),
    ("/manage/json", r#""msisdn":"12015550147""#),
    ("/type", r#""code":"4815""#),
    ("/clock", r#""advance_s":1"#),
    ("/v1/accounts", r#""name":"Acme""#),
    ("/credits", r#""amount":"1","key":"k""#),
    ("/keys", r#""kind":"vonage""#),
    ("/numbers", r#""value":"447700900000""#),
    ("/templates", r#""index":1,"text":"Your PIN is ${pin}""#),
    ("/verifications", r#""account":1,"phone":"447400123457","brand":"Acme""#),
    ("/messages", r#""account":1,"to":"12015550147","pin":"4815""#),
    ("/erase", r#""number":"12015550147""#),
];
const BODIES: [&str; 8] =
    ["[", "null", "{}", "[[[[[[]]]]]]", "{\"a\":{\"a\":{}}}", "\"\\ud800\"", "1e999", "%FF&%="];
const NAMES: [&str; 36] = [
    "account",
    "phone",
    "brand",
    "codeLength",
    "code_length",
    "code",
    "verifyId",
    "language",
    "workflowId",
    "workflow",
    "senderId",
    "country",
    "to",
    "pin",
    "text",
    "callback",
    "client-ref",
    "message-id",
    "delivered",
    "timestamp",
    "msisdn",
    "page",
    "page-size",
    "limit",
    "api_key",
    "sig",
    "kind",
    "name",
    "secret",
    "signature_method",
    "value",
    "countries",
    "amount",
    "advance_s",
    "locale",
    "settings",
];
const VALUES: [&str; 24] = [
    "null",
    "true",
    "0",
    "-1",
    "1",
    "4",
    "1e400",
    "1.5",
    "18446744073709551616",
    "\"\"",
    "\"1\"",
    "\"\\u0000\"",
    "\"12015550147\"",
    "\"447400123456\"",
    "\"Acme\"",
    "\"US\"",
    "\"4815\"",
    "[]",
    "{}",
    "[\"US\", 1]",
    "\"vonage\"",
    "\"sha512\"",
    "\"http://[::1\"",
    "\"\\ud83d\\ude00\"",
];

const FORM: &str = "application/x-www-form-urlencoded";
