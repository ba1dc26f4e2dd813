import assert from 'node:assert/strict';
import { test } from 'node:test';
import { framed, headOf, syslogMessage } from './syslog-message.ts';
import { BEGUN, eventsOf, ORIGIN, record, SAMPLES } from './test-records.ts';

/** The grammar of RFC 5424, section 6. */
const PARAMETER = String.raw`[^\x00-\x20="\]\x7f-\uffff]{1,32}="(?:\\["\\\]]|[^"\\\]])*"`;
const ELEMENT = String.raw`\[[^\x00-\x20="\]\x7f-\uffff]{1,32}(?: ${PARAMETER})*\]`;
const MESSAGE = new RegExp(
  String.raw`^<(?<pri>\d{1,3})>1 (?<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,6}Z) (?<host>[\x21-\x7e]{1,255}) (?<app>[\x21-\x7e]{1,48}) ` +
    String.raw`(?<pid>[\x21-\x7e]{1,128}) (?<id>[\x21-\x7e]{1,32}) (?<data>-|(?:${ELEMENT})+) (?<message>[\s\S]*)$`,
  'u',
);

test('every record becomes a message that is well-formed', () => {
  for (const event of eventsOf(...SAMPLES)) {
    const message = syslogMessage(headOf(event), '{"a":"ü"}', ORIGIN);
    const parts = MESSAGE.exec(message)?.groups;
    assert.ok(parts, message);
    // Facility 13, "log audit".
    assert.equal(Math.floor(Number(parts.pri) / 8), 13);
    assert.equal(parts.message, '{"a":"ü"}');
  }
});

test('a statement has its names in structured data, and its severity says what became of it', () => {
  const [approved, , refused] = eventsOf(...SAMPLES).filter(({ kind }) => kind === 'statement');
  const { time, host, app, id, data, pri } = MESSAGE.exec(syslogMessage(headOf(approved!), '', ORIGIN))!.groups!;
  assert.deepEqual([Date.parse(time!), host, app, id, pri], [BEGUN, 'node1.example', 'sluice', 'statement', '110']);
  assert.match(
    data!,
    /^\[sluice@32473 node="node1" session="00112233aabbccdd" statement="1" subject="billing-bot" connection="orders" verdict="hold" rule="ask" status="ok" traceId="4bf92f3577b34da6a3ce929d0e0e4736" spanId="00f067aa0ba902b7"\]\[meta sequenceId="\d+"\]\[origin software="Sluice" swVersion="0\.1\.0"\]$/,
  );
  assert.match(syslogMessage(headOf(refused!), '', ORIGIN), /^<108>1 /);
});

test('quotes, backslashes and brackets of values are escaped; what has no room in the head is replaced', () => {
  const identity = { subject: 'a"b\\c]d\n[x y="z"' };
  const [event] = eventsOf(record('identity.locked', { identity, by: identity }));
  const message = syslogMessage(headOf(event!), 'm', { ...ORIGIN, hostname: 'böse maschine' });
  assert.match(message, / b_se_maschine sluice - identity\.locked /);
  assert.ok(message.includes('subject="a\\"b\\\\c\\]d\n[x y=\\"z\\""'));
  assert.equal(MESSAGE.exec(message)?.groups?.message, 'm');
});

test('sequence numbers begin again where the specification ends', () => {
  const head = { at: 0, severity: 6, id: 'x', data: [] };
  assert.match(syslogMessage({ ...head, sequence: 2_147_483_647 }, '', ORIGIN), /sequenceId="2147483647"/);
  assert.match(syslogMessage({ ...head, sequence: 2_147_483_648 }, '', ORIGIN), /sequenceId="1"/);
});

test('frames count octets, not characters', () => {
  assert.equal(framed('aü€').toString('utf8'), '6 aü€');
});
