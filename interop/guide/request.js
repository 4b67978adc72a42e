// The 2FA guide's request in JavaScript: a JSON body posted with Node's own module.
'use strict';

const http = require('http');

const body = JSON.stringify({
  api_key: process.env.API_KEY,
  api_secret: process.env.API_SECRET,
  to: '441632960960',
  pin: process.env.PIN,
});

const request = http.request({
  host: process.env.REST_HOST,
  path: '/sc/us/2fa/json',
  port: process.env.REST_PORT,
  method: 'POST',
  headers: { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) },
});
request.write(body);
request.end();

let received = '';
request.on('response', (response) => {
  response.on('data', (chunk) => { received += chunk; });
  response.on('end', () => {
    JSON.parse(received).messages.forEach((message) => {
      if (message.status === '0') console.log(`sent ${message['message-id']}`);
      else console.log(`refused ${message.status} ${message['error-text']}`);
    });
  });
});
