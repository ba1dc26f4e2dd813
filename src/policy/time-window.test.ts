import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileTimeWindow, endOfDay, isDate, isDays, isHours, isZone } from './time-window.ts';

const OFFICE = compileTimeWindow({ days: ['mon-fri'], hours: ['08:00-18:00'], zone: 'Europe/Berlin' });

test('hours are those of the zone, in summer and in winter', () => {
  // Friday before the clocks go back, 25 October 2026, and the Monday after.
  assert.equal(OFFICE(Date.parse('2026-10-23T05:59:59Z')), false);
  assert.equal(OFFICE(Date.parse('2026-10-23T06:00:00Z')), true);
  assert.equal(OFFICE(Date.parse('2026-10-23T15:59:59Z')), true);
  assert.equal(OFFICE(Date.parse('2026-10-23T16:00:00Z')), false);
  assert.equal(OFFICE(Date.parse('2026-10-26T06:59:59Z')), false);
  assert.equal(OFFICE(Date.parse('2026-10-26T07:00:00Z')), true);
  assert.equal(OFFICE(Date.parse('2026-10-26T16:59:59Z')), true);
});

test('days are those of the zone', () => {
  const sunday = compileTimeWindow({ days: ['sun'], zone: 'Pacific/Auckland' });
  assert.equal(sunday(Date.parse('2026-11-21T12:00:00Z')), true);
  assert.equal(sunday(Date.parse('2026-11-22T12:00:00Z')), false);
});

test('a window over midnight belongs to the day it begins on', () => {
  const night = compileTimeWindow({ days: ['fri'], hours: ['22:00-06:00'], zone: 'UTC' });
  assert.equal(night(Date.parse('2026-11-20T05:00:00Z')), false, 'the night to Friday');
  assert.equal(night(Date.parse('2026-11-20T22:00:00Z')), true);
  assert.equal(night(Date.parse('2026-11-21T05:59:00Z')), true, 'the night to Saturday');
  assert.equal(night(Date.parse('2026-11-21T06:00:00Z')), false);
});

test('several windows are an OR, days may go around the week', () => {
  const window = compileTimeWindow({ days: ['sat-mon', 'wed'], hours: ['08:00-09:00', '23:00-24:00'], zone: 'UTC' });
  const on = (day: number, time: string) => window(Date.parse(`2026-11-${day}T${time}:00Z`));
  assert.deepEqual(
    [16, 17, 18, 19, 20, 21, 22].map((day) => on(day, '08:30')),
    [true, false, true, false, false, true, true],
  );
  assert.deepEqual(
    ['07:59', '09:00', '23:59'].map((time) => on(16, time)),
    [false, false, true],
  );
});

test('what is no day, hour, zone or date is told', () => {
  for (const days of ['mon', 'mon-fri', 'sat-mon']) assert.ok(isDays(days), days);
  for (const days of ['monday', 'mon-', 'mon-tue-wed', '', 'Mon']) assert.ok(!isDays(days), days);
  for (const hours of ['08:00-18:00', '22:00-06:00', '00:00-24:00']) assert.ok(isHours(hours), hours);
  for (const hours of ['8-18', '08:00', '24:00-08:00', '08:60-09:00', '08:00-08:00']) assert.ok(!isHours(hours), hours);
  for (const zone of ['Europe/Berlin', 'UTC', 'America/New_York']) assert.ok(isZone(zone), zone);
  for (const zone of ['Berlin', '+02:00', '', 'Europe/Berlim']) assert.ok(!isZone(zone), zone);
  for (const date of ['2027-01-31', '2028-02-29']) assert.ok(isDate(date), date);
  for (const date of ['2027-02-29', '2027-13-01', '27-01-01', '2027-01-31T00:00']) assert.ok(!isDate(date), date);
  assert.equal(new Date(endOfDay('2027-01-31')).toISOString(), '2027-02-01T00:00:00.000Z');
});
