// The 2FA guide's receiver in JavaScript: express, the query of a GET or the form of a POST.
'use strict';

const app = require('express')();
app.use(require('body-parser').urlencoded({ extended: false }));

function handle(params, response) {
  if (!params.status || !params.messageId) {
    console.log('no receipt');
  } else {
    console.log(`receipt ${params.messageId} ${params.status} ${params.msisdn}`);
  }
  response.sendStatus(200);
}

app.get('/delivery-receipt', (request, response) => handle(request.query, response));
app.post('/delivery-receipt', (request, response) => handle(request.body, response));
app.listen(Number(process.env.PORT), '127.0.0.1', () => console.log('listening'));
