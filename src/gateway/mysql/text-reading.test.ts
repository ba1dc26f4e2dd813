import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REPORTED, TextReading } from './text-reading.ts';

const read = (reading: TextReading, bytes: Buffer) => reading.read(bytes, 0, bytes.length);

test('sessions with the same modes share them, and other modes are others', () => {
  const [a, b] = [new TextReading(), new TextReading()];
  a.report('sql_mode', 'STRICT_TRANS_TABLES,ANSI_QUOTES');
  b.report('sql_mode', 'ANSI_QUOTES');
  assert.equal(a.modes, b.modes);
  assert.equal(a.modes.ansiQuotes, true);
  b.report('sql_mode', '');
  assert.notEqual(a.modes, b.modes);
});

test('bytes are read in the character set of the client, or not at all', () => {
  const reading = new TextReading();
  assert.equal(read(reading, Buffer.from("SELECT 'é'")), "SELECT 'é'");
  // A lead byte does not swallow the quote behind it.
  assert.equal(read(reading, Buffer.from("SELECT _binary'\u00e9'", 'latin1')), "SELECT _binary'\ufffd'");
  reading.report('character_set_client', 'latin1');
  assert.equal(read(reading, Buffer.from("SELECT '\u00e9\u0080'", 'latin1')), "SELECT 'é€'");
  reading.report('character_set_client', 'koi8r');
  assert.equal(read(reading, Buffer.from("SELECT '\u00e9'", 'latin1')), null);
  assert.equal(read(reading, Buffer.from('SELECT 1')), 'SELECT 1');
});

test('character sets in which a quote can be half of a character are not safe', () => {
  const reading = new TextReading();
  for (const name of ['gbk', 'sjis', 'big5', 'gb18030', 'cp932', 'utf16', 'whatever']) {
    assert.equal(reading.report('character_set_client', name), false, name);
  }
  for (const name of ['utf8mb4', 'utf8mb3', 'latin1', 'ascii']) {
    assert.equal(reading.report('character_set_client', name), true, name);
  }
  assert.equal(reading.reportAt(REPORTED.indexOf('character_set_client'), 'gbk'), false);
});
