import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Authority } from '../../test/servers/client-authority.ts';
import { readCertificate } from './client-certificate.ts';

const directory = mkdtempSync(join(tmpdir(), 'sluice-certificate-'));
after(() => rmSync(directory, { recursive: true }));
const authority = new Authority(directory, 'clients');

const namesOf = (subject: string, names?: string) => {
  const { certificate } = authority.issue(subject, names === undefined ? {} : { names });
  return [...readCertificate(new X509Certificate(readFileSync(certificate)), null).names];
};

test('a certificate has the names of its subject and the alternative ones', () => {
  assert.deepEqual(
    namesOf('/O=Example/CN=reports', 'DNS:r.example,URI:spiffe://example/r,email:r@example,IP:10.0.0.1'),
    ['DNS:r.example', 'URI:spiffe://example/r', 'email:r@example', 'CN=reports'],
  );
  assert.deepEqual(namesOf('/O=nameless'), []);
});

test('a name that holds others is one name', () => {
  assert.deepEqual(namesOf('/O=x', '@several\n[several]\nURI.1=spiffe://evil/a\\, DNS:reports.example\n'), [
    'URI:spiffe://evil/a, DNS:reports.example',
  ]);
});

test('of two common names none counts', () => {
  assert.deepEqual(namesOf('/CN=reports/CN=admin'), []);
});
