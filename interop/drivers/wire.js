// The Node drivers' end of the line protocol: a hello, then one call and one answer a line.
'use strict';

const readline = require('node:readline');

function say(message) {
  process.stdout.write('>> ' + JSON.stringify(message) + '\n');
}

// Builds the table of calls from the hello, then answers calls until the input ends.
async function answerCalls(build) {
  let calls = null;
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const message = JSON.parse(line);
    if (calls === null) {
      calls = build(message);
      say({ can: Object.keys(calls).sort() });
      continue;
    }
    try {
      const returned = await calls[message.call](message.with);
      say({ returned: returned === undefined ? null : returned });
    } catch (raised) {
      say({ raised: raised instanceof Error ? raised.stack : JSON.stringify(raised) });
    }
  }
}

// Turns a call that takes a Node callback into a promise of its answer.
function called(start) {
  return new Promise((resolve, reject) => {
    start((error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

module.exports = { answerCalls, called };
