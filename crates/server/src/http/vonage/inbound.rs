//! Messages from handsets in Vonage's words.

use engine::first_word;
use engine::wording::gsm::Septets;

use super::push::Push;
use crate::store::InboundView;
use crate::webhooks::sender::OutgoingRequest;

/// One message from a handset, to be told to its account.
pub struct InboundSms<'a> {
    /// The message.
    pub message: &'a InboundView,
    /// `api-key`: the key of the account.
    pub api_key: &'a str,
}

impl InboundSms<'_> {
    /// Renders the request that pushes the message to `url`.
    pub fn render(&self, url: &str, push: Push<'_>) -> OutgoingRequest {
        push.render(url, self.fields())
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let message = self.message;
        let text = message.text.reveal();
        let is_plain = text.chars().all(|character| Septets::of(character).is_some());
        let kind = if is_plain { "text" } else { "unicode" };
        let mut fields = vec![
            ("msisdn", message.from.to_string()),
            ("to", message.to.clone()),
            ("messageId", message.id.to_string()),
            ("text", text.to_owned()),
            ("type", kind.to_owned()),
            ("keyword", first_word(text)),
            ("api-key", self.api_key.to_owned()),
        ];
        if let Some(concat) = message.concat {
            fields.extend([
                ("concat", "true".to_owned()),
                ("concat-ref", concat.reference.to_string()),
                ("concat-total", concat.total.to_string()),
                ("concat-part", concat.part.to_string()),
            ]);
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use engine::{MessageId, SecretText};

    use super::*;
    use crate::http::params::Params;
    use crate::http::vonage::push::Signing;
    use crate::http::vonage::signature::{SignatureMethod, verify};
    use crate::store::{Concat, DlrMethod};

    fn message(text: &str, concat: Option<Concat>) -> InboundView {
        InboundView {
            id: MessageId::from_u64(0x0B00_0000_57CC_7BC0),
            from: 14_845_552_121,
            to: "54321".to_owned(),
            text: SecretText::concat(&[text]),
            concat,
        }
    }

    fn pushed(message: &InboundView, method: DlrMethod) -> OutgoingRequest {
        let push = Push { method, at: 1_594_953_275_900, signing: None };
        InboundSms { message, api_key: "a1234567" }.render("http://h/in?own=1", push)
    }

    #[test]
    fn a_message_is_told_in_the_vendors_words() {
        let request = pushed(&message("Stop! It", None), DlrMethod::Get);
        assert_eq!(
            request.url,
            "http://h/in?own=1&msisdn=14845552121&to=54321&messageId=0B00000057CC7BC0\
             &text=Stop%21+It&type=text&keyword=STOP&api-key=a1234567\
             &message-timestamp=2020-07-17+02%3A34%3A35"
        );
    }

    #[test]
    fn a_part_says_which_it_is_and_foreign_letters_are_unicode() {
        let concat = Concat::new(7, 3, 2);
        let request = pushed(&message("мир и \"май\"", concat), DlrMethod::PostJson);
        assert_eq!(
            String::from_utf8(request.body).unwrap(),
            concat!(
                r#"{"msisdn":"14845552121","to":"54321","messageId":"0B00000057CC7BC0","#,
                r#""text":"мир и \"май\"","type":"unicode","keyword":"МИР","#,
                r#""api-key":"a1234567","concat":"true","concat-ref":"7","concat-total":"3","#,
                r#""concat-part":"2","message-timestamp":"2020-07-17 02:34:35"}"#,
            )
        );
    }

    #[test]
    fn a_signature_covers_what_the_handset_wrote() {
        let message = message("a&b=c ☃", None);
        let signing = Signing { secret: "s", method: SignatureMethod::Md5Hash, nonce: "n" };
        let push = Push { method: DlrMethod::Post, at: 0, signing: Some(signing) };
        let request = InboundSms { message: &message, api_key: "a" }.render("http://h/", push);
        let params = Params::decode("", None, &request.body).unwrap();
        let sig = params.get("sig").unwrap();
        assert!(verify(params.iter(), sig, "s", SignatureMethod::Md5Hash));
        let other = params.iter().map(|(k, v)| if k == "text" { (k, "STOP") } else { (k, v) });
        assert!(!verify(other, sig, "s", SignatureMethod::Md5Hash));
    }
}
