// An SMSC on the npm `smpp` server: keeps what it is given, sends receipts, and does as it is told.
'use strict';

const smpp = require('smpp');
const { answerCalls } = require('./wire.js');

// What a destination's last two digits make the SMSC do; all others are delivered.
const UNDELIVERABLE = '99';
const REJECTED = '98';
const RECEIPT_FIRST = '97';
const RECEIPT_TWICE = '96';

const RECEIPT_AFTER_MS = 50;

answerCalls((hello) => {
  const messages = [];
  const parts = new Map();
  const sessions = new Set();
  const counts = { binds: 0, submits: 0, throttled: 0, unanswered_receipts: 0 };
  const receiptAfterMs = hello.receipt_after_ms || RECEIPT_AFTER_MS;
  let toThrottle = 0;
  let identifiers = 1;

  // A carrier that tells hexadecimal identifiers in answers and decimal ones in receipts is real.
  function names() {
    const number = 0x7000 + identifiers++;
    return hello.ids === 'resp_hex_receipt_dec'
      ? { answer: number.toString(16).toUpperCase(), receipt: String(number).padStart(10, '0') }
      : { answer: String(number), receipt: String(number) };
  }

  function receipt(session, pdu, name) {
    const failed = String(pdu.destination_addr).endsWith(UNDELIVERABLE);
    const state = failed ? 'UNDELIV' : 'DELIVRD';
    const fields = {
      source_addr: pdu.destination_addr,
      destination_addr: pdu.source_addr,
      esm_class: 4,
      short_message: `id:${name.receipt} sub:001 dlvrd:00${failed ? 0 : 1} ` +
        `submit date:2611252100 done date:2611252101 stat:${state} err:00${failed ? 5 : 0} text:`,
    };
    if (hello.receipts === 'tlv') {
      fields.short_message = '';
      fields.receipted_message_id = name.answer;
      fields.message_state = failed ? 5 : 2;
    }
    counts.unanswered_receipts += 1;
    session.deliver_sm(fields, () => { counts.unanswered_receipts -= 1; });
  }

  // Puts the parts of a message together again, as a phone does.
  function keep(pdu) {
    const { message, udh } = pdu.short_message;
    const whole = {
      to: pdu.destination_addr, from: pdu.source_addr, data_coding: pdu.data_coding,
      source_ton: pdu.source_addr_ton, dest_ton: pdu.dest_addr_ton,
      validity: String(pdu.validity_period || ''), receipt: pdu.registered_delivery & 1,
    };
    if (!udh || udh.length === 0) {
      messages.push({ ...whole, text: message, parts: 1 });
      return;
    }
    const header = Array.isArray(udh) ? udh[0] : udh;
    const octets = header[0] === 0x05 ? header.subarray(3) : header.subarray(2);
    const [reference, total, index] = octets.subarray(-3);
    const key = `${pdu.destination_addr}/${reference}`;
    const held = parts.get(key) || new Map();
    held.set(index, message);
    parts.set(key, held);
    if (held.size === total) {
      const text = [...held.keys()].sort((a, b) => a - b).map((at) => held.get(at)).join('');
      messages.push({ ...whole, text, parts: total });
      parts.delete(key);
    }
  }

  function submitted(session, pdu) {
    counts.submits += 1;
    if (toThrottle > 0) {
      toThrottle -= 1;
      counts.throttled += 1;
      session.send(pdu.response({ command_status: smpp.ESME_RTHROTTLED }));
      return;
    }
    const to = String(pdu.destination_addr);
    if (to.endsWith(REJECTED)) {
      session.send(pdu.response({ command_status: smpp.ESME_RINVDSTADR }));
      return;
    }
    const name = names();
    keep(pdu);
    const answer = () => session.send(pdu.response({ message_id: name.answer }));
    if (to.endsWith(RECEIPT_FIRST)) {
      receipt(session, pdu, name);
  setTimeout(answer, receiptAfterMs * 4);
      return;
    }
    answer();
    if (!(pdu.registered_delivery & 1)) return;
    setTimeout(() => receipt(session, pdu, name), receiptAfterMs);
    if (to.endsWith(RECEIPT_TWICE)) {
      setTimeout(() => receipt(session, pdu, name), receiptAfterMs * 2);
    }
  }

  function bound(session, pdu) {
    const known = pdu.system_id === hello.system_id && pdu.password === hello.password;
    counts.binds += 1;
    const command_status = known ? smpp.ESME_ROK : smpp.ESME_RINVPASWD;
    session.send(pdu.response({ command_status, system_id: 'npm smpp' }));
    if (known) sessions.add(session); else session.close();
  }

  const server = smpp.createServer({}, (session) => {
    session.on('error', () => {});
    session.on('close', () => sessions.delete(session));
    for (const kind of ['transceiver', 'transmitter', 'receiver']) {
      session.on(`bind_${kind}`, (pdu) => bound(session, pdu));
    }
    session.on('enquire_link', (pdu) => session.send(pdu.response()));
    session.on('unbind', (pdu) => { session.send(pdu.response()); session.close(); });
    session.on('submit_sm', (pdu) => submitted(session, pdu));
  });

  function listen() {
    return new Promise((done) => { server.listen(hello.port, '127.0.0.1', done); });
  }

  return {
    listen,
    messages: () => messages,
    counts: () => ({ ...counts, sessions: sessions.size }),
    throttle: ({ next }) => { toThrottle = next; },
    cut: () => { for (const session of sessions) session.destroy(); },
    // A phone sends a message to one of our numbers.
    send: ({ from, to, text }) => new Promise((resolve) => {
      const [session] = sessions;
      const fields = { source_addr: from, destination_addr: to, short_message: text };
      session.deliver_sm(fields, (answer) => resolve(answer.command_status));
    }),
  };
});
