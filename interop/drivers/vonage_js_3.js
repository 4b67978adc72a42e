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

  function webhookIsGenuine({ params }) {
    const sms = new SMS(credentials('good'));
    return sms.verifySignature(
      params.sig, params, hello.signature_secret, AlgorithmTypes.md5hash);
  }

  return { send, send_json: sendJson, webhook_is_genuine: webhookIsGenuine };
});
