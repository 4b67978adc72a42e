// npm `@vonage/server-sdk` 3: Basic credentials, JSON or form bodies, no signed requests.
'use strict';

const { Auth, AlgorithmTypes } = require('@vonage/auth');
const { Client } = require('@vonage/server-client');
const { SMS } = require('@vonage/sms');
const { answerCalls } = require('./wire.js');

answerCalls((hello) => {
  const address = `http://${hello.host}:${hello.port}`;
  const hosts = { restHost: address, apiHost: address };
  const path = `${address}/sc/us/2fa/json`;

  function credentials(auth) {
    return new Auth({
      apiKey: hello.api_key,
      apiSecret: auth === 'wrong' ? 'not-the-secret' : hello.api_secret,
    });
  }

  async function send({ auth, params }) {
    const client = new Client(credentials(auth), hosts);
    client.authType = 'basic';
    return (await client.sendFormSubmitRequest(path, params)).data;
  }

  async function sendJson({ auth, params }) {
    const client = new Client(credentials(auth), hosts);
    client.authType = 'basic';
    return (await client.sendPostRequest(path, params)).data;
  }

  // The algorithms in this client's words, by the names that the methods have on the wire.
  const algorithms = {
    md5hash: AlgorithmTypes.md5hash,
    md5: AlgorithmTypes.md5hmac,
    sha1: AlgorithmTypes.sha1hmac,
    sha256: AlgorithmTypes.sha256hmac,
    sha512: AlgorithmTypes.sha512hmac,
  };

  function webhookIsGenuine({ method, params }) {
    const sms = new SMS(credentials('good'));
    return sms.verifySignature(
      params.sig, params, hello.signature_secret, algorithms[method]);
  }

  return {
    send,
    send_json: sendJson,
    webhook_is_genuine: webhookIsGenuine,
    signature_methods: () => Object.keys(algorithms),
  };
});
