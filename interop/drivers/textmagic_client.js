// npm `textmagic-client` 2 and 3: Basic credentials and JSON; only version 2 knows verify by name.
'use strict';

const T = require('textmagic-client');
const { answerCalls } = require('./wire.js');

answerCalls((hello) => {
  const client = T.ApiClient.instance;
  client.basePath = `http://${hello.host}:${hello.port}`;
  const basic = client.authentications.BasicAuth;
  basic.username = hello.username;
  basic.password = hello.key;
  const api = new T.TextMagicApi();
  const knowsVerify = typeof api.sendPhoneVerificationCodeTFA === 'function';

  // Version 2 answers null to a 204, the sign of success that its users test for.
  async function outcome(status, promise) {
    try {
      return { status, body: await promise };
    } catch (error) {
      if (!error.response) throw error;
      return { status: error.status, body: error.response.body };
    }
  }

  function generic(method, path, body) {
    return client.callApi(
      path, method, {}, {}, {}, {}, body, ['BasicAuth'], ['application/json'],
      ['application/json'], method === 'POST' ? T.SendPhoneVerificationCodeResponse : null, null,
    ).then((answered) => answered.data);
  }

  async function intrude() {
    basic.password = 'not-the-key';
    const answer = await outcome(200, api.ping());
    basic.password = hello.key;
    return answer;
  }

  const named = {
    start: ({ fields }) => outcome(200, api.sendPhoneVerificationCodeTFA(fields)),
    check: ({ verify_id: verifyId, code }) =>
      outcome(204, api.checkPhoneVerificationCodeTFA({ verifyId, code: Number(code) })),
    cancel: ({ verify_id: verifyId }) => outcome(204, api.cancelVerification(verifyId)),
  };
  const unnamed = {
    start: ({ fields }) => outcome(200, generic('POST', '/api/v2/verify', fields)),
    check: ({ verify_id: verifyId, code }) =>
      outcome(204, generic('PUT', '/api/v2/verify', { verifyId, code })),
    cancel: ({ verify_id: verifyId }) =>
      outcome(204, generic('DELETE', `/api/v2/verify/${verifyId}`, null)),
  };
  return {
    ping: () => api.ping(),
    user: () => api.getCurrentUser(),
    sources: () => api.getAvailableSenderSettingOptions({ country: 'GB' }),
    senders: () => api.getSenderIds({ page: 1, limit: 10 }),
    intrude,
    ...(knowsVerify ? named : unnamed),
  };
});
