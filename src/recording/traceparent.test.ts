import assert from 'node:assert/strict';
import { test } from 'node:test';
import { traceparentOf } from './traceparent.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';

test('a traceparent is read, with its flag', () => {
  const context = { traceId: TRACE, spanId: SPAN };
  assert.deepEqual(traceparentOf(`00-${TRACE}-${SPAN}-01`), { ...context, sampled: true });
  assert.deepEqual(traceparentOf(`00-${TRACE}-${SPAN}-00`), { ...context, sampled: false });
  assert.deepEqual(traceparentOf(` 00-${TRACE}-${SPAN}-03 `), { ...context, sampled: true });
  assert.deepEqual(traceparentOf(`cc-${TRACE}-${SPAN}-01-what-comes-later`), { ...context, sampled: true });
});

test('what the specification calls invalid is none', () => {
  const none = [
    `ff-${TRACE}-${SPAN}-01`,
    `00-${TRACE}-${SPAN}-01-more`,
    `00-${'0'.repeat(32)}-${SPAN}-01`,
    `00-${TRACE}-${'0'.repeat(16)}-01`,
    `00-${TRACE.toUpperCase()}-${SPAN}-01`,
    `00-${TRACE}-${SPAN}`,
    `cc-${TRACE}-${SPAN}-01${'-x'.repeat(1000)}`,
    '',
    7,
    null,
    undefined,
  ];
  for (const value of none) assert.equal(traceparentOf(value), null, String(value));
});
