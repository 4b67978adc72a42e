// npm `nexmo` 2 and `@vonage/server-sdk` 2: everything in the query of a POST without a body.
'use strict';

const { answerCalls, called } = require('./wire.js');

const name = process.argv[2];
const Client = require(name);

answerCalls((hello) => {
  const hosts = { restHost: hello.host, apiHost: hello.host, port: hello.port };

  function client(auth, options, method = 'md5hash') {
    const credentials = {
      apiKey: hello.api_key,
      apiSecret: auth === 'wrong' ? 'not-the-secret' : hello.api_secret,
    };
    if (auth === 'signed' || auth === 'missigned') {
      credentials.signatureMethod = method;
      credentials.signatureSecret =
        auth === 'signed' ? hello.signature_secret : 'not-the-secret';
    }
    return new Client(credentials, options);
  }

  function send({ auth, method, params }) {
    const { to, pin, ...options } = params;
    return called((answered) =>
      client(auth, hosts, method).message.shortcode2FA(to, { pin }, options, answered));
  }

  async function submit(kind, auth, method, messageId, delivered) {
    // For this one call server-sdk 2 accepts a host only in the form of an address.
    const options = name === 'nexmo'
      ? hosts
      : { ...hosts, restHost: `http://${hello.host}`, apiHost: `http://${hello.host}` };
    try {
      await called((answered) =>
        client(auth, options, method).conversion[kind](
          messageId, delivered, undefined, answered));
    } catch (error) {
      // The client calls any 200 whose body is no JSON an error, the vendor's own `OK` included.
      if (error.statusCode !== 200 && error.status !== 200) throw error;
    }
    return true;
  }

  function webhookIsGenuine({ method, params }) {
    const { sig, ...signed } = params;
    return Client.generateSignature(method, hello.signature_secret, signed) === sig;
  }

  return {
    send,
    send_signed: send,
    convert: ({ message_id, delivered }) => submit('sms', 'good', undefined, message_id, delivered),
    convert_signed: ({ method, message_id, delivered }) =>
      submit('sms', 'signed', method, message_id, delivered),
    convert_voice: ({ message_id, delivered }) =>
      submit('voice', 'good', undefined, message_id, delivered),
    webhook_is_genuine: webhookIsGenuine,
    signature_methods: () => ['md5hash', 'md5', 'sha1', 'sha256', 'sha512'],
  };
});
