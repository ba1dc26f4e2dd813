import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cefOf } from './cef.ts';
import { BEGUN, eventsOf, NODE, ORIGIN, record, SAMPLES } from './test-records.ts';

/** Reads a line as a receiver does: the header up to its seventh bare pipe, then pairs. */
function parse(line: string): { header: string[]; fields: Record<string, string> } {
  const header: string[] = [];
  let part = '';
  let at = 0;
  for (; header.length < 7; at++) {
    if (line[at] === '\\') part += line[++at];
    else if (line[at] === '|') {
      header.push(part);
      part = '';
    } else part += line[at];
  }
  const fields: Record<string, string> = {};
  // A key is a word before a bare equals sign; the value goes up to the next one.
  const pairs = line.slice(at).matchAll(/(\w+)=((?:\\.|[^\\=])*?)(?= \w+=|$)/gs);
  for (const [, key, value] of pairs) {
    fields[key!] = value!.replace(/\\(.)/g, (_, one) => (one === 'n' ? '\n' : one === 'r' ? '\r' : one));
  }
  return { header, fields };
}

function statement(attempt: object, outcome: object) {
  const [event] = eventsOf(
    record('statement.attempt', { session: 's1', statement: 1, ...attempt }),
    record('statement.outcome', { session: 's1', statement: 1, ...outcome }),
  );
  return parse(cefOf(event!, ORIGIN));
}

test('a statement is one line with its fields', () => {
  const [event] = eventsOf(...SAMPLES).filter(({ kind }) => kind === 'statement');
  const line = cefOf(event!, ORIGIN);
  assert.match(
    line,
    /^CEF:0\|Sluice\|Sluice\|0\.1\.0\|statement\|Statement approved\|5\|rt=\d+ dvchost=node1\.example /,
  );
  const { fields } = parse(line);
  const { externalId: _, ...rest } = fields;
  assert.deepEqual(rest, {
    ...{ rt: String(BEGUN), dvchost: 'node1.example', deviceExternalId: NODE },
    ...{ suser: 'billing-bot', spriv: 'agent', src: '10.1.2.3', app: 'postgres', act: 'allow', outcome: 'success' },
    ...{ cat: 'DELETE', out: '0', cn1: '1', cn1Label: 'rows', cn2: '2', cn2Label: 'milliseconds' },
    ...{ cn3: '7', cn3Label: 'approval request', cs1: 'DELETE FROM orders WHERE id = ?', cs1Label: 'statement' },
    ...{ cs2: 'ask', cs2Label: 'rules', cs3: 'delete public.orders (keyed)', cs3Label: 'effects' },
    ...{ cs4: '4bf92f3577b34da6a3ce929d0e0e4736', cs4Label: 'trace id (claimed)', cs5: 'f1', cs5Label: 'fingerprint' },
    ...{ cs6: '00112233aabbccdd', cs6Label: 'session', dhost: 'db1', dpt: '5432', destinationServiceName: 'orders' },
    ...{ flexString1: 'billing', flexString1Label: 'agent name (claimed)' },
    ...{ flexString2: 'conv-1', flexString2Label: 'conversation id (claimed)' },
  });
});

test('pipes and backslashes of the header, and equals signs, backslashes and line ends of values are escaped', () => {
  const text = 'SELECT a=b\\c\r\nFROM "x|y" -- cs2=injected act=allow';
  const event = eventsOf(
    record('statement.attempt', { session: 's', statement: 1, text }),
    record('session.end', { session: 's' }),
  )[0]!;
  const line = cefOf(event, { ...ORIGIN, version: '1|2\\3\n4' });
  assert.match(line, /^CEF:0\|Sluice\|Sluice\|1\\\|2\\\\3 4\|/);
  assert.ok(line.includes('cs1=SELECT a\\=b\\\\c\\r\\nFROM "x|y" -- cs2\\=injected act\\=allow cs1Label='));
  assert.ok(!/[\r\n]/.test(line));
  const { header, fields } = parse(line);
  assert.equal(header[3], '1|2\\3 4');
  assert.equal(fields.cs1, text);
  assert.equal(fields.cs2, undefined);
});

test('what was done is its name, action and severity', () => {
  const told = (attempt: object, outcome: object) => {
    const { header, fields } = statement(attempt, outcome);
    return [header[5], header[6], fields.act, fields.outcome, fields.cs2];
  };
  const refused = { status: 'refused', sqlstate: '42501', by: 'no-drop' };
  assert.deepEqual(told({ verdict: 'deny' }, refused), ['Statement refused', '7', 'deny', 'failure', 'no-drop']);
  assert.deepEqual(told({ verdict: 'hold' }, refused), ['Statement not approved', '6', 'deny', 'failure', 'no-drop']);
  assert.deepEqual(told({ masks: ['m'], rules: ['m'] }, { status: 'ok' }), [
    'Statement masked',
    '3',
    'mask',
    'success',
    'm',
  ]);
  assert.deepEqual(told({}, { status: 'error' }), ['Statement failed', '3', 'allow', 'failure', undefined]);
  assert.deepEqual(told({}, { status: 'lost' }), ['Statement allowed', '2', 'allow', 'unknown', undefined]);
});

test('lengths are those of the dictionary, and no character is cut in half', () => {
  const { fields } = statement(
    { text: `${'x'.repeat(3_999)}\u{1f600}`, identity: { subject: 'y'.repeat(2_000) } },
    { status: 'ok' },
  );
  assert.equal(fields.cs1, 'x'.repeat(3_999));
  assert.equal(fields.suser?.length, 1_023);
});

test('addresses of IPv6 have a field of their own', () => {
  const { fields } = statement({ client: { address: '2001:db8::1' } }, { status: 'ok' });
  assert.deepEqual([fields.src, fields.c6a2, fields.c6a2Label], [undefined, '2001:db8::1', 'Source IPv6 Address']);
  assert.equal(statement({ client: { address: '::ffff:10.0.0.9' } }, { status: 'ok' }).fields.src, '10.0.0.9');
});

test('every other record is a line as well', () => {
  for (const event of eventsOf(...SAMPLES)) {
    const line = cefOf(event, ORIGIN);
    assert.ok(!/[\r\n]/.test(line), line);
    const { header, fields } = parse(line);
    assert.equal(header.length, 7);
    assert.match(header[6]!, /^(?:[0-9]|10)$/);
    assert.equal(fields.deviceExternalId, NODE);
  }
  const [failed] = eventsOf(record('auth.failed', { user: 'mallory', client: { address: '10.9.9.9' }, reason: 'a=b' }));
  const { header, fields } = parse(cefOf(failed!, ORIGIN));
  assert.deepEqual(
    [header[4], header[6], fields.suser, fields.src, fields.reason],
    ['auth.failed', '5', 'mallory', '10.9.9.9', 'a=b'],
  );
});
