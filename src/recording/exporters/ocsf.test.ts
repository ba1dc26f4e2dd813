import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { RecordedEvent, StatementEvent } from '../joined-statements.ts';
import { canonical, type OcsfEvent, OcsfEvents } from './ocsf.ts';
import { eventsOf, ORIGIN, record, SAMPLES } from './test-records.ts';

const schema = JSON.parse(readFileSync(new URL('../../../test/ocsf/schema.json', import.meta.url), 'utf8'));
const CLASSES = new Map([
  [0, 'base_event'],
  [3002, 'authentication'],
  [3004, 'entity_management'],
  [6005, 'datastore_activity'],
]);
const ajv = new Ajv2020({ strict: false, allErrors: true }).addSchema(schema, 'ocsf');

// biome-ignore lint/suspicious/noExplicitAny: of what was read from JSON anything can be asked for
type Tree = any;

/** The event as whoever reads it gets it, having been found valid. */
function valid(event: OcsfEvent): Tree {
  const read = JSON.parse(JSON.stringify(event));
  const validate = ajv.getSchema(`ocsf#/$defs/${CLASSES.get(read.class_uid)}`)!;
  assert.ok(validate(read), `${JSON.stringify(read)}\n${JSON.stringify(validate.errors)}`);
  return read;
}

function ocsf(event: RecordedEvent): Tree {
  return valid(new OcsfEvents(ORIGIN).of(event));
}

function statement(attempt: object, outcome: object | null): StatementEvent {
  const [event] = eventsOf(
    record('statement.attempt', { session: 's1', statement: 1, connection: 'orders', text: 'SELECT 1', ...attempt }),
    outcome === null
      ? record('session.end', { session: 's1' })
      : record('statement.outcome', { session: 's1', statement: 1, ...outcome }),
  );
  assert.equal(event?.kind, 'statement');
  return event as StatementEvent;
}

test('every record there can be becomes a valid event', () => {
  const made = new OcsfEvents(ORIGIN);
  const classes = new Set<unknown>();
  for (const event of eventsOf(...SAMPLES)) classes.add(valid(made.of(event)).class_uid);
  assert.deepEqual([...classes].sort(), [0, 3002, 3004, 6005]);
  // What is found valid by a schema that lets everything pass would be worth nothing.
  const [event] = eventsOf(...SAMPLES);
  const one = made.of(event!);
  for (const wrong of [{ surprise: 1 }, { type_uid: 1 }, { severity_id: 77 }, { metadata: {} }, { time: 'now' }]) {
    assert.throws(() => valid({ ...one, ...wrong }), { name: 'AssertionError' });
  }
});

test('a statement is Datastore Activity, with who, where, what and how it ended', () => {
  const [event] = eventsOf(...SAMPLES).filter(({ kind }) => kind === 'statement');
  const read = ocsf(event!);
  assert.deepEqual(
    [read.class_uid, read.type_uid, read.activity_name, read.action, read.disposition, read.status, read.severity],
    [6005, 600507, 'Delete', 'Allowed', 'Approved', 'Success', 'Low'],
  );
  assert.deepEqual(read.actor.user, {
    name: 'billing-bot',
    uid: 'billing-bot',
    type_id: 99,
    type: 'Agent',
    groups: [{ name: 'agents' }],
  });
  assert.deepEqual(read.src_endpoint, { ip: '10.1.2.3' });
  assert.deepEqual(read.dst_endpoint, { hostname: 'db1', port: 5432, svc_name: 'orders' });
  assert.deepEqual(read.table, { name: 'public.orders' });
  assert.equal(read.query_info.query_string, 'DELETE FROM orders WHERE id = ?');
  assert.equal(read.metadata.correlation_uid, '4bf92f3577b34da6a3ce929d0e0e4736');
  assert.deepEqual(read.ai_agent, {
    uid: 'billing-bot',
    name: 'billing',
    instance_uid: 'conv-1',
    ai_model: { name: 'some-model', ai_provider: 'unknown' },
  });
  assert.equal(read.message_context.uid, 'conv-1');
  assert.deepEqual([read.duration, read.unmapped.affected, read.unmapped.held_ms], [2, 1, 5000]);
  assert.deepEqual(read.metadata.profiles, ['security_control', 'record_integrity', 'ai_operation']);
});

test('what was done about a statement is in the security_control profile', () => {
  const told = (event: StatementEvent) => {
    const { action_id, disposition_id, is_alert, firewall_rule, severity_id, status_id, status_code } = ocsf(event);
    return [action_id, disposition_id, is_alert, firewall_rule?.uid, severity_id, status_id, status_code];
  };
  const ok = { status: 'ok' };
  assert.deepEqual(told(statement({ verdict: 'allow' }, ok)), [1, 1, false, undefined, 1, 1, undefined]);
  assert.deepEqual(told(statement({ verdict: 'allow', rules: ['m'], masks: ['m'] }, ok)), [
    4,
    99,
    false,
    'm',
    1,
    1,
    undefined,
  ]);
  const refused = { status: 'refused', sqlstate: '42501', by: 'no-drop' };
  assert.deepEqual(told(statement({ verdict: 'deny', rules: ['a', 'no-drop'] }, refused)), [
    2,
    2,
    true,
    'no-drop',
    3,
    2,
    '42501',
  ]);
  assert.deepEqual(told(statement({ verdict: 'hold', rules: ['ask'] }, { ...refused, by: 'ask' })), [
    2,
    25,
    true,
    'ask',
    3,
    2,
    '42501',
  ]);
  assert.deepEqual(told(statement({ verdict: 'allow' }, { status: 'error', sqlstate: '23505' })), [
    1,
    1,
    false,
    undefined,
    1,
    2,
    '23505',
  ]);
  assert.deepEqual(told(statement({ verdict: 'allow' }, null)), [1, 1, false, undefined, 1, 0, undefined]);
});

test('the activity is what the statement does most', () => {
  const activity = (kind: string, ...effects: string[]) => ocsf(statement({ kind, effects }, null)).activity_name;
  assert.equal(activity('SELECT', 'read public.a', 'delete public.b (none)'), 'Delete');
  assert.equal(activity('MERGE', 'merge a', 'read b'), 'Write');
  assert.equal(activity('INSERT', 'insert a', 'read b'), 'Create');
  assert.equal(activity('CREATE TABLE AS', 'create a', 'read b'), 'CREATE TABLE AS');
  assert.equal(activity('SELECT'), 'Query');
  assert.equal(activity('OPAQUE', 'opaque: unparsed'), 'Unknown');
  assert.equal(activity('SHOW'), 'SHOW');
});

test('hostile values stay values, and long texts are cut and say so', () => {
  const read = ocsf(
    statement(
      {
        text: `SELECT '${'x'.repeat(20_000)}'`,
        identity: { subject: 'a"b\n', kind: 'human', groups: [], owner: 'c' },
        client: { address: '::ffff:10.0.0.9' },
        claimed: JSON.parse('{"__proto__":"x","gen_ai.agent.name":"\\u0000\\ud800"}'),
      },
      null,
    ),
  );
  assert.equal(read.query_info.query_string.length, 8_000);
  assert.deepEqual([read.metadata.is_truncated, read.metadata.untruncated_size], [true, 20]);
  assert.deepEqual(read.src_endpoint, { ip: '10.0.0.9' });
  assert.equal(Object.keys(read.unmapped.claimed).length, 2);
  assert.deepEqual(ocsf(statement({ client: { address: 'not an address' } }, null)).src_endpoint, {
    name: 'not an address',
  });
});

test('each event is attested, and names the one before it', () => {
  const made = new OcsfEvents(ORIGIN);
  const events = eventsOf(...SAMPLES)
    .slice(0, 3)
    .map((event) => valid(made.of(event)));
  for (const [i, event] of events.entries()) {
    const { fingerprint, ...attestation } = event.attestation_list[0];
    const expected = createHash('sha256')
      .update(canonical({ ...event, attestation_list: [attestation] }))
      .digest('hex');
    assert.equal(fingerprint.value, expected);
    assert.equal(attestation.chain_uid, events[0].attestation_list[0].chain_uid);
    assert.equal(attestation.prev_event?.uid, events[i - 1]?.metadata.uid);
    assert.deepEqual(attestation.prev_event?.fingerprint, events[i - 1]?.attestation_list[0].fingerprint);
  }
});

test('canonical JSON is as RFC 8785 has it', () => {
  // Its section 3.2.3: names in the order of their UTF-16 code units.
  const names = ['\u20ac', '\r', '\ufb33', '1', '\ud83d\ude00', '\u0080', '\u00f6'];
  const sorted = ['\r', '1', '\u0080', '\u00f6', '\u20ac', '\ud83d\ude00', '\ufb33'];
  const object = Object.fromEntries(names.map((name) => [name, 1]));
  assert.equal(canonical(object), `{${sorted.map((name) => `${JSON.stringify(name)}:1`).join(',')}}`);
  assert.equal(
    canonical({
      numbers: [333333333.3333333, 1e30, 4.5, 2e-3, 1e-27],
      string: '\u20ac$\u000f\nA\'B"\\\\"/',
      literals: [null, true],
    }),
    '{"literals":[null,true],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
  );
});
