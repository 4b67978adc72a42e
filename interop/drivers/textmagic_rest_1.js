// npm `textmagic-rest-client` 1: lower-case credential headers, form bodies, a bare `?` on reads.
'use strict';

const http = require('node:http');
const https = require('node:https');
const path = require('node:path');
const { answerCalls } = require('./wire.js');

answerCalls((hello) => {
  // The client has port 443 written into it, so its way out is turned to the loopback.
  https.request = (options, answered) =>
    http.request(
      { ...options, protocol: 'http:', port: hello.port, agent: undefined }, answered);
  const root = path.dirname(require.resolve('textmagic-rest-client'));
  const TextMagic = require('textmagic-rest-client');
  const HttpClient = require(path.join(root, 'lib', 'HttpClient.js'));

  function low(key) {
    return new HttpClient({
      hostname: hello.host,
      path: '/api/v2/',
      headers: { 'x-tm-username': hello.username, 'x-tm-key': key },
    });
  }

  // The client hands out no status: a success has none, an error carries it in its body.
  function request(method, where, fields, key = hello.key) {
    return new Promise((resolve, reject) => {
      low(key).request({ method }, where, fields, (error, answer) => {
        if (error && !answer) reject(error);
        else if (error) resolve({ status: answer.code, body: answer });
        else resolve({ status: null, body: answer });
      });
    });
  }

  function user() {
    const client = new TextMagic(hello.username, hello.key, { host: hello.host });
    return new Promise((resolve, reject) => {
      client.User.info((error, answer) => (error ? reject(error) : resolve(answer)));
    });
  }

  return {
    user,
    ping: async () => (await request('GET', 'ping', {})).body,
    sources: async () => (await request('GET', 'sources', { country: 'GB' })).body,
    intrude: () => request('GET', 'ping', {}, 'not-the-key'),
    start: ({ fields }) => request('POST', 'verify', fields),
    check: ({ verify_id: verifyId, code }) => request('PUT', 'verify', { verifyId, code }),
    cancel: ({ verify_id: verifyId }) => request('DELETE', `verify/${verifyId}`, {}),
  };
});
